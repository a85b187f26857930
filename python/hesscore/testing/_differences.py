"""Derivatives by differences that tell how far they can be trusted.

Central differences at six steps, a factor of ten apart, and extrapolated in pairs (Richardson):
truncation falls with the step and rounding grows, so the best are the two neighbours that agree
most, and their distance is the error. Kinks that lie within the larger steps make those disagree
and are left behind; a kink at the point itself shows at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


@dataclass(frozen=True)
class Difference:
    """A derivative along a line, by differences.

    Attributes
    ----------
    value : array
    error : float
        Its own estimate of ``||value - derivative||``.
    kinks : array of bool
        Where the derivatives from both sides differ, or the function itself jumps.
    """

    value: Any
    error: float
    kinks: Any


def difference(function: Callable[[float], Any]) -> Difference:
    """Differentiate a function from a number to an array of float64 at 0."""
    up, down = ([np.asarray(function(s * h)) for h in STEPS] for s in (1, -1))
    middle = np.asarray(function(0.0))
    d = [(a - b) / (2 * h) for a, b, h in zip(up, down, STEPS, strict=True)]
    best = [(100 * fine - coarse) / 99 for coarse, fine in pairwise(d)]
    apart = [np.linalg.norm(np.ravel(a - b)) for a, b in pairwise(best)]
    k = int(np.argmin(apart))
    return Difference(best[k], float(apart[k]), _kinks(up, down, middle))


def _kinks(up: list[Any], down: list[Any], middle: Any) -> Any:
    """Where a change does not fall tenfold with the step, or a bend not a hundredfold."""
    noise = 256 * np.finfo(np.float64).eps * (np.abs(middle) + np.abs(middle).max(initial=0.0))
    changes = [np.abs(up[k] - down[k]) for k in (-3, -2)]
    bends = [np.abs(up[k] + down[k] - 2 * middle) for k in (-3, -2)]
    torn = (changes[1] > 0.5 * changes[0]) & (changes[1] > noise)
    return torn | ((bends[1] > 0.05 * bends[0]) & (bends[1] > noise))
