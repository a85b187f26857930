"""A network of any layers as plain data: what the engine's and every reference is made from."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from oracle.spec import Data, _targets

from . import shapes as rules
from .shapes import Shape

CONTAINERS = ("sequential", "residual", "gate", "squeeze_excite", "parallel", "side_by_side")


@dataclasses.dataclass(frozen=True)
class Spec:
    """One test problem. Its repr is a constructor call, ready to paste.

    ``nodes`` are ``(kind, sources, args)`` with sources naming inputs or earlier nodes by number;
    the last one is the output. Containers have nested lists of ``(kind, args)``, one in
    ``args["body"]`` or several in ``args["branches"]``. Nodes with the same ``layer`` share
    parameters. Inputs in ``integers`` hold rows of embeddings below the number given there.
    """

    seed: int
    batch: int
    inputs: dict[str, Shape]
    loss: dict[str, Any]
    nodes: tuple = ()
    weighted: bool = False  # with sample weights
    train: bool = False
    integers: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Node:
    kind: str
    sources: list[int]
    args: dict[str, Any]
    shape: Shape
    parameters: list[tuple[int, Shape]] = dataclasses.field(default_factory=list)
    statistics: int = -1  # number of the batch norm whose running statistics these are


class Net:
    """The spec lowered to plain layers with shapes and parameters; ValueError if it has none."""

    def __init__(self, spec: Spec):
        self.nodes: list[Node] = []
        self.num_params = 0
        self.shapes: list[Shape] = []  # of the parameters, in order
        self.statistics: list[int] = []  # channels of each batch norm that keeps statistics
        self.train = spec.train
        self._layers: dict[str, Node] = {}
        self.inputs: dict[str, int] = {}
        for name, shape in spec.inputs.items():
            self.nodes.append(Node("input", [], {}, tuple(shape)))
            self.inputs[name] = len(self.nodes) - 1
        made: list[int] = []  # where the nodes of the spec have their outputs
        for kind, sources, args in spec.nodes:
            ids = [self.inputs[s] if isinstance(s, str) else made[s] for s in sources]
            made.append(self.add(kind, ids, args))

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    def couples_samples(self) -> list[Node]:
        """Batch norms of what parameters reach that work with the statistics of their batch."""
        reached: list[bool] = []
        for node in self.nodes:
            reached.append(bool(node.parameters) or any(reached[s] for s in node.sources))
        nodes = zip(self.nodes, reached, strict=True)
        norms = [n for n, active in nodes if active and n.kind == "batch_norm"]
        return [n for n in norms if self.train or not n.args.get("track", True)]

    def add(self, kind: str, sources: list[int], args: dict[str, Any]) -> int:
        if kind in CONTAINERS:
            return self._container(kind, sources[0], args)
        known = [self.nodes[s].shape for s in sources]
        node = Node(kind, sources, args, rules.output(kind, args, known))
        self._parameters(node, known)
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _parameters(self, node: Node, known: list[Shape]) -> None:
        wanted = rules.parameters(node.kind, node.args, known)
        twin = self._layers.get(node.args.get("layer"))
        if twin is not None:
            if [s for _, s in twin.parameters] != wanted:
                raise ValueError("shared layer with another shape")
            node.parameters, node.statistics = twin.parameters, twin.statistics
            return
        for shape in wanted:
            node.parameters.append((self.num_params, shape))
            self.shapes.append(shape)
            self.num_params += math.prod(shape)
        if node.kind == "batch_norm" and node.args.get("track", True):
            node.statistics = len(self.statistics)
            self.statistics.append(known[0][0])
        if "layer" in node.args:
            self._layers[node.args["layer"]] = node

    def _container(self, kind: str, x: int, args: dict[str, Any]) -> int:
        if kind in ("parallel", "side_by_side"):
            ends = [self._chain(branch, x) for branch in args["branches"]]
            return self.add("add", ends, {}) if kind == "parallel" else self.add(
                "concat", ends, {"axis": args["axis"]})  # fmt: skip
        body = args["body"] if kind != "squeeze_excite" else self._squeeze(x, args)
        branch = self._chain(body, x)
        if kind == "sequential":
            return branch
        if kind == "residual":
            x = self._chain(args.get("shortcut", ()), x)
        return self.add("add" if kind == "residual" else "multiply", [branch, x], {})

    def _squeeze(self, x: int, args: dict[str, Any]) -> list:
        channels = self.nodes[x].shape[0]
        plain = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
        plain |= {"groups": 1, "bias": True}
        return [
            ("global_avg_pool", {}),
            ("conv", {**plain, "out": args["squeeze"]}),
            ("act", {"name": "ReLU"}),
            ("conv", {**plain, "out": channels}),
            ("act", {"name": "Sigmoid"}),
        ]

    def _chain(self, layers, x: int) -> int:
        for kind, args in layers:
            x = self.add(kind, [x], args)
        return x

    def views(self, w, node: Node) -> list:
        """The parameters of a node, sliced from ``w``."""
        return [w[at : at + math.prod(s)].reshape(s) for at, s in node.parameters]


@dataclasses.dataclass
class AllData(Data):
    """With the running mean and variance of each batch norm, which are float64 always."""

    buffers: list[tuple[np.ndarray, np.ndarray]] = dataclasses.field(default_factory=list)


def make_data(spec: Spec, net: Net, dtype: str = "float64") -> AllData:
    """Parameters, a batch and running statistics from the seed of the spec."""
    rng = np.random.default_rng([spec.seed, 3])
    w = rng.normal(size=net.num_params) * 0.5
    for node in net.nodes:  # factors of norms around one
        if node.kind in rules.NORMS and node.parameters:
            at, shape = node.parameters[0]
            w[at : at + math.prod(shape)] = 1 + 0.3 * rng.normal(size=math.prod(shape))
    x: dict[str, np.ndarray] = {}
    for name, shape in spec.inputs.items():
        if name in spec.integers:
            x[name] = rng.integers(0, spec.integers[name], size=(spec.batch, *shape))
        else:
            x[name] = rng.normal(size=(spec.batch, *shape)).astype(dtype)
    y = _targets(spec.loss, spec.batch, net.output.shape, rng)
    y = y if y.dtype == np.int64 else y.astype(dtype)
    s = rng.choice([0.5, 1.0, 2.0, 3.0], size=spec.batch).astype(dtype) if spec.weighted else None
    buffers = [(rng.normal(size=c) * 0.5, rng.uniform(0.5, 2.0, size=c)) for c in net.statistics]
    return AllData(w.astype(dtype), x, y, s, buffers)


def as_float64(data: AllData) -> AllData:
    """The same numbers in float64."""

    def up(a):
        return a if a is None or a.dtype == np.int64 else a.astype(np.float64)

    x = {k: up(v) for k, v in data.x.items()}
    return AllData(up(data.w), x, up(data.y), up(data.sample_weight), data.buffers)
