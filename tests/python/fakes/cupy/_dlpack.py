"""DLPack capsules of device arrays, as the engine's importer meets them."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any

import numpy as np

READ_ONLY = 1
CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
        ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16), ("shape", c_void_p),
        ("strides", c_void_p), ("byte_offset", c_uint64),
    ]  # fmt: skip


Deleter = ctypes.CFUNCTYPE(None, c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", c_void_p), ("deleter", Deleter)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", c_uint32), ("minor", c_uint32), ("context", c_void_p), ("deleter", Deleter),
        ("flags", c_uint64), ("tensor", Tensor),
    ]  # fmt: skip


_alive: dict[int, Any] = {}


@Deleter
def _delete(address: int) -> None:
    _alive.pop(address, None)


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [c_void_p, ctypes.c_char_p, c_void_p]


def capsule(array: Any, version: tuple[int, int] | None, read_only: bool = False) -> Any:
    """Make a capsule of an array, of DLPack 1 if a version is asked for."""
    dtype = np.dtype(array.dtype)
    if dtype.kind not in CODES:
        raise BufferError(f"{dtype} has no DLPack code")
    sizes = (c_int64 * (2 * array.ndim + 1))(
        *array.shape, *(s // dtype.itemsize for s in array.strides)
    )
    managed = Versioned(1, 0) if version else Managed()
    managed.deleter = _delete
    if version:
        managed.flags = READ_ONLY if read_only else 0
    elif read_only:
        raise BufferError("read-only arrays need DLPack 1")
    start = ctypes.addressof(sizes)
    managed.tensor = Tensor(
        array.data.ptr, 2, 0, array.ndim, CODES[dtype.kind], 8 * dtype.itemsize, 1, start,
        start + 8 * array.ndim, 0,
    )  # fmt: skip
    address = ctypes.addressof(managed)
    _alive[address] = (managed, sizes, array)
    return _new_capsule(address, b"dltensor_versioned" if version else b"dltensor", None)
