"""Seconds of calls."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np

LONG = 2.0  # seconds of a call that is timed as it comes


def once(call: Callable[[], object]) -> tuple[float, object]:
    """Seconds of one call, and what it returned."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def measure(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, for about `seconds`, after an untimed stretch of a fifth of that.

    There is one untimed call at least: another process had the caches, and memory that was given
    back is slow to come again. A call longer than LONG is timed as it comes.
    """
    times: list[float] = []
    gc.disable()
    try:
        first, _ = once(call)
        if first > LONG:
            return [first]
        warm = time.perf_counter() + seconds / 5
        while time.perf_counter() < warm:
            call()
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return times


def compare(first: Callable[[], object], second: Callable[[], object], seconds: float) -> float:
    """The first's median time over the second's, called in turn, untimed once."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (first, second):
        call()
    gc.disable()
    end = time.perf_counter() + seconds
    while not times[0] or time.perf_counter() < end:
        for call, to in zip((first, second), times, strict=True):
            to.append(once(call)[0])
    gc.enable()
    return float(np.median(times[0]) / np.median(times[1]))
