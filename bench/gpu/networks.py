"""The networks of the GPU comparison: layers in a row, parameters in the order of hc.models."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer by its kind; `out` channels or units, and the window of convolutions and pooling."""

    kind: str  # conv, linear, tanh, relu, avg, max (with ceil_mode), mean (over positions), flatten
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
        steps = [-(-n // self.stride) if self.kind == "max" else n // self.stride for n in room]
        return (self.out or x[0], *(n + 1 for n in steps))

    def weight(self, x: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of its weight, where it has one, in PyTorch's layout."""
        if self.kind == "conv":
            return (self.out, x[0], self.kernel, self.kernel)
        return (self.out, x[0]) if self.kind == "linear" else None


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with softmax cross-entropy on one batch."""

    name: str
    input: tuple[int, ...]
    layers: tuple[Layer, ...]
    batch: int

    @property
    def is_mlp(self) -> bool:
        return len(self.input) == 1

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the input and of the output of each layer."""
        return list(
            itertools.accumulate(self.layers, lambda x, layer: layer.shape(x), initial=self.input)
        )


def _conv(out: int, kernel: int, padding: int = 0, stride: int = 1, *, act: str) -> list[Layer]:
    return [Layer("conv", out, kernel, stride, padding), Layer(act)]


def _dense(*widths: int, act: str) -> list[Layer]:
    return [p for n in widths for p in (Layer("linear", n), Layer(act))][:-1]


def mlp(*sizes: int, batch: int) -> Case:
    layers = _dense(*sizes[1:], act="tanh")
    return Case("-".join(map(str, sizes)), sizes[:1], tuple(layers), batch)


def lenet5(batch: int) -> Case:
    pool = Layer("avg", kernel=2, stride=2)
    layers = [*_conv(6, 5, 2, act="tanh"), pool, *_conv(16, 5, act="tanh"), pool, Layer("flatten")]
    return Case("lenet5", (1, 28, 28), (*layers, *_dense(120, 84, 10, act="tanh")), batch)


def cnn_3c3d(batch: int) -> Case:
    pool = Layer("max", kernel=3, stride=2)
    convs = [_conv(64, 5, act="relu"), _conv(96, 3, act="relu"), _conv(128, 3, 1, act="relu")]
    layers = [p for conv in convs for p in (*conv, pool)]
    dense = _dense(512, 256, 10, act="relu")
    return Case("3c3d", (3, 32, 32), (*layers, Layer("flatten"), *dense), batch)


def all_cnn_c(batch: int) -> Case:
    shapes = [(96, 3, 1), (96, 3, 1), (96, 3, 1, 2), (192, 3, 1), (192, 3, 1), (192, 3, 1, 2)]
    shapes += [(192, 3), (192, 1), (100, 1)]
    layers = [p for shape in shapes for p in _conv(*shape, act="relu")]
    return Case("allcnnc", (3, 32, 32), (*layers, Layer("mean")), batch)


class Problem:
    """A batch and parameters, made by NumPy from a fixed seed: all sides hold the same."""

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        shapes = case.shapes()
        inputs = zip(case.layers, shapes, strict=False)
        self.weights = [shape for layer, x in inputs if (shape := layer.weight(x))]
        count = sum(math.prod(shape) + shape[0] for shape in self.weights)
        self.x = rng.standard_normal((case.batch, *case.input), dtype=np.float32)
        self.y = rng.integers(0, shapes[-1][0], case.batch)
        self.v = rng.standard_normal(count, dtype=np.float32)
        self.w = np.empty(count, np.float32)
        self.layers = self.split(self.w)
        for weight, bias in self.layers:
            bound = 1 / math.sqrt(math.prod(weight.shape[1:]))
            weight[:] = rng.uniform(-bound, bound, weight.shape)
            bias[:] = rng.uniform(-bound, bound, bias.shape)

    def split(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Views of a flat vector as the weight and the bias of each layer that has them."""
        views, start = [], 0
        for shape in self.weights:
            mid, end = start + math.prod(shape), start + math.prod(shape) + shape[0]
            views.append((flat[start:mid].reshape(shape), flat[mid:end]))
            start = end
        return views


def join(parts) -> np.ndarray:
    """Flat vector of arrays in the order weight, bias, weight, bias, ..."""
    return np.concatenate([np.asarray(p, dtype=np.float64).reshape(-1) for p in parts])
