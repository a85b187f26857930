"""One training run: what the loss, the accuracy and the clock say after each epoch."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import hesscore as hc

from .images import Images, accuracy
from .settings import Settings


@dataclass
class Run:
    """Of each epoch the mean loss of its batches, the test accuracy and the seconds of its steps.

    `pieces` are mean losses of a tenth of an epoch, `iterations` those of a solver by step. A run
    whose numbers are no longer finite ends with a loss of NaN.
    """

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pieces: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)

    @property
    def loss(self) -> float:
        return self.losses[-1]

    @property
    def accuracy(self) -> float:
        return self.accuracies[-1]


def train(
    f: hc.Objective, w: Any, opt: Any, images: Images, batch: int, epochs: int, seed: int,
    settings: Settings, tick: Callable[[], object], solver: bool = False,
) -> Run:  # fmt: skip
    """Train in place; `tick` is called after each epoch. A `solver`'s iterations are noted."""
    run = Run()

    def note(info: hc.optim.StepInfo) -> None:
        run.iterations.append(info.iterations)

    for epoch in range(epochs):
        with settings.clock() as clock:
            try:
                losses = opt.run(w, images.x, images.y, batch, 1, seed, note if solver else None,
                                 False, first_epoch=epoch)  # fmt: skip
            except hc.NonFiniteError:
                losses = np.full(1, math.nan)
            settings.wait()
        run.losses.append(float(np.mean(losses)))
        run.pieces += [float(np.mean(part)) for part in np.array_split(losses, 10) if len(part)]
        run.seconds.append(clock.seconds)
        run.accuracies.append(accuracy(f, w, images))
        tick()
    return run


@contextlib.contextmanager
def ticks(settings: Settings, total: int, unit: str, title: str) -> Iterator[Callable[[], None]]:
    """Show progress; each call of what this yields counts one."""
    done = itertools.count(1)
    with settings.count(total, unit, title) as progress:
        yield lambda: progress.update(next(done))


def curve(runs: Sequence[Run], name: str = "losses") -> np.ndarray:
    """Return the mean over runs of what they noted by epoch."""
    return np.mean([getattr(run, name) for run in runs], axis=0)
