"""Readers of the file formats in which small data sets are passed around.

None of them runs code from the file, and each checks what it has read before handing it out.
"""

from __future__ import annotations

import gzip
import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import Error

BROKEN = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


class DatasetError(Error, OSError):
    """A data set is missing or is not what it should be; the message says what to do."""


def find(
    path: str | os.PathLike[str] | None,
    name: str,
    files: tuple[str, ...],
    parts: str,
    source: str,
    download: bool,
) -> Path:
    """Return where a data set lies.

    That is at `path`; or else in the folder that HESSCORE_DATA names, or where an earlier download
    was kept; or, with `download`, where it is put now. In a folder the first of `files` that is
    there is taken, or the folder itself where it holds something that matches `parts`.
    """
    from . import _downloads

    looked: list[str] = []
    if path is not None:
        found = _within(Path(path).expanduser(), files, parts, looked)
    else:
        found = _usual(name, files, parts, looked)
    if found is None and download:
        found = _within(_downloads.fetch(name), files, parts, looked)
    if found is not None:
        return found
    raise DatasetError(
        f"{name} was not found: {'; '.join(looked)}. Get {source} and pass its path, or put it "
        "into a folder and set HESSCORE_DATA to it, or download it where there is a network: "
        f"hesscore.datasets.{name}(download=True)"
    )


def _usual(name: str, files: tuple[str, ...], parts: str, looked: list[str]) -> Path | None:
    """Look into the folder of HESSCORE_DATA and into that of an earlier download."""
    from . import _downloads

    found = None
    if variable := os.environ.get("HESSCORE_DATA"):
        found = _within(Path(variable).expanduser(), files, parts, looked)
        looked[:] = [f"HESSCORE_DATA: {place}" for place in looked]
    else:
        looked.append("HESSCORE_DATA is not set")
    if found is None and (kept := _downloads.kept(name)) is not None:
        found = _within(kept, files, parts, looked)
    if found is None:
        looked.append(f"{_downloads.folder(name)} has no earlier download")
    return found


def _within(place: Path, files: tuple[str, ...], parts: str, looked: list[str]) -> Path | None:
    """Return a file, or what a folder has; where that is nothing, note what was looked for."""
    if not place.exists():
        looked.append(f"there is no file or folder {place}")
        return None
    if not place.is_dir():
        return place
    for file in files:
        if (place / file).exists():
            return place / file
    if parts and any(place.glob(parts)):
        return place
    looked.append(f"{place} has none of {', '.join((*files, parts) if parts else files)}")
    return None


def npz(path: Path, keys: tuple[str, ...]) -> list[NDArray]:
    """Read the named arrays of a NumPy archive; pickled objects in it are refused."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DatasetError(f"{path} is a single array, not an .npz archive")
        with archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise DatasetError(
                    f"{path} has no array {missing[0]!r}; expected {', '.join(keys)}, "
                    f"got {', '.join(archive.files) or 'nothing'}"
                )
            return [archive[key] for key in keys]
    except DatasetError:
        raise
    except BROKEN as error:
        raise DatasetError(f"{path} is not a readable .npz archive: {error}") from error


def idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, the format of the MNIST distribution, `.gz` or not.

    The header is two zero bytes, the type (8: unsigned byte), the number of dimensions, and each
    dimension as a big-endian 32-bit number.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(4 + 4 * ndim)
            if len(head) < 4 + 4 * ndim or head[:4] != bytes((0, 0, 8, ndim)):
                raise DatasetError(f"{path} is not an IDX file of bytes with {ndim} dimensions")
            shape = tuple(int(n) for n in np.frombuffer(head, ">u4", offset=4))
            size = math.prod(shape)
            data = file.read(size + 1) if size < 1 << 32 else b""
    except DatasetError:
        raise
    except BROKEN as error:
        raise DatasetError(f"{path} could not be read: {error}") from error
    if len(data) != size:
        raise DatasetError(
            f"{path} should hold {size} bytes for shape {shape}, but is "
            f"{'longer' if len(data) > size else 'cut short'}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def idx_folder(folder: Path) -> list[NDArray[np.uint8]]:
    """Read training images and labels, test images and labels, under their usual names."""
    arrays = []
    for part, kind, ndim in (
        ("train", "images", 3),
        ("train", "labels", 1),
        ("t10k", "images", 3),
        ("t10k", "labels", 1),
    ):
        stem = f"{part}-{kind}"
        names = [f"{stem}{dot}idx{ndim}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
        found = [folder / name for name in names if (folder / name).is_file()]
        if not found:
            raise DatasetError(f"{folder} has no {names[0]} (nor {', '.join(names[1:])})")
        arrays.append(idx(found[0], ndim))
    return arrays


def cifar_binary(folder: Path) -> list[NDArray[np.uint8]]:
    """Read CIFAR-10's binary version: records of one label byte and 3 x 32 x 32 pixels."""
    parts = []
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        try:
            data = np.fromfile(folder / name, np.uint8)
        except OSError as error:
            raise DatasetError(
                f"{folder} has no readable {name}; take CIFAR-10's binary version "
                "(the Python version is pickled, which is not safe to open)"
            ) from error
        if data.size == 0 or data.size % 3073:
            raise DatasetError(f"{folder / name} is not made of records of 3073 bytes")
        parts.append(data.reshape(-1, 3073))
    train, test = np.concatenate(parts[:-1]), parts[-1]
    return [
        array
        for part in (train, test)
        for array in (part[:, 1:].reshape(-1, 3, 32, 32), part[:, 0])
    ]
