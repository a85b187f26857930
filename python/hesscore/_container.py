"""The file around a checkpoint: safetensors, with a head of its own and a check-sum over all of it.

The head is JSON in safetensors' metadata, under "hesscore". It begins with the SHA-256 of the whole
file, taken with zeros in the place of the sum, so that no byte can change unseen: safetensors
itself notices neither that nor a name that comes twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import IO, Any

from . import _files
from .errors import CheckpointError

VERSION = 1  # of what the head and the names of the tensors mean

_BLANK = "0" * 64
_LONGEST_HEADER = 100_000_000  # bytes; safetensors' own limit
_MOST_TENSORS = 65_536
BAD_DATA = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)


def broken(path: str, what: str) -> CheckpointError:
    """Make the error that says what is wrong with a file."""
    return CheckpointError(f"{path}: {what}", "path", "a checkpoint", what)


def write(path: str, head: Mapping[str, Any], tensors: dict[str, Any]) -> None:
    """Write a checkpoint; the file is the old one or the new one at every moment.

    Raises
    ------
    CheckpointError
        The file cannot be written.
    """
    from safetensors.numpy import save

    text = json.dumps({"sha256": _BLANK, "format_version": VERSION, **head}, allow_nan=False)
    data = save(tensors, {"hesscore": text})
    place = data.index(_BLANK.encode())  # the first one: metadata come first, the sum first in them
    digest = hashlib.sha256(data).hexdigest().encode()
    view = memoryview(data)
    try:
        _files.replace(path, (view[:place], digest, view[place + len(digest) :]))
    except (OSError, ValueError) as error:
        raise broken(path, f"cannot be written: {error}") from error


def read(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a checkpoint and check its sum: its head, and its tensors as NumPy arrays.

    Raises
    ------
    CheckpointError
        The file cannot be read, is no checkpoint, is damaged, or is of a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        with _files.open_regular(path) as file:
            size, header = _read_header(path, file)
            head = _check_header(path, header, size)
            file.seek(0)
            data = file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise broken(path, f"cannot be read: {error}") from error
    place = 8 + header.index(head["sha256"].encode())
    total = hashlib.sha256(data[:place] + _BLANK.encode())
    total.update(memoryview(data)[place + len(_BLANK) :])
    if total.hexdigest() != head["sha256"]:
        raise broken(path, "is damaged: its check-sum is not that of its contents")
    try:
        return head, load(data)
    except (SafetensorError, *BAD_DATA) as error:
        raise broken(path, f"is no checkpoint: {error}") from error


def _read_header(path: str, file: IO[bytes]) -> tuple[int, bytes]:
    """Read the length of the file and its header."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if size < 8 or not 2 <= length <= _LONGEST_HEADER:
        raise broken(path, f"is no checkpoint, or truncated ({size} bytes)")
    if size < 8 + length:
        raise broken(path, f"is truncated: {size} bytes, less than its header")
    return size, file.read(length)


def _check_header(path: str, header: bytes, size: int) -> dict[str, Any]:
    """Return the head, if the file is a checkpoint of a known version and has the right length."""
    try:
        fields = _parse(header)
        head = _parse(fields.pop("__metadata__")["hesscore"])
        version, digest = head["format_version"], head["sha256"]
        ends = [field["data_offsets"][1] for field in fields.values()]
        end = 8 + len(header) + max(ends, default=0)
        if type(version) is not int or len(digest) != 64 or digest.encode() not in header:
            raise ValueError("no version, or no sum")
        if len(fields) > _MOST_TENSORS:
            raise ValueError(f"more than {_MOST_TENSORS} tensors")
    except BAD_DATA as error:
        raise broken(path, f"is no checkpoint, or damaged: {error!r} in its header") from error
    if version > VERSION:
        by = head.get("hesscore_version")
        what = f"is of format {version}, written by hesscore {by}; this one reads up to {VERSION}"
        raise broken(path, what)
    if size != end:
        state = "truncated" if size < end else "damaged"
        raise broken(path, f"is {state}: {size} bytes in place of {end}")
    return head


def _parse(text: str | bytes) -> dict[str, Any]:
    """Parse an object of JSON, in which no name comes twice."""
    value = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name comes twice")
    return names
