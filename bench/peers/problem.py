"""The problem that every side solves: one network, one batch, one flat parameter vector.

All of it is made by NumPy from a fixed seed, so that each process holds the same numbers.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from . import nets
from .cases import AnyCase, Case, NetCase, num_params

__all__ = ["Case", "NetCase", "Problem", "join", "join_scaled", "make"]

DAMPING = 0.1  # added to the GGN in the conjugate-gradient rows
CG_ITERATIONS = 50
LANCZOS_STEPS = 100
PROBES = 32
ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3}  # eps: no step is a mere sign


@dataclasses.dataclass
class Problem:
    """Arrays of a case: `parameters` are views of the flat `w`, in the network's order."""

    case: AnyCase
    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    v: np.ndarray

    @property
    def parameters(self) -> list[np.ndarray]:
        return self.views(self.w)

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The (W (out, in), b (out,)) of each layer of a perceptron."""
        return self.split(self.w)

    def views(self, flat: np.ndarray) -> list[np.ndarray]:
        """Views of a flat vector as the arrays of the parameters."""
        shapes = [shape for _, shape in nets.parameters(self.case.layers)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def split(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The views by pairs of weight and bias."""
        views = self.views(flat)
        return list(zip(views[::2], views[1::2], strict=True))

    def double(self) -> Problem:
        """The same numbers in float64."""
        x, w, v = (a.astype(np.float64) for a in (self.x, self.w, self.v))
        return Problem(self.case, x, self.y, w, v)


def make(case: AnyCase, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.batch, *case.input_shape), dtype=np.float32)
    y = rng.integers(0, case.classes, case.batch)
    count = num_params(case)
    v = rng.standard_normal(count, dtype=np.float32)
    problem = Problem(case, x, y, np.empty(count, np.float32), v)
    draw(problem, rng)
    return problem


def draw(problem: Problem, rng: np.random.Generator) -> None:
    """Uniform weights and biases up to the root of 1 / fan-in; normalisation starts at 1 and 0."""
    bound = 1.0
    for (kind, shape), p in zip(
        nets.parameters(problem.case.layers), problem.parameters, strict=True
    ):
        if kind == "weight":
            bound = 1 / np.sqrt(math.prod(shape[1:]))
        p[:] = {"scale": 1, "shift": 0}.get(kind, rng.uniform(-bound, bound, shape))


def join(parts) -> np.ndarray:
    """Flat vector of the tensors in the order W0, b0, W1, b1, ..."""
    return np.concatenate([np.asarray(p).reshape(-1) for p in parts])


def join_scaled(matrices) -> np.ndarray:
    """Flat vector of matrices with a trace of 1: Kronecker factors have scales of many kinds."""
    return join([np.asarray(m) / np.trace(m) for m in matrices])
