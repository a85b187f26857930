"""The networks of bench/peers as nested layers, for the sweeps that are written by hand."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from peers.problem import Case, NetCase, Problem, make

__all__ = ["EPS", "Case", "Layer", "NetCase", "Problem", "layers", "make", "name"]

EPS = 1e-5  # of batch normalisation


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer by its kind; `out` channels or units, and the window of convolutions and pooling."""

    kind: str  # as in nets.py; max_pool has ceil_mode, mean is over positions
    out: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    arrays: int = 0  # of parameters
    branches: tuple[tuple[Layer, ...], ...] = ()  # of a residual block, summed

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of its output, without the batch, channels first."""
        if self.kind == "residual":
            for layer in self.branches[0]:
                x = layer.shape(x)
            return x
        if self.kind == "linear":
            return (self.out,)
        if self.kind in ("flatten", "mean"):
            return (math.prod(x),) if self.kind == "flatten" else x[:1]
        if self.kind in ("tanh", "relu", "batch_norm"):
            return x
        room = [n + 2 * self.padding - self.kernel for n in x[1:]]
        steps = [
            -(-n // self.stride) if self.kind == "max_pool" else n // self.stride for n in room
        ]
        return (self.out or x[0], *(n + 1 for n in steps))


def name(case: Case | NetCase) -> str:
    """The name of the network in all tables."""
    return case.net if isinstance(case, NetCase) else "-".join(map(str, case.sizes))


def layers(case: Case | NetCase) -> tuple[Layer, ...]:
    """The layers of a network."""
    return tuple(_layer(*row) for row in case.layers)


def _layer(kind: str, *numbers) -> Layer:
    match kind, numbers:
        case "residual", branches:
            return Layer(kind, branches=tuple(tuple(_layer(*row) for row in b) for b in branches))
        case "linear", (_, out):
            return Layer(kind, out, arrays=2)
        case "conv", (_, out, kernel, stride, padding, bias):
            return Layer(kind, out, kernel, stride, padding, 1 + bias)
        case "mean_pool" | "max_pool", (kernel, stride):
            return Layer(kind, kernel=kernel, stride=stride)
    return Layer(kind, arrays=2 if kind == "batch_norm" else 0)
