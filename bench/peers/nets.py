"""Convolutional networks as plain data, which every side builds from its own layers.

A network is a list of tuples: a kind and its numbers, as the functions below write them.
Parameters come in the order of the list; in a residual block, the branch's before the shortcut's.
"""

from __future__ import annotations

import itertools
import math

Layers = list[tuple]


def mlp(sizes: tuple[int, ...], activation: str) -> Layers:
    layers: Layers = []
    for n, m in itertools.pairwise(sizes):
        layers += [("linear", n, m), (activation,)]
    return layers[:-1]


def conv(n: int, m: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = True):
    return ("conv", n, m, kernel, stride, padding, bias)


def lenet5() -> Layers:
    pool = ("mean_pool", 2, 2)
    return [
        *(conv(1, 6, 5, padding=2), ("tanh",), pool, conv(6, 16, 5), ("tanh",), pool),
        *(("flatten",), *mlp((400, 120, 84, 10), "tanh")),
    ]


def cnn_3c3d() -> Layers:
    pool = ("max_pool", 3, 2)
    return [
        *(conv(3, 64, 5), ("relu",), pool, conv(64, 96, 3), ("relu",), pool),
        *(conv(96, 128, 3, padding=1), ("relu",), pool),
        *(("flatten",), *mlp((1152, 512, 256, 10), "relu")),
    ]


def all_cnn_c() -> Layers:
    """Without dropout."""
    convs = [
        *(conv(3, 96, 3, padding=1), conv(96, 96, 3, padding=1), conv(96, 96, 3, 2, 1)),
        *(conv(96, 192, 3, padding=1), conv(192, 192, 3, padding=1), conv(192, 192, 3, 2, 1)),
        *(conv(192, 192, 3), conv(192, 192, 1), conv(192, 100, 1)),
    ]
    return [layer for c in convs for layer in (c, ("relu",))] + [("mean",), ("flatten",)]


def resnet18() -> Layers:
    """For CIFAR, with batch normalisation."""

    def normed(n: int, m: int, kernel: int, stride: int) -> Layers:
        return [conv(n, m, kernel, stride, kernel // 2, bias=False), ("batch_norm", m)]

    layers, n = [*normed(3, 64, 3, 1), ("relu",)], 64
    for m, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        branch = [*normed(n, m, 3, stride), ("relu",), *normed(m, m, 3, 1)]
        shortcut = [] if n == m else normed(n, m, 1, stride)
        layers += [("residual", branch, shortcut), ("relu",)]
        n = m
    return [*layers, ("mean",), ("flatten",), ("linear", n, 10)]


# name -> layers, shape of a sample, classes
NETS = {
    "lenet5": (lenet5, (1, 28, 28), 10),
    "3c3d": (cnn_3c3d, (3, 32, 32), 10),
    "allcnnc": (all_cnn_c, (3, 32, 32), 100),
    "resnet18": (resnet18, (3, 32, 32), 10),
}


def parameters(layers: Layers) -> list[tuple[str, tuple[int, ...]]]:
    """What each parameter is, and its shape."""
    out: list[tuple[str, tuple[int, ...]]] = []
    for kind, *numbers in layers:
        if kind == "residual":
            out += [p for part in numbers for p in parameters(part)]
        elif kind == "batch_norm":
            out += [("scale", (numbers[0],)), ("shift", (numbers[0],))]
        elif kind == "linear":
            n, m = numbers
            out += [("weight", (m, n)), ("bias", (m,))]
        elif kind == "conv":
            n, m, kernel, _, _, bias = numbers
            out += [("weight", (m, n, kernel, kernel)), *([("bias", (m,))] if bias else [])]
    return out


def shape(layer: tuple, x: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a layer's output for one sample, channels first."""
    kind, *numbers = layer
    if kind == "residual":
        for inner in numbers[0]:
            x = shape(inner, x)
        return x
    if kind == "flatten":
        return (math.prod(x),)
    if kind == "linear":
        return (numbers[1],)
    if kind == "mean":
        return (x[0], 1, 1)
    if kind == "conv":
        _, out, kernel, stride, padding, _ = numbers
        return (out, *((n + 2 * padding - kernel) // stride + 1 for n in x[1:]))
    if kind in ("mean_pool", "max_pool"):
        kernel, stride = numbers
        part = 0 if kind == "mean_pool" else stride - 1  # maxima have a partial window at the end
        return (x[0], *((n - kernel + part) // stride + 1 for n in x[1:]))
    return x
