"""Costs side by side: calls take turns, so that a slow spell of the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Costs:
    """Seconds per call by name, one number for each round."""

    rounds: dict[str, np.ndarray]

    def seconds(self, name: str) -> float:
        """Return the median over the rounds."""
        return float(np.median(self.rounds[name]))

    def ratio(self, name: str, other: str) -> float:
        """Return the median over the rounds of one's time divided by another's."""
        return float(np.median(self.rounds[name] / self.rounds[other]))


def interleave(
    calls: Mapping[str, Callable[[], object]],
    rounds: int = 11,
    repeats: int = 10,
    wait: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Time calls in turn, `repeats` of each in every round, after one round that does not count.

    `wait` is called before the clock is read; on a GPU it waits for the device. `clock` tells
    seconds, for instance `time.process_time`.
    """
    times = {name: np.empty(rounds) for name in calls}
    for k in range(-1, rounds):
        for name, call in calls.items():
            wait()
            start = clock()
            for _ in range(repeats):
                call()
            wait()
            if k >= 0:
                times[name][k] = (clock() - start) / repeats
    return Costs(times)
