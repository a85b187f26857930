"""A network as plain data: what the engine's net and every oracle are made from."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Spec:
    """One test problem. Its repr is a constructor call, ready to paste.

    ``nodes`` (a free graph) are ``(kind, sources, args)`` with sources naming inputs or earlier
    nodes by number; the last one is the output. ``layers`` (containers) are ``(kind, args)`` with
    nested lists in ``args["body"]``. Linear nodes with the same ``layer`` share parameters.
    """

    seed: int
    batch: int
    inputs: dict[str, Shape]
    loss: dict[str, Any]
    nodes: tuple = ()
    layers: tuple = ()
    weighted: bool = False  # with sample weights


@dataclasses.dataclass
class Node:
    kind: str
    sources: list[int]
    args: dict[str, Any]
    shape: Shape
    weight: int = -1  # offset of the weight in the flat vector
    bias: int = -1


class Net:
    """The spec lowered to nodes with shapes and parameter offsets; ValueError if it has none."""

    def __init__(self, spec: Spec):
        self.nodes: list[Node] = []
        self.num_params = 0
        self.shapes: list[Shape] = []  # of the parameters, in order
        self._layers: dict[str, tuple[int, int, Shape]] = {}
        self.inputs = {name: self._push("input", [], {}, s) for name, s in spec.inputs.items()}
        if spec.layers:
            self._chain(spec.layers, next(iter(self.inputs.values())))
        else:
            first = len(self.nodes)
            for kind, sources, args in spec.nodes:
                ids = [self.inputs[s] if isinstance(s, str) else first + s for s in sources]
                self.add(kind, ids, args)

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    def _push(self, kind, sources, args, shape, weight=-1, bias=-1) -> int:
        self.nodes.append(Node(kind, sources, args, tuple(shape), weight, bias))
        return len(self.nodes) - 1

    def add(self, kind: str, sources: list[int], args: dict[str, Any]) -> int:
        shapes = [self.nodes[s].shape for s in sources]
        if kind == "linear":
            return self._linear(sources, args, shapes[0])
        if kind == "concat":
            axis = args["axis"] - 1
            if len({s[:axis] + s[axis + 1 :] for s in shapes}) != 1 or axis >= len(shapes[0]):
                raise ValueError("concat of shapes that differ elsewhere")
            total = sum(s[axis] for s in shapes)
            return self._push(
                kind, sources, args, shapes[0][:axis] + (total,) + shapes[0][axis + 1 :]
            )
        if kind in ("add", "multiply") and len(set(shapes)) != 1:
            raise ValueError("shapes differ")
        if kind == "flatten":
            return self._push(kind, sources, args, (math.prod(shapes[0]),))
        return self._push(kind, sources, args, shapes[0])

    def _linear(self, sources, args, shape) -> int:
        fan_in, out, key = shape[-1], args["out"], args.get("layer")
        if key in self._layers:
            weight, bias, known = self._layers[key]
            if known != (out, fan_in):
                raise ValueError("shared layer with another shape")
        else:
            weight = self._parameter((out, fan_in))
            bias = self._parameter((out,)) if args.get("bias", True) else -1
            if key is not None:
                self._layers[key] = weight, bias, (out, fan_in)
        return self._push("linear", sources, args, (*shape[:-1], out), weight, bias)

    def _parameter(self, shape: Shape) -> int:
        self.shapes.append(shape)
        self.num_params += math.prod(shape)
        return self.num_params - math.prod(shape)

    def _chain(self, layers, x: int, same: int | None = None) -> int:
        """Lower a list of layers at node x. ``same``: what ``out=None`` of a Linear means."""
        for kind, args in layers:
            width = self.nodes[x].shape[-1]
            if kind == "residual":
                branch = self._chain(args["body"], x, width)
                if args.get("shortcut"):
                    x = self._chain(args["shortcut"], x, self.nodes[branch].shape[-1])
                x = self.add("add", [branch, x], {})
            elif kind == "gate":
                x = self.add("multiply", [x, self._chain(args["body"], x, width)], {})
            elif kind == "branches":
                ends = [self._chain(b, x, width) for b in args["body"]]
                x = self.add("concat", ends, {"axis": 1})
            else:
                if kind == "linear" and args["out"] is None:
                    args = {**args, "out": same}
                x = self.add(kind, [x], args)
        return x

    def views(self, w, node: Node):
        """Weight (out, in) and bias (out,) or None of a linear node, sliced from ``w``."""
        out, fan_in = node.shape[-1], self.nodes[node.sources[0]].shape[-1]
        weight = w[node.weight : node.weight + out * fan_in].reshape(out, fan_in)
        return weight, None if node.bias < 0 else w[node.bias : node.bias + out]


@dataclasses.dataclass
class Data:
    w: np.ndarray
    x: dict[str, np.ndarray]
    y: np.ndarray
    sample_weight: np.ndarray | None


def make_inputs(spec: Spec, net: Net):
    """Parameters and inputs for the spec, from its seed."""
    rng = np.random.default_rng(spec.seed)
    w = rng.normal(size=net.num_params) * 0.5
    return w, {k: rng.normal(size=(spec.batch, *s)) for k, s in spec.inputs.items()}


def make_data(spec: Spec, net: Net, dtype: str = "float64") -> Data:
    """Parameters and a batch in the given dtype, from the seed of the spec."""
    rng = np.random.default_rng([spec.seed, 1])
    w, x = make_inputs(spec, net)
    y = _targets(spec.loss, spec.batch, net.output.shape, rng)
    s = rng.choice([0.5, 1.0, 2.0, 3.0], size=spec.batch) if spec.weighted else None

    def cast(a):
        return a if a is None or a.dtype == np.int64 else a.astype(dtype)

    return Data(cast(w), {k: cast(v) for k, v in x.items()}, cast(y), cast(s))


def _targets(loss, n, out, rng) -> np.ndarray:
    name = loss["name"]
    if name == "CrossEntropyLoss":
        classes, rest = out[0], out[1:]
        if loss.get("soft"):
            return np.moveaxis(rng.dirichlet(np.ones(classes), size=(n, *rest)), -1, 1).copy()
        y = rng.integers(0, classes, size=(n, *rest))
        ignore = loss.get("ignore_index")
        if ignore is not None:
            y[rng.random(y.shape) < 0.3] = ignore
            if (y == ignore).all():
                y.flat[0] = 1 if ignore == 0 else 0
        return y
    if name == "GaussianNLLLoss":
        return rng.normal(size=(n, out[0] // 2, *out[1:]))
    if name == "BCEWithLogitsLoss":
        return np.asarray(rng.integers(0, 2, size=(n, *out)), dtype=np.float64)
    if name == "PoissonNLLLoss":
        return rng.poisson(2.0, size=(n, *out)).astype(np.float64)
    return rng.normal(size=(n, *out))
