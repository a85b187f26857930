"""Free graphs, and the way from any network to the engine's graph."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _check
from .errors import GraphError, ShapeError
from .layers.base import Builder, Layer, Shape, as_layers
from .layers.containers import Parallel, Sequential


class Node:
    """A value inside a `Graph`: an input, or the output of a layer.

    Nodes can be added with `+` and multiplied with `*`.
    """

    def __init__(self, graph: Graph, number: int) -> None:
        self._graph = graph
        self._number = number

    @property
    def shape(self) -> Shape:
        """Its shape without the batch."""
        return self._graph._builder.engine.shape(self._number)

    def __add__(self, other: Node) -> Node:
        return self._graph.add(self, other)

    def __mul__(self, other: Node) -> Node:
        return self._graph.multiply(self, other)

    def __repr__(self) -> str:
        return f"Node({self._number}, shape={self.shape})"


class Call(NamedTuple):
    """A call of a graph's method, and the number of the node that it made."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    number: int


class Graph:
    """A network as a free directed acyclic graph, with named inputs and one output.

    Layers are called in order; shapes are checked at each call. Parameters are named after the
    `name` given to the call, or else the running number of the layer.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> g = hc.Graph()
    >>> a, b = g.input((3,), name="a"), g.input((5,), name="b")
    >>> h = g(hc.Tanh(), g(hc.Linear(3, 4), a) + g(hc.Linear(5, 4), b, name="second"))
    >>> g.output(g(hc.Linear(4, 2), h, name="head"))
    >>> f = hc.Objective(g, hc.MSELoss())
    >>> list(f.layout)
    ['0.weight', '0.bias', 'second.weight', 'second.bias', 'head.weight', 'head.bias']
    >>> x = {"a": np.ones((6, 3), np.float32), "b": np.ones((6, 5), np.float32)}
    >>> f.predict(f.init(), x).shape
    (6, 2)
    """

    def __init__(self) -> None:
        self._builder = Builder()
        self._layers: dict[int, int] = {}
        self._calls: list[Call] = []  # which also keep the layers, whose ids are used above
        self._output: Node | None = None

    def input(self, shape: int | Shape, name: str = "x") -> Node:
        """Add an input of this shape, without the batch.

        One that an `Embedding` reads takes arrays of integers; nothing else may read it.
        """
        if not isinstance(name, str) or not name:
            raise GraphError.about("name", "a string", repr(name))
        sizes = () if shape == () else _check.shape("shape", shape)
        return self._made("input", (sizes, name), self._builder.engine.input(list(sizes), name))

    def __call__(self, layer: Layer, x: Node, name: str | None = None) -> Node:
        """Apply a layer or a container; one that was applied before shares its parameters."""
        as_layers("layer", [layer])
        number = self._layers.setdefault(id(layer), len(self._layers))
        name = None if name is None else str(name)
        path = str(number) if name is None else name
        output = layer._build(self._builder, self._own("x", x), path)
        return self._made("call", (layer, x, name), output)

    def add(self, *nodes: Node) -> Node:
        """Add nodes of one shape."""
        numbers = [self._own("nodes", n) for n in nodes]
        return self._made("add", nodes, self._builder.engine.add(numbers))

    def multiply(self, a: Node, b: Node) -> Node:
        """Multiply two nodes element by element; axes of size 1 are repeated."""
        numbers = self._own("a", a), self._own("b", b)
        return self._made("multiply", (a, b), self._builder.engine.multiply(*numbers))

    def inner(self, a: Node, b: Node) -> Node:
        """Take inner products over the last axis: (D,) with (D,) or (K, D) gives (1,) or (K,)."""
        numbers = self._own("a", a), self._own("b", b)
        return self._made("inner", (a, b), self._builder.engine.inner_product(*numbers))

    def concat(self, *nodes: Node, axis: int = 1) -> Node:
        """Put nodes side by side along `axis`, counted with the batch, as in NumPy."""
        numbers = [self._own("nodes", n) for n in nodes]
        axis = _check.integer("axis", axis, 1)
        output = self._builder.engine.concat(numbers, axis)
        return self._made("concat", nodes, output, axis=axis)

    def output(self, node: Node) -> None:
        """Choose the output; everything must lead to it."""
        self._own("node", node)
        if self._output is not None:
            raise GraphError.about("output", "one output", "a second one")
        self._output = node

    def _made(self, method: str, arguments: tuple[Any, ...], number: int, **options: Any) -> Node:
        """Note a call, so that the graph can be made again, and return its node."""
        self._calls.append(Call(method, arguments, options, number))
        return Node(self, number)

    def _own(self, name: str, node: Node) -> int:
        if not isinstance(node, Node) or node._graph is not self:
            raise GraphError.about(name, "a node of this graph", repr(node))
        return node._number


def build_graph(net: Layer | Graph, loss: Any, input_shape: int | Shape | None) -> Any:
    """Make the engine's graph of a network and a loss."""
    if isinstance(net, Graph):
        if input_shape is not None:
            raise GraphError.about("input_shape", "nothing, a Graph has inputs", input_shape)
        if net._output is None:
            raise GraphError("net: the graph has no output; call g.output(node)")
        return net._builder.engine.finish(net._output._number, loss)
    (layer,) = as_layers("net", [net])
    if not isinstance(layer, (Sequential, Parallel)):
        layer = Sequential(layer)
    if input_shape is None:
        input_shape = layer._input_shape()
    if input_shape is None:
        raise ShapeError.about("input_shape", "a shape without the batch, e.g. (784,)", None)
    builder = Builder()
    x = builder.engine.input(list(_check.shape("input_shape", input_shape, ShapeError)), "x")
    return builder.engine.finish(layer._build(builder, x, ""), loss)
