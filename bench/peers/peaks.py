"""What the machine can do: FLOPs of a product, bytes of a copy.

FLOPs: the forward pass of a dense layer of 2048 units on 1024 samples, float32, through hesscore's
own kernels, the fastest call of half a second. Bytes: NumPy copies 256 MB, in one Python thread for
each thread (copies release the interpreter), the fastest of half a second; a byte that is read
and written counts twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import hesscore as hc

from .clock import once
from .floor import SIZE, Peaks

SECONDS = 0.5
UNITS, SAMPLES = 2048, 1024
COPIED = 1 << 28


def measure() -> Peaks:
    """Measure with as many threads as hesscore uses."""
    return Peaks(_flops(), _bandwidth(hc.get_num_threads()))


def _flops() -> float:
    f = hc.Objective(hc.Linear(UNITS, UNITS, bias=False), hc.MSELoss())
    w = f.init(seed=0)
    x = np.random.default_rng(0).standard_normal((SAMPLES, UNITS), dtype=np.float32)
    return 2.0 * SAMPLES * UNITS**2 / _fastest(lambda: f.predict(w, x))


def _bandwidth(threads: int) -> float:
    source, target = np.ones((2, threads, COPIED // threads // SIZE), np.float32)
    with ThreadPoolExecutor(threads) as pool:
        fastest = _fastest(lambda: list(pool.map(np.copyto, target, source)))
    return 2.0 * source.nbytes / fastest


def _fastest(call: Callable[[], object]) -> float:
    call()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        best = min(best, once(call)[0])
    return best
