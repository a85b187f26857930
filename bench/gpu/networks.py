"""The networks of bench/peers as layers in a row, for the sweeps that are written by hand."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from problem import Case, NetCase, Problem, make

__all__ = ["Case", "Layer", "NetCase", "Problem", "layers", "make", "name", "shapes"]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer by its kind; `out` channels or units, and the window of convolutions and pooling."""

    kind: str  # as in nets.py; max_pool has ceil_mode, mean is over positions
    out: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of its output, without the batch, channels first."""
        if self.kind == "linear":
            return (self.out,)
        if self.kind in ("flatten", "mean"):
            return (math.prod(x),) if self.kind == "flatten" else x[:1]
        if self.kind in ("tanh", "relu"):
            return x
        room = [n + 2 * self.padding - self.kernel for n in x[1:]]
        steps = [
            -(-n // self.stride) if self.kind == "max_pool" else n // self.stride for n in room
        ]
        return (self.out or x[0], *(n + 1 for n in steps))

    @property
    def has_weight(self) -> bool:
        return self.kind in ("conv", "linear")


def name(case: Case | NetCase) -> str:
    """The name of the network in all tables."""
    return case.net if isinstance(case, NetCase) else "-".join(map(str, case.sizes))


def layers(case: Case | NetCase) -> tuple[Layer, ...]:
    """The layers of a network without branches."""
    found = []
    for kind, *numbers in case.layers:
        match kind, numbers:
            case "linear", (_, out):
                found.append(Layer(kind, out))
            case "conv", (_, out, kernel, stride, padding, _):
                found.append(Layer(kind, out, kernel, stride, padding))
            case "mean_pool" | "max_pool", (kernel, stride):
                found.append(Layer(kind, kernel=kernel, stride=stride))
            case _:
                found.append(Layer(kind))
    return tuple(found)


def shapes(case: Case | NetCase) -> list[tuple[int, ...]]:
    """Shapes of the input and of the output of each layer, without the batch, channels first."""
    return list(
        itertools.accumulate(
            layers(case), lambda x, layer: layer.shape(x), initial=case.input_shape
        )
    )
