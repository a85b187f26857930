"""The networks that are measured, each with softmax cross-entropy on one batch."""

from __future__ import annotations

import dataclasses
import math

from . import nets

WIDE, BIG, SMALL = (784, 1024, 1024, 10), (784, 512, 256, 10), (784, 128, 10)
NARROW = (784, 128, 64, 10)


@dataclasses.dataclass(frozen=True)
class Case:
    """A multi-layer perceptron."""

    sizes: tuple[int, ...]
    activation: str
    batch: int

    @property
    def net(self) -> str:
        """What the user calls it."""
        return "-".join(map(str, self.sizes))

    @property
    def name(self) -> str:
        return f"{self.net} {self.activation} N={self.batch}"

    @property
    def group(self) -> tuple[int, ...]:
        """What targets are set for."""
        return self.sizes

    @property
    def is_kinked(self) -> bool:
        """Are there units enough that some are within rounding of a kink?"""
        return False

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
    """A network of nets.py."""

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


AnyCase = Case | NetCase


def case_of(key: list) -> AnyCase:
    if isinstance(key[0], str):
        return NetCase(*key)
    return Case(tuple(key[0]), *key[1:])


def perceptrons(batch: int = 128) -> list[AnyCase]:
    cases: list[AnyCase] = [
        Case(sizes, activation, batch) for sizes in (SMALL, BIG) for activation in ("relu", "tanh")
    ]
    return [*cases, Case(NARROW, "tanh", batch), Case(WIDE, "relu", batch)]


def convolutional(batch: int | None = None) -> list[AnyCase]:
    sizes = {"lenet5": 128, "3c3d": 128, "allcnnc": 32, "resnet18": 16}
    return [NetCase(net, batch or default) for net, default in sizes.items()]


def everything(batch: int | None = None) -> list[AnyCase]:
    return perceptrons(batch or 128) + convolutional(batch)


def has_batch_norm(layers: nets.Layers) -> bool:
    """Do samples of a batch depend on each other?"""
    return any(
        kind == "batch_norm" or (kind == "residual" and any(map(has_batch_norm, numbers)))
        for kind, *numbers in layers
    )


def num_params(case: AnyCase) -> int:
    return sum(math.prod(shape) for _, shape in nets.parameters(case.layers))
