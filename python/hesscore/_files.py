"""Files that are never half written, and reading without waiting for what is no file."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any


def open_regular(path: str) -> IO[bytes]:
    """Open a file for reading. A pipe, which might never say anything, is refused.

    Raises
    ------
    OSError, ValueError
        From the system, or for a name with a null byte.
    """
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def replace(path: str, parts: Iterable[Any]) -> None:
    """Write a file so that at every moment there is the old one or the new one, whole.

    It is on the disk when this returns. What is there already keeps its permissions; a link keeps
    pointing where it points. If it fails, the old file is as it was, and nothing is left behind.

    Raises
    ------
    OSError, ValueError
        From the system, or for a name with a null byte.
    """
    path = os.path.realpath(path)
    mode = _mode(path)
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _mode(path: str) -> int | None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return stat.S_IMODE(mode)


def _sync_folder(folder: str) -> None:
    """Make the new name last, where the file system lets folders be synchronised."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
