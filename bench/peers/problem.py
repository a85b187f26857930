"""The problems that every side solves: one network, one batch, one flat parameter vector.

All of it is made by NumPy from a fixed seed, so that each process holds the same numbers.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

DAMPING = 0.1  # added to the GGN in the conjugate-gradient rows
CG_ITERATIONS = 50


@dataclasses.dataclass(frozen=True)
class Case:
    """A multi-layer perceptron with softmax cross-entropy on one batch."""

    sizes: tuple[int, ...]
    activation: str
    batch: int

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.sizes))} {self.activation} N={self.batch}"


BIG, SMALL = (784, 512, 256, 10), (784, 128, 10)


def cases(activations: tuple[str, ...] = ("tanh", "relu"), batch: int = 128) -> list[Case]:
    return [Case(s, a, batch) for s in (BIG, SMALL) for a in activations]


@dataclasses.dataclass
class Problem:
    """Arrays of a case: `layers` are views (W (out, in), b (out,)) of the flat float32 `w`."""

    case: Case
    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    v: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]

    def split(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Views of a flat vector as the (W, b) of each layer."""
        views, start = [], 0
        for n_in, n_out in itertools.pairwise(self.case.sizes):
            mid, end = start + n_in * n_out, start + (n_in + 1) * n_out
            views.append((flat[start:mid].reshape(n_out, n_in), flat[mid:end]))
            start = end
        return views


def make(case: Case, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    sizes = case.sizes
    count = sum((i + 1) * o for i, o in itertools.pairwise(sizes))
    x = rng.standard_normal((case.batch, sizes[0]), dtype=np.float32)
    y = rng.integers(0, sizes[-1], case.batch)
    v = rng.standard_normal(count, dtype=np.float32)
    problem = Problem(case, x, y, np.empty(count, np.float32), v, [])
    problem.layers = problem.split(problem.w)
    for weight, bias in problem.layers:
        bound = 1 / np.sqrt(weight.shape[1])
        weight[:] = rng.uniform(-bound, bound, weight.shape)
        bias[:] = rng.uniform(-bound, bound, bias.shape)
    return problem


def join(parts) -> np.ndarray:
    """Flat vector of the tensors in the order W0, b0, W1, b1, ..."""
    return np.concatenate([np.asarray(p, dtype=np.float32).reshape(-1) for p in parts])
