"""Networks, losses and optimizers as plain data, and back: what a checkpoint says of its model.

A description is made of what JSON can hold. Layers stand in a list, each behind those that it is
made of, and ``{"layer": 3}`` refers to one of them, so that a layer that is used twice is described
once; ``{"node": 3}`` refers to what a call of a graph made. Every object is described by the
arguments of its constructor, which it keeps under their names. Nothing but classes of this package
is ever made from a description.
"""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any

from . import layers as known_layers
from . import losses as known_losses
from .errors import GraphError, StateError, UnsupportedError
from .graph import Graph, Node, build_graph
from .layers.base import Layer
from .losses import Loss
from .objective import Objective
from .optim import Optimizer

Data = dict[str, Any]

_CALLS = {
    "input": Graph.input,
    "call": Graph.__call__,
    "add": Graph.add,
    "multiply": Graph.multiply,
    "inner": Graph.inner,
    "concat": Graph.concat,
}


def describe(f: Objective) -> Data:
    """Describe a network with its loss and the options of the objective.

    Raises
    ------
    UnsupportedError
        Layers or a loss of classes that are not this package's, with the names of all.
    StateError
        Layers that were changed after the objective was made from them.
    """
    writer = _Writer()
    data = {
        "net": writer.graph(f.net) if isinstance(f.net, Graph) else writer.value(f.net),
        "layers": writer.layers,
        "loss": writer.entry(f.loss_function),
        "input_shape": writer.value(f._input_shape),
        "reduction": f.reduction,
        "check_finite": f.check_finite,
        "precision": f.precision,
    }
    if writer.foreign:
        names = ", ".join(sorted(writer.foreign))
        message = f"f: only layers and losses of hesscore can be saved, not {names}"
        raise UnsupportedError(message, "f", "layers and losses of hesscore", names)
    _require_same(f, data)
    return data


def make_objective(data: Data) -> Objective:
    """Make the objective that a description tells of."""
    net, loss = _net_and_loss(data)
    options = {k: data[k] for k in ("input_shape", "reduction", "check_finite", "precision")}
    return Objective(net, loss, **options)


def describe_optimizer(opt: Optimizer) -> Data:
    """Describe an optimizer but for its state; schedules, which are code, by their names alone."""
    options = {**opt.options, **opt._limits}
    schedules = [name for name, value in options.items() if callable(value)]
    numbers = {name: _plain(value) for name, value in options.items() if name not in schedules}
    return {"method": opt.method, "options": numbers, "schedules": schedules}


class _Writer:
    """The layers that have been met, and the classes among them that cannot be described."""

    def __init__(self) -> None:
        self.layers: list[Data] = []
        self.foreign: set[str] = set()
        self._places: dict[int, int] = {}
        self._nodes: dict[int, int] = {}

    def value(self, value: Any) -> Any:
        if isinstance(value, Layer):
            return {"layer": self._place(value)}
        if isinstance(value, Node):
            return {"node": self._nodes[value._number]}
        if isinstance(value, (tuple, list)):
            return [self.value(v) for v in value]
        return _plain(value)

    def entry(self, described: Layer | Loss) -> Data:
        kind = type(described).__name__
        if _known(kind) is not type(described):
            self.foreign.add(kind)
            return {}
        names = inspect.signature(type(described)).parameters
        return {"kind": kind, **{name: self.value(getattr(described, name)) for name in names}}

    def graph(self, graph: Graph) -> Data:
        calls = []
        for method, arguments, options, number in graph._calls:
            calls.append([method, self.value(arguments), options])
            self._nodes[number] = len(calls) - 1
        return {"calls": calls, "output": self.value(graph._output)}

    def _place(self, layer: Layer) -> int:
        if id(layer) not in self._places:
            entry = self.entry(layer)
            self._places[id(layer)] = len(self.layers)
            self.layers.append(entry)
        return self._places[id(layer)]


class _Reader:
    """The layers and nodes that have been made so far."""

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.nodes: list[Node] = []

    def value(self, data: Any) -> Any:
        if isinstance(data, dict):
            ((where, place),) = data.items()
            return {"layer": self.layers, "node": self.nodes}[where][place]
        return [self.value(v) for v in data] if isinstance(data, list) else data

    def make(self, data: Data) -> Any:
        arguments = {name: self.value(value) for name, value in data.items() if name != "kind"}
        cls = _known(data["kind"])
        if cls is None:
            raise GraphError.about("kind", "a layer or loss of hesscore", repr(data["kind"]))
        parameters = inspect.signature(cls).parameters.values()
        several = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
        first = [value for name in several for value in arguments.pop(name)]
        return cls(*first, **arguments)

    def net(self, data: Data) -> Any:
        if "calls" not in data:
            return self.value(data)
        graph = Graph()
        for method, arguments, options in data["calls"]:
            self.nodes.append(_CALLS[method](graph, *self.value(arguments), **options))
        graph.output(self.value(data["output"]))
        return graph


def _net_and_loss(data: Data) -> tuple[Layer | Graph, Loss]:
    reader = _Reader()
    for entry in data["layers"]:
        reader.layers.append(reader.make(entry))
    return reader.net(data["net"]), reader.make(data["loss"])


def _known(kind: str) -> type[Layer | Loss] | None:
    """Tell the class of this package that has this name."""
    found = getattr(known_layers, kind, None) or getattr(known_losses, kind, None)
    return found if isinstance(found, type) and issubclass(found, (Layer, Loss)) else None


def _plain(value: Any) -> Any:
    """Make a number of NumPy's, or of another kind, one of Python's."""
    if value is None or isinstance(value, (str, bool)):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _require_same(f: Objective, data: Data) -> None:
    net, loss = _net_and_loss(data)
    graph = build_graph(net, loss._engine(f.reduction == "mean"), data["input_shape"])
    for what in ("rows", "layout", "buffers", "inputs"):
        if getattr(graph, what) != getattr(f._graph, what):
            raise StateError.about("f", "layers as they were when it was made", "changed ones")
