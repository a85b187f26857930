"""How times and memory grow: with width, depth, batch, classes and threads.

One perceptron with hyperbolic tangents, 256-256-256-10 on 128 samples, of which one thing changes
at a time. The exponent p of t ~ c n^p is that of a straight line through the upper half of the
points, both axes logarithmic. Memory is `f.memory`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import hesscore as hc

from .cases import Case
from .clock import measure
from .problem import make
from .progress import Progress
from .side_hesscore import objective
from .side_hesscore import rows as rows_of

#: Row -> what `f.memory` calls it.
ROWS = {
    "gradient": ("loss", "grad"),
    "hesscale": ("loss", "grad", "hesscale"),
    "ggn_mc": ("loss", "grad", "ggn_mc"),
    "ggn": ("loss", "grad", "ggn"),
    "hvp": ("hvp",),
    "ggnvp, linearised anew": ("ggnvp",),
    "kfac": ("loss", "grad", "kron"),
    "grad_moments": ("grad_moments",),
}
WIDTH, DEPTH, BATCH, CLASSES = 256, 2, 128, 10


@dataclasses.dataclass(frozen=True)
class Series:
    """One thing that changes: its values, and the case of each."""

    name: str
    values: tuple[int, ...]
    case: Callable[[int], Case]
    rows: tuple[str, ...] = tuple(ROWS)


def perceptron(width: int = WIDTH, depth: int = DEPTH, batch: int = BATCH, classes: int = CLASSES):
    return Case((width, *[width] * depth, classes), "tanh", batch)


def all_series(quick: bool) -> list[Series]:
    step = 2 if quick else 1
    threads = range(1, (hc.get_num_threads() or 1) + 1)
    return [
        Series("width", (64, 128, 256, 512, 1024)[::step], lambda n: perceptron(width=n)),
        Series("depth", (1, 2, 4, 8, 16)[::step], lambda n: perceptron(depth=n)),
        Series("batch", (16, 32, 64, 128, 256, 512)[::step], lambda n: perceptron(batch=n)),
        Series("classes", (10, 32, 100, 320, 1000)[::step], lambda n: perceptron(classes=n)),
        Series("threads", tuple(threads), lambda n: perceptron()),
    ]


def run(quick: bool, progress: Progress) -> list[dict[str, Any]]:
    """Measure all: one entry for each series and row."""
    seconds, before = (0.05 if quick else 0.3), hc.get_num_threads()
    found = []
    for series in all_series(quick):
        try:
            found += _series(series, seconds, progress)
        finally:
            hc.set_num_threads(before)
    return found


def _series(series: Series, seconds: float, progress: Progress) -> list[dict[str, Any]]:
    times: dict[str, list[float]] = {row: [] for row in series.rows}
    memory: dict[str, list[int]] = {row: [] for row in series.rows}
    for value in series.values:
        if series.name == "threads":
            hc.set_num_threads(value)
        case = series.case(value)
        f, given = objective(case), rows_of(make(case))
        for row in series.rows:
            progress.step(f"{series.name} {value}: {row}")
            times[row].append(float(np.median(measure(given[row].prepare(), seconds))))
            memory[row].append(f.memory(case.batch, ROWS[row], train=True))
    return [_entry(series, row, times, memory[row]) for row in series.rows]


def _entry(
    series: Series, row: str, times: dict[str, list[float]], memory: list[int]
) -> dict[str, Any]:
    fit = functools.partial(exponent, series.values)
    ratios = np.asarray(times[row]) / np.asarray(times["gradient"])
    return {
        "series": series.name,
        "row": row,
        "values": list(series.values),
        "ms": [round(1e3 * t, 4) for t in times[row]],
        "megabytes": [round(m / 1e6, 3) for m in memory],
        "over_gradient": [round(float(r), 2) for r in ratios],
        "exponent": fit(times[row]),
        "memory_exponent": fit([float(m) for m in memory]),
    }


def exponent(values: tuple[int, ...], costs: list[float]) -> float | None:
    """The slope of log cost over log value through the upper half of the points, at least two."""
    count = max(2, (len(values) + 1) // 2)
    if len(values) < 2:
        return None
    slope = np.polyfit(np.log(values[-count:]), np.log(costs[-count:]), 1)[0]
    return round(float(slope), 2)
