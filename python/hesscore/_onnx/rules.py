"""Rules: what becomes of each operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import layers
from ..graph import Node
from ..layers.base import Layer
from . import windows
from .model import Array
from .site import BATCH, Refused, Site


def gemm(site: Site) -> Node:
    if site.attribute("transA", 0) or len(site.node().shape) != 1:
        raise Refused("a product over the batch")
    matrix = site.array(1) if site.attribute("transB", 0) else site.array(1).T
    alpha, beta = site.attribute("alpha", 1.0), site.attribute("beta", 1.0)
    if not math.isfinite(alpha * beta):
        raise Refused("a factor that is not finite")
    return _linear(site, matrix * alpha, site.array(2) * beta if site.has(2) else None)


def matmul(site: Site) -> Node:
    matrix = site.array(1)
    if matrix.ndim != 2:
        raise Refused(f"a product with an array of {matrix.ndim} axes")
    return _linear(site, matrix.T, site.array(2) if site.has(2) else None)


def _linear(site: Site, weight: Array, bias: Array | None) -> Node:
    rows, columns = weight.shape
    arrays = {"weight": weight.astype(site.array(1).dtype)}
    if bias is not None:
        arrays["bias"] = np.broadcast_to(bias.astype(weight.dtype).reshape(-1), rows)
    return site.apply_with(layers.Linear(columns, rows, bias is not None), arrays)


def gather(site: Site) -> Node:
    table = site.array(0)
    if table.ndim != 2 or site.attribute("axis", 0) != 0:
        raise Refused("other look-ups than of rows of a table")
    return site.apply_with(layers.Embedding(*table.shape), {"weight": table}, site.node(1))


# ---- activations -------------------------------------------------------------------------------


def _plain(make: Callable[[], Layer]) -> Callable[[Site], Node]:
    return lambda site: site.apply(make())


def _with_alpha(make: Callable[[float], Layer], usual: float) -> Callable[[Site], Node]:
    return lambda site: site.apply(make(site.attribute("alpha", usual)))


def _only(make: Callable[[], Layer], **needed: tuple[float, float]) -> Callable[[Site], Node]:
    """Rule for an operator whose attributes must have the values of our layer; also their usual."""

    def rule(site: Site) -> Node:
        for name, (value, usual) in needed.items():
            if not math.isclose(site.attribute(name, usual), value, rel_tol=1e-6):
                raise Refused(f"{name} is not {value:.6g}")
        return site.apply(make())

    return rule


def gelu(site: Site) -> Node:
    return site.apply(layers.GELU(site.attribute("approximate", "none")))


def clip(site: Site) -> Node:
    limits = float(site.given("min", 1, -math.inf)), float(site.given("max", 2, math.inf))
    known = {(0, 6): layers.ReLU6, (-1, 1): layers.Hardtanh, (0, math.inf): layers.ReLU}
    if limits not in known:
        raise Refused(f"limits {limits}, not (0, 6), (-1, 1) or (0, inf)")
    return site.apply(known[limits]())


def power(site: Site) -> Node:
    if site.array(1).size != 1 or site.array(1).item() != 2:
        raise Refused("another exponent than 2")
    return site.apply(layers.Square())


def dropout(site: Site) -> Node:
    return site.apply(layers.Dropout(float(site.given("ratio", 1, 0.5))))


# ---- normalisations ----------------------------------------------------------------------------


def batch_norm(site: Site) -> Node:
    features, rank = len(site.array(1)), len(site.node().shape)
    make = layers.BatchNorm2d if rank == 3 else layers.BatchNorm1d
    layer = make(features, site.attribute("epsilon", 1e-5), 1 - site.attribute("momentum", 0.9))
    names = "weight", "bias", "running_mean", "running_var"
    arrays = {name: site.array(i) for i, name in enumerate(names, 1)}
    return site.apply_with(layer, {**arrays, "num_batches_tracked": np.zeros(())})


def layer_norm(site: Site) -> Node:
    shape = site.node().shape[site.axis(site.attribute("axis", -1)) - 1 :]
    layer = layers.LayerNorm(shape, site.attribute("epsilon", 1e-5), True, site.has(2))
    return site.apply_with(layer, _affine(site, shape))


def instance_norm(site: Site) -> Node:
    make = {1: layers.InstanceNorm1d, 2: layers.InstanceNorm2d}[len(site.spatial())]
    scale = site.array(1)
    layer = make(len(scale), site.attribute("epsilon", 1e-5), affine=True)
    return site.apply_with(layer, _affine(site, scale.shape))


def group_norm(site: Site) -> Node:
    groups, channels = site.attribute("num_groups"), site.node().shape[0]
    if site.array(1).shape != (channels,):
        raise Refused("scales of groups, as before version 21, not of channels")
    layer = layers.GroupNorm(groups, channels, site.attribute("epsilon", 1e-5))
    return site.apply_with(layer, _affine(site, (channels,)))


def _affine(site: Site, shape: tuple[int, ...]) -> dict[str, Array]:
    arrays = {"weight": np.broadcast_to(site.array(1), shape)}
    return {**arrays, "bias": np.broadcast_to(site.array(2), shape)} if site.has(2) else arrays


# ---- structure ---------------------------------------------------------------------------------


def add(site: Site) -> Node:
    nodes = site.nodes()
    return site.graph.add(*nodes) if len(nodes) > 1 else nodes[0]


def multiply(site: Site) -> Node:
    a, b = sorted(site.nodes(), key=lambda node: -math.prod(node.shape))
    return site.graph.multiply(a, b)


def concat(site: Site) -> Node:
    return site.graph.concat(*site.nodes(), axis=site.axis(site.attribute("axis")))


def identity(site: Site) -> Node:
    return site.node()


def cast(site: Site) -> Node:
    if site.attribute("to") not in (1, 11):  # float and double, which follow w
        raise Refused("a cast to another type than float")
    return site.node()


def flatten(site: Site) -> Node:
    axis = site.attribute("axis", 1)
    if axis % (len(site.node().shape) + 1) != 1:
        raise Refused(f"axis {axis}")
    return site.apply(layers.Flatten())


def reshape(site: Site) -> Node:
    old, new = site.node().shape, site.array(1).tolist()
    copies = not site.attribute("allowzero", 0)
    sizes = [old[i] if n == 0 and copies and i < len(old) else n for i, n in enumerate(new[1:])]
    known = math.prod(n for n in sizes if n != -1)
    open_sizes = sizes.count(-1)
    whole = math.prod(old) % max(known, 1) == 0 if open_sizes else math.prod(old) == known
    first = new[0] if new else 1
    batch = site.is_batch(first) or (first == 0 and copies) or (first == -1 and not open_sizes)
    if not (batch and whole) or open_sizes > 1:
        text = ["N" if n == BATCH else n for n in new]
        raise Refused(f"a new shape {text} that does not keep the batch apart")
    return site.apply(layers.Reshape(*sizes))


def squeeze(site: Site) -> Node:
    shape = list(site.node().shape)
    named = site.given("axes", 1)
    ones = [i for i, n in enumerate(shape, 1) if n == 1]
    axes = ones if named is None else [site.axis(a) for a in named]
    return site.apply(layers.Reshape(*(n for i, n in enumerate(shape, 1) if i not in axes)))


def unsqueeze(site: Site) -> Node:
    shape, axes = list(site.node().shape), site.given("axes", 1)
    rank = len(shape) + 1 + len(axes)
    for axis in sorted(a % rank for a in axes):
        if axis == 0:
            raise Refused("it acts on the batch")
        shape.insert(axis - 1, 1)
    return site.apply(layers.Reshape(*shape))


def transpose(site: Site) -> Node:
    rank = len(site.node().shape) + 1
    if list(site.attribute("perm", range(rank)[::-1])) != list(range(rank)):
        raise Refused("another order of the axes")
    return site.node()


def part(site: Site) -> Node:
    starts, ends = site.given("starts", 1), site.given("ends", 2)
    axes = site.given("axes", 3, list(range(len(starts))))
    steps = site.given("steps", 4, [1] * len(starts))
    node = site.node()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        node = site.apply(layers.Slice(site.axis(axis), start, end, step), to=node)
    return node


def shape_of(site: Site) -> Any:
    sizes = [BATCH, *site.node().shape]
    first, last = site.attribute("start", 0), site.attribute("end")
    return np.array(sizes[first:last], np.int64)


RULES: dict[str, Callable[[Site], Any]] = {
    **windows.RULES,
    "Gemm": gemm,
    "MatMul": matmul,
    "Gather": gather,
    "Relu": _plain(layers.ReLU),
    "LeakyRelu": _with_alpha(layers.LeakyReLU, 0.01),
    "Elu": _with_alpha(layers.ELU, 1.0),
    "Celu": _with_alpha(layers.CELU, 1.0),
    "Selu": _only(
        layers.SELU, alpha=(1.6732632423543772, 1.6732632), gamma=(1.0507009873554805, 1.050701)
    ),
    "Gelu": gelu,
    "Mish": _plain(layers.Mish),
    "Swish": _only(layers.SiLU, alpha=(1.0, 1.0)),
    "Tanh": _plain(layers.Tanh),
    "Sigmoid": _plain(layers.Sigmoid),
    "HardSigmoid": _only(layers.Hardsigmoid, alpha=(1 / 6, 0.2), beta=(0.5, 0.5)),
    "HardSwish": _plain(layers.Hardswish),
    "Softplus": _plain(layers.Softplus),
    "Softsign": _plain(layers.Softsign),
    "Sin": _plain(layers.Sin),
    "Exp": _plain(layers.Exp),
    "Clip": clip,
    "Pow": power,
    "Dropout": dropout,
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "Add": add,
    "Sum": add,
    "Mul": multiply,
    "Concat": concat,
    "Identity": identity,
    "Cast": cast,
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Slice": part,
    "Shape": shape_of,
}
