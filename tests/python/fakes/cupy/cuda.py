"""Streams and devices: one device, current streams of each thread."""

from __future__ import annotations

import threading
from typing import Any

from ._memory import Memory, MemoryPointer, gpu

__all__ = ["Device", "Memory", "MemoryPointer", "Stream", "alloc", "get_current_stream"]


class Stream:
    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptr: int | None = None):
        self.ptr = ptr if ptr is not None else 0 if null else gpu.stream()

    def __enter__(self) -> Stream:
        _stack().append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _stack().pop()

    def synchronize(self) -> None:
        gpu.wait()


Stream.null = Stream(null=True)
_streams = threading.local()


def _stack() -> list[Stream]:
    if not hasattr(_streams, "stack"):
        _streams.stack = [Stream.null]
    return _streams.stack


def get_current_stream(device_id: int = -1) -> Stream:
    assert device_id in (-1, 0)
    return _stack()[-1]


class Device:
    """Counts how often it was entered and waited for."""

    entered = synchronized = 0

    def __init__(self, device: int | None = None) -> None:
        self.id = int(device or 0)
        if self.id != 0:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def __enter__(self) -> Device:
        Device.entered += 1
        return self

    def __exit__(self, *_: Any) -> None:
        Device.entered -= 1

    def synchronize(self) -> None:
        Device.synchronized += 1
        gpu.wait()


def alloc(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size, get_current_stream().ptr))
