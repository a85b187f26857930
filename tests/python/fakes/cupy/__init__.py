"""A stand-in for CuPy where there is none: arrays on the emulated GPU, or on a real one by ctypes.

It has what hesscore and its tests use, computes on the host, and refuses what CuPy refuses: to
become a NumPy array unless asked, and to mix with one.
"""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import _dlpack, cuda
from ._memory import ON_DEVICE, TO_DEVICE, TO_HOST, Memory, gpu
from .cuda import MemoryPointer, get_current_stream

__version__ = "stand-in"


def _extent(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    return (
        sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + itemsize
        if all(shape)
        else 0
    )


class ndarray:
    """An array of the device; ``exports`` notes (stream told, current stream) of each capsule."""

    __array_ufunc__ = None
    exports: list[tuple[Any, int]] = []  # noqa: RUF012

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None
    ) -> None:
        self.shape = tuple(shape) if isinstance(shape, (tuple, list)) else (int(shape),)
        self.dtype = np.dtype(dtype)
        self.strides = strides or np.empty(self.shape, self.dtype).strides
        self.data = memptr or cuda.alloc(self.nbytes)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: int(np.prod(self.shape)))
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.size * self.itemsize)
    device = property(lambda self: cuda.Device(0))
    T = property(lambda self: self.transpose())

    # ---- to and from the host ----

    def _window(self) -> np.ndarray:
        """A host copy of the memory from first to last element, as an array of our shape."""
        extent = _extent(self.shape, self.strides, self.itemsize)
        raw = np.empty(max(extent, self.itemsize), np.uint8)
        if extent:
            gpu.copy(raw.ctypes.data, self.data.ptr, extent, TO_HOST, get_current_stream().ptr)
        return np.ndarray(self.shape, self.dtype, raw, strides=self.strides)

    def get(self) -> np.ndarray:
        return self._window().copy()

    def set(self, values: Any) -> None:
        window = self._window()
        window[...] = values
        extent = _extent(self.shape, self.strides, self.itemsize)
        if extent:
            gpu.copy(self.data.ptr, window.ctypes.data, extent, TO_DEVICE, get_current_stream().ptr)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape, "strides": self.strides, "typestr": self.dtype.str, "version": 3,
            "data": (self.data.ptr, False), "stream": get_current_stream().ptr or 1,
        }  # fmt: skip

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, **_: Any) -> Any:
        current = get_current_stream().ptr
        ndarray.exports.append((stream, current))
        if stream == 0:
            raise ValueError("stream 0 is ambiguous")
        reader = 0 if stream in (None, 1) else stream
        if reader != current and stream != -1:
            gpu.order(current, reader)
        return _dlpack.capsule(self, max_version)

    # ---- views ----

    def _view(self, pick: Any) -> ndarray:
        extent = max(_extent(self.shape, self.strides, self.itemsize), self.itemsize)
        base = np.ndarray(self.shape, self.dtype, np.empty(extent, np.uint8), strides=self.strides)
        view = pick(base)
        offset = view.ctypes.data - base.ctypes.data if view.size else 0
        start = MemoryPointer(self.data.mem, self.data.ptr - self.data.mem.ptr + offset)
        return ndarray(view.shape, view.dtype, start, view.strides)

    def __getitem__(self, index: Any) -> ndarray:
        if isinstance(index, int):  # NumPy would give a scalar, CuPy a view without axes
            return self[index : index + 1 or None].reshape(self.shape[1:])
        if isinstance(index, ndarray):
            return asarray(self.get()[index.get()])
        return self._view(lambda base: base[index])

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(lambda base: base.transpose(*[a for a in axes if a is not None]))

    def reshape(self, *shape: Any) -> ndarray:
        if self.strides == np.empty(self.shape, self.dtype).strides:
            return self._view(lambda base: base.reshape(*shape))
        return asarray(self.get().reshape(*shape))

    def __setitem__(self, index: Any, value: Any) -> None:
        host = self.get()
        host[index] = _host(value)
        self.set(host)

    # ---- computing ----

    def copy(self) -> ndarray:
        out = ndarray(self.shape, self.dtype)
        if self.strides == out.strides and self.nbytes:
            gpu.copy(out.data.ptr, self.data.ptr, self.nbytes, ON_DEVICE, get_current_stream().ptr)
        else:
            out.set(self.get())
        return out

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> ndarray:
        return asarray(self.get().astype(dtype, order=order))

    def tolist(self) -> Any:
        return self.get().tolist()

    def __len__(self) -> int:
        return len(self.get())

    def __iter__(self) -> Any:
        return (self[i] for i in range(self.shape[0]))

    def __float__(self) -> float:
        return float(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __repr__(self) -> str:
        return repr(self.get())


def _host(value: Any) -> Any:
    return value.get() if isinstance(value, ndarray) else value


def _operand(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return _host(value)


def _binary(name: str, reflected: bool = False, in_place: bool = False) -> Any:
    function = getattr(operator, name)

    def method(self: ndarray, other: Any) -> Any:
        mine, other = self.get(), _operand(other)
        result = function(other, mine) if reflected else function(mine, other)
        if not in_place:
            return asarray(result)
        self.set(result)
        return self

    return method


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "eq", "ne", "lt", "le", "gt", "ge"):
    setattr(ndarray, f"__{_name}__", _binary(_name))
    if _name in ("add", "sub", "mul", "truediv", "matmul"):
        setattr(ndarray, f"__r{_name}__", _binary(_name, reflected=True))
        setattr(ndarray, f"__i{_name}__", _binary(_name, in_place=True))
ndarray.__neg__ = lambda self: asarray(-self.get())
ndarray.__abs__ = lambda self: asarray(np.abs(self.get()))
ndarray.__hash__ = None


def _on_host(function: Any) -> Any:
    """``function`` of NumPy on arrays of the device."""
    return lambda *a, **k: asarray(function(*(_operand(v) for v in a), **k))


def _method(name: str) -> Any:
    return lambda self, *a, **k: asarray(getattr(self.get(), name)(*a, **k))


for _name in ("sum", "max", "min", "all", "any", "argmax", "diagonal", "mean", "dot", "round"):
    setattr(ndarray, _name, _method(_name))

abs, sqrt, dot, allclose = map(_on_host, (np.abs, np.sqrt, np.dot, np.allclose))
exp, tanh, maximum, arange = map(_on_host, (np.exp, np.tanh, np.maximum, np.arange))


class linalg:
    norm = staticmethod(_on_host(np.linalg.norm))

    @staticmethod
    def qr(a: ndarray) -> tuple[ndarray, ndarray]:
        q, r = np.linalg.qr(a.get())
        return asarray(q), asarray(r)


def asnumpy(a: Any) -> np.ndarray:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def empty(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(shape, dtype)


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    return asarray(np.zeros(shape, dtype))


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = float) -> ndarray:
    return asarray(np.eye(n, m, k, dtype))


def asarray(a: Any, dtype: Any = None) -> ndarray:
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    if hasattr(a, "__cuda_array_interface__"):
        return from_dlpack(a.array)
    host = np.asarray(a, dtype)
    out = ndarray(host.shape, host.dtype)
    out.set(host)
    return out


array = asarray


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return asarray(np.ascontiguousarray(a.get(), dtype))


def from_dlpack(a: Any) -> ndarray:
    """Take an array of ours, or something with one in ``array``, which is told our stream."""
    stream = get_current_stream().ptr or 1
    try:
        a.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:
        a.__dlpack__(stream=stream)
    return a if isinstance(a, ndarray) else a.array


def get_default_memory_pool() -> Any:
    return SimpleNamespace(used_bytes=lambda: Memory.used_bytes)


def stack(arrays: Any) -> ndarray:
    return asarray(np.stack([a.get() for a in arrays]))


def concatenate(arrays: Any) -> ndarray:
    return asarray(np.concatenate([a.get() for a in arrays]))


dtype, float32, float64 = np.dtype, np.float32, np.float64
