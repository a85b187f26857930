"""The problems that every side solves: one network, one batch, one flat parameter vector.

All of it is made by NumPy from a fixed seed, so that each process holds the same numbers.
"""

from __future__ import annotations

import dataclasses
import math

import nets
import numpy as np

DAMPING = 0.1  # added to the GGN in the conjugate-gradient rows
CG_ITERATIONS = 50
LANCZOS_STEPS = 100
PROBES = 32
MOST_COLUMNS = 10  # classes up to which the exact Gauss-Newton diagonal is timed


@dataclasses.dataclass(frozen=True)
class Case:
    """A multi-layer perceptron with softmax cross-entropy on one batch."""

    sizes: tuple[int, ...]
    activation: str
    batch: int

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.sizes))} {self.activation} N={self.batch}"

    @property
    def group(self) -> tuple[int, ...]:
        """What targets are set for."""
        return self.sizes

    @property
    def is_kinked(self) -> bool:
        """Are there units enough that some are within rounding of a kink?"""
        return False

    @property
    def has_products(self) -> bool:
        """Are products with curvature matrices timed?"""
        return True

    @property
    def has_hessian_diagonal(self) -> bool:
        """Is it timed, with a sweep for each hidden unit?"""
        return self.sizes == NARROW

    @property
    def key(self) -> list:
        """What `case_of` makes the case from again."""
        return [self.sizes, self.activation, self.batch]

    @property
    def layers(self) -> nets.Layers:
        return nets.mlp(self.sizes, self.activation)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.sizes[:1]

    @property
    def classes(self) -> int:
        return self.sizes[-1]


@dataclasses.dataclass(frozen=True)
class NetCase:
    """A network of nets.py with softmax cross-entropy on one batch."""

    net: str
    batch: int

    @property
    def name(self) -> str:
        return f"{self.net} N={self.batch}"

    @property
    def group(self) -> str:
        """What targets are set for."""
        return self.net

    @property
    def is_kinked(self) -> bool:
        """Are there units enough that some are within rounding of a kink?"""
        return ("relu",) in self.layers

    @property
    def has_products(self) -> bool:
        """Are products with curvature matrices timed?"""
        return self.net == "3c3d"

    @property
    def key(self) -> list:
        """What `case_of` makes the case from again."""
        return [self.net, self.batch]

    @property
    def layers(self) -> nets.Layers:
        return nets.NETS[self.net][0]()

    @property
    def input_shape(self) -> tuple[int, ...]:
        return nets.NETS[self.net][1]

    @property
    def classes(self) -> int:
        return nets.NETS[self.net][2]


def case_of(key: list) -> Case | NetCase:
    if isinstance(key[0], str):
        return NetCase(*key)
    return Case(tuple(key[0]), *key[1:])


BIG, SMALL = (784, 512, 256, 10), (784, 128, 10)
NARROW = (784, 128, 64, 10)


def perceptrons(batch: int = 128) -> list[Case | NetCase]:
    cases: list[Case | NetCase] = [
        Case(sizes, activation, batch) for sizes in (BIG, SMALL) for activation in ("tanh", "relu")
    ]
    return [*cases, Case(NARROW, "tanh", batch)]


def convolutional() -> list[Case | NetCase]:
    sizes = {"lenet5": 128, "3c3d": 128, "resnet18": 32, "allcnnc": 64}
    return [NetCase(net, batch) for net, batch in sizes.items()]


@dataclasses.dataclass
class Problem:
    """Arrays of a case: `parameters` are views of the flat float32 `w`, in the network's order."""

    case: Case | NetCase
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


def make(case: Case | NetCase, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.batch, *case.input_shape), dtype=np.float32)
    y = rng.integers(0, case.classes, case.batch)
    count = sum(math.prod(shape) for _, shape in nets.parameters(case.layers))
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
    return np.concatenate([np.asarray(p, dtype=np.float32).reshape(-1) for p in parts])


def join_scaled(matrices) -> np.ndarray:
    """Flat vector of matrices with a trace of 1: Kronecker factors have scales of many kinds."""
    return join([np.asarray(m) / np.trace(m) for m in matrices])
