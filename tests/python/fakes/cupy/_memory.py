"""Memory and streams: of the emulated GPU, by its own names, or of a real one, by libcudart's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from ctypes import byref, c_int, c_size_t, c_uint, c_void_p
from pathlib import Path

TO_DEVICE, TO_HOST, ON_DEVICE = 1, 2, 3


class Emulated:
    def __init__(self, plugin: str) -> None:
        library = ctypes.CDLL(plugin)
        for name in ("allocate", "free", "copy", "stream", "order", "wait"):
            setattr(self, name, getattr(library, f"hesscore_emulator_{name}"))
        self.allocate.restype = self.stream.restype = c_void_p
        self.allocate.argtypes = [c_size_t, c_void_p]
        self.free.argtypes = self.order.argtypes = [c_void_p, c_void_p]
        self.copy.argtypes = [c_void_p, c_void_p, c_size_t, c_int, c_void_p]


class Real:
    """As the functions of tests/emulator/arrays.cpp."""

    def __init__(self) -> None:
        names = [f"libcudart.so.{version}" for version in (13, 12)]
        packaged = (p for d in sys.path for n in names for p in Path(d).glob(f"nvidia/*/lib/{n}"))
        for library in (*names, *packaged):
            with contextlib.suppress(OSError):
                self._cuda = ctypes.CDLL(str(library))
                return
        raise ImportError("neither CuPy nor a CUDA run-time library for a stand-in")

    def _call(self, name: str, *arguments: object) -> None:
        error = getattr(self._cuda, name)(*arguments)
        if error:
            raise RuntimeError(f"{name}: CUDA error {error}")

    def allocate(self, nbytes: int, stream: int) -> int | None:
        p = c_void_p()
        self._call("cudaMallocAsync", byref(p), c_size_t(nbytes), c_void_p(stream))
        return p.value

    def free(self, p: int, stream: int) -> None:
        self._call("cudaFreeAsync", c_void_p(p), c_void_p(stream))

    def copy(self, to: int, source: int, nbytes: int, kind: int, stream: int) -> None:
        self._call("cudaMemcpyAsync", c_void_p(to), c_void_p(source), c_size_t(nbytes), kind,
                   c_void_p(stream))  # fmt: skip
        if kind != ON_DEVICE:
            self._call("cudaStreamSynchronize", c_void_p(stream))

    def stream(self) -> int | None:
        stream = c_void_p()
        self._call("cudaStreamCreateWithFlags", byref(stream), c_uint(1))
        return stream.value

    def order(self, first: int, then: int) -> None:
        event = c_void_p()
        self._call("cudaEventCreateWithFlags", byref(event), c_uint(2))
        self._call("cudaEventRecord", event, c_void_p(first))
        self._call("cudaStreamWaitEvent", c_void_p(then), event, c_uint(0))
        self._call("cudaEventDestroy", event)

    def wait(self) -> None:
        self._call("cudaDeviceSynchronize")


def _backend() -> Emulated | Real:
    plugin = os.environ["HESSCORE_CUDA_PLUGIN"]
    if os.environ.get("HESSCORE_TEST_CUDA") != "real":
        return Emulated(plugin)
    return Real()


gpu = _backend()


class Memory:
    """A block that goes back, as in CuPy's pool, after the work on the stream it was made for."""

    used_bytes = 0

    def __init__(self, nbytes: int, stream: int) -> None:
        self.ptr = gpu.allocate(max(nbytes, 1), stream)
        self.size = nbytes
        self._stream = stream
        if self.ptr is None:
            raise MemoryError(f"no {nbytes} bytes on the device")
        Memory.used_bytes += nbytes

    def __del__(self, free=gpu.free) -> None:
        if getattr(self, "ptr", None):
            free(self.ptr, self._stream)
            type(self).used_bytes -= self.size


class MemoryPointer:
    def __init__(self, memory: Memory, offset: int = 0) -> None:
        self.mem = memory
        self.ptr = memory.ptr + offset
        self.device_id = 0
