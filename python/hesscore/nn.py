"""Layers, containers and free graphs: descriptions of a network, without any arrays in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _check, _core
from .errors import GraphError, ShapeError

Shape = tuple[int, ...]


class _Builder:
    """The engine's builder, and the layers with parameters that it has met."""

    def __init__(self) -> None:
        self.engine = _core.GraphBuilder()
        self._made: dict[int, tuple[Layer, Any]] = {}

    def call(self, layer: Layer, x: int, make: Callable[[], Any]) -> int:
        """Apply a layer with parameters; the second time with the same ones."""
        if id(layer) not in self._made:
            self._made[id(layer)] = (layer, make())
        return self.engine.call(self._made[id(layer)][1], x)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


class Layer:
    """Base of all layers and containers.

    A layer is a description. It can be used in several networks; used twice in one network, it has
    one set of parameters there, named after its first place.
    """

    _keeps_shape = False

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        raise NotImplementedError

    def _input_shape(self) -> Shape | None:
        """The shape that this layer insists on."""
        return None

    def _arguments(self) -> tuple[str, ...]:
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._arguments())})"


# ---- layers ------------------------------------------------------------------------------------


class Linear(Layer):
    """``y = x W' + b`` on the last axis; `weight` is `(out, in)`, `bias` is `(out,)`.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis before and after.
    bias : bool
        Whether there is a `b`.

    Examples
    --------
    >>> import hesscore as hc
    >>> f = hc.Objective(hc.Sequential(hc.Linear(3, 2), hc.Tanh()), hc.MSELoss())
    >>> f.layout
    {'0.weight': (0, (2, 3)), '0.bias': (6, (2,))}
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = _check.integer("in_features", in_features, 1)
        self.out_features = _check.integer("out_features", out_features, 1)
        self.bias = _check.flag("bias", bias)

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        sizes = self.in_features, self.out_features
        make = builder.engine.make_linear
        return builder.call(self, x, lambda: make(*sizes, self.bias, path))

    def _input_shape(self) -> Shape | None:
        return (self.in_features,)

    def _arguments(self) -> tuple[str, ...]:
        sizes = str(self.in_features), str(self.out_features)
        return sizes if self.bias else (*sizes, "bias=False")


class Flatten(Layer):
    """Joins all axes but the first, the batch, into one.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> net = hc.Sequential(hc.Flatten(), hc.Linear(784, 10))
    >>> f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(1, 28, 28))
    >>> f.predict(f.init(), np.zeros((5, 1, 28, 28), np.float32)).shape
    (5, 10)
    """

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        return builder.engine.flatten(x)


class Identity(Layer):
    """Returns its input."""

    _keeps_shape = True

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        return builder.engine.identity(x)


class Dropout(Layer):
    """In training, sets elements to zero with probability `p` and divides the others by `1 - p`.

    The mask is a function of (seed, step): the same in every quantity of a step, on every device
    and for any number of threads. Without `train` the layer does nothing.

    Parameters
    ----------
    p : float
        In [0, 1).

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Dropout(0.5), hc.MSELoss(), input_shape=8)
    >>> w, x = f.init(), np.ones((1, 8), np.float32)
    >>> bool((f.predict(w, x) == x).all())
    True
    >>> set(f.predict(w, x, train=(0, 7)).ravel().tolist()) <= {0.0, 2.0}
    True
    """

    _keeps_shape = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = _check.number("p", p)

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        return builder.engine.dropout(x, self.p)

    def _arguments(self) -> tuple[str, ...]:
        return (str(self.p),)


# ---- activations -------------------------------------------------------------------------------


class Activation(Layer):
    """Base of the activations, which act on each element.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.LeakyReLU(0.1), hc.MSELoss(), input_shape=3)
    >>> f.predict(f.init(dtype="float64"), np.array([[-1.0, 0.0, 2.0]])).tolist()
    [[-0.1, 0.0, 2.0]]
    """

    _keeps_shape = True
    _kind = ""

    def _alpha(self) -> float | None:
        return None

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        return builder.engine.activation(x, self._kind, self._alpha())

    def _arguments(self) -> tuple[str, ...]:
        alpha = self._alpha()
        return () if alpha is None else (str(alpha),)


class ReLU(Activation):
    """``max(x, 0)``; the slope at 0 is 0."""

    _kind = "relu"


class LeakyReLU(Activation):
    """``x`` for x > 0, else ``negative_slope * x``."""

    _kind = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = _check.number("negative_slope", negative_slope)

    def _alpha(self) -> float | None:
        return self.negative_slope


class ELU(Activation):
    """``x`` for x > 0, else ``alpha (exp(x) - 1)``."""

    _kind = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _check.number("alpha", alpha)

    def _alpha(self) -> float | None:
        return self.alpha


class SELU(Activation):
    """ELU with the self-normalising constants of Klambauer et al. 2017."""

    _kind = "selu"


class CELU(Activation):
    """``x`` for x > 0, else ``alpha (exp(x / alpha) - 1)``."""

    _kind = "celu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _check.number("alpha", alpha)

    def _alpha(self) -> float | None:
        return self.alpha


class GELU(Activation):
    """``x Phi(x)``, or with ``approximate="tanh"`` its approximation by a tanh."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise GraphError.about("approximate", "'none' or 'tanh'", repr(approximate))
        self.approximate = approximate
        self._kind = "gelu" if approximate == "none" else "gelu_tanh"

    def _arguments(self) -> tuple[str, ...]:
        return () if self.approximate == "none" else ("'tanh'",)


class SiLU(Activation):
    """``x s(x)`` with the logistic function s."""

    _kind = "silu"


class Mish(Activation):
    """``x tanh(log(1 + exp(x)))``."""

    _kind = "mish"


class Tanh(Activation):
    """``tanh(x)``."""

    _kind = "tanh"


class Sigmoid(Activation):
    """The logistic function ``1 / (1 + exp(-x))``."""

    _kind = "sigmoid"


class Softplus(Activation):
    """``log(1 + exp(x))``."""

    _kind = "softplus"


class LogSigmoid(Activation):
    """``-log(1 + exp(-x))``."""

    _kind = "log_sigmoid"


class Hardtanh(Activation):
    """``x`` clipped to [-1, 1]."""

    _kind = "hardtanh"


class ReLU6(Activation):
    """``x`` clipped to [0, 6]."""

    _kind = "relu6"


class Hardswish(Activation):
    """``x clip(x + 3, 0, 6) / 6``."""

    _kind = "hardswish"


class Hardsigmoid(Activation):
    """``clip(x + 3, 0, 6) / 6``."""

    _kind = "hardsigmoid"


class Softsign(Activation):
    """``x / (1 + |x|)``."""

    _kind = "softsign"


class Sin(Activation):
    """``sin(x)``."""

    _kind = "sin"


class Square(Activation):
    """``x^2``."""

    _kind = "square"


class Exp(Activation):
    """``exp(x)``."""

    _kind = "exp"


# ---- containers --------------------------------------------------------------------------------


class Sequential(Layer):
    """Layers one after the other; parameters are named by place, "0.weight", nested "1.0.weight".

    Parameters
    ----------
    *layers : Layer
        The layers in order.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 8), hc.Tanh(), hc.Linear(8, 3))
    >>> hc.Objective(net, hc.CrossEntropyLoss()).num_params
    67
    """

    def __init__(self, *layers: Layer) -> None:
        self.layers = _layers("layers", layers)

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        for i, layer in enumerate(self.layers):
            x = layer._build(builder, x, _join(path, i))
        return x

    def _input_shape(self) -> Shape | None:
        for layer in self.layers:
            shape = layer._input_shape()
            if shape is not None or not layer._keeps_shape:
                return shape
        return None

    def _arguments(self) -> tuple[str, ...]:
        return tuple(map(repr, self.layers))


class Residual(Sequential):
    """Adds its input, or the shortcut of it, to what its layers make of it.

    Parameters
    ----------
    *layers : Layer
        The branch; parameters are named as in `Sequential`.
    shortcut : Layer, optional
        What the input passes on the other way, if it has to change its shape.

    Examples
    --------
    >>> import hesscore as hc
    >>> block = hc.Residual(hc.Linear(4, 6), hc.Tanh(), shortcut=hc.Linear(4, 6, bias=False))
    >>> list(hc.Objective(block, hc.MSELoss()).layout)
    ['0.weight', '0.bias', 'shortcut.weight']
    """

    def __init__(self, *layers: Layer, shortcut: Layer | None = None) -> None:
        super().__init__(*layers)
        self.shortcut = None if shortcut is None else _layers("shortcut", [shortcut])[0]

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        branch = super()._build(builder, x, path)
        if self.shortcut is not None:
            x = self.shortcut._build(builder, x, _join(path, "shortcut"))
        return builder.engine.add([branch, x])

    def _arguments(self) -> tuple[str, ...]:
        shortcut = () if self.shortcut is None else (f"shortcut={self.shortcut!r}",)
        return (*super()._arguments(), *shortcut)


class Gate(Sequential):
    """Multiplies its input, element by element, by what its layers make of it.

    Examples
    --------
    >>> import hesscore as hc
    >>> gate = hc.Gate(hc.Linear(4, 4), hc.Sigmoid())
    >>> hc.Objective(gate, hc.MSELoss()).num_params
    20
    """

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        return builder.engine.multiply(x, super()._build(builder, x, path))


class Parallel(Layer):
    """Gives the same input to every branch and adds their outputs.

    `Residual(*layers)` is `Parallel(Sequential(*layers), Identity())`. `Concat` is the container
    that puts the outputs side by side.

    Parameters
    ----------
    *branches : Layer
        Their outputs have one shape. Parameters are named "0.weight", "1.weight", ...

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Parallel(hc.Linear(4, 2), hc.Sequential(hc.Linear(4, 2), hc.Tanh()))
    >>> list(hc.Objective(net, hc.MSELoss()).layout)
    ['0.weight', '0.bias', '1.0.weight', '1.0.bias']
    """

    def __init__(self, *branches: Layer) -> None:
        self.branches = _layers("branches", branches)
        if not self.branches:
            raise GraphError.about("branches", "at least one layer", "none")

    def _outputs(self, builder: _Builder, x: int, path: str) -> list[int]:
        return [b._build(builder, x, _join(path, i)) for i, b in enumerate(self.branches)]

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        return builder.engine.add(self._outputs(builder, x, path))

    def _input_shape(self) -> Shape | None:
        shapes = (b._input_shape() for b in self.branches)
        return next((s for s in shapes if s is not None), None)

    def _arguments(self) -> tuple[str, ...]:
        return tuple(map(repr, self.branches))


class Concat(Parallel):
    """Gives the same input to every branch and puts their outputs side by side.

    Parameters
    ----------
    *branches : Layer
        Their outputs differ at most along `axis`. Parameters are named "0.weight", "1.weight", ...
    axis : int
        The axis that grows, counted with the batch, as in NumPy.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Concat(hc.Linear(4, 2), hc.Linear(4, 3)), hc.MSELoss())
    >>> f.predict(f.init(), np.zeros((7, 4), np.float32)).shape
    (7, 5)
    """

    def __init__(self, *branches: Layer, axis: int = 1) -> None:
        super().__init__(*branches)
        self.axis = _check.integer("axis", axis, 1)

    def _build(self, builder: _Builder, x: int, path: str) -> int:
        return builder.engine.concat(self._outputs(builder, x, path), self.axis)

    def _arguments(self) -> tuple[str, ...]:
        axis = () if self.axis == 1 else (f"axis={self.axis}",)
        return (*super()._arguments(), *axis)


# ---- free graphs -------------------------------------------------------------------------------


class Node:
    """A value inside a `Graph`: an input or the output of a layer. Nodes can be added with `+` and
    multiplied with `*`.

    Attributes
    ----------
    shape : tuple of int
        Its shape without the batch.
    """

    def __init__(self, graph: Graph, number: int) -> None:
        self._graph = graph
        self._number = number

    @property
    def shape(self) -> Shape:
        return self._graph._builder.engine.shape(self._number)

    def __add__(self, other: Node) -> Node:
        return self._graph.add(self, other)

    def __mul__(self, other: Node) -> Node:
        return self._graph.multiply(self, other)

    def __repr__(self) -> str:
        return f"Node({self._number}, shape={self.shape})"


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
        self._builder = _Builder()
        self._layers: dict[int, int] = {}
        self._output: Node | None = None

    def input(self, shape: int | Shape, name: str = "x") -> Node:
        """Add an input of this shape, without the batch."""
        if not isinstance(name, str) or not name:
            raise GraphError.about("name", "a string", repr(name))
        sizes = () if shape == () else _check.shape("shape", shape)
        return Node(self, self._builder.engine.input(list(sizes), name))

    def __call__(self, layer: Layer, x: Node, name: str | None = None) -> Node:
        """Apply a layer or a container; one that was applied before shares its parameters."""
        _layers("layer", [layer])
        number = self._layers.setdefault(id(layer), len(self._layers))
        path = str(number) if name is None else str(name)
        return Node(self, layer._build(self._builder, self._own("x", x), path))

    def add(self, *nodes: Node) -> Node:
        """Add nodes of one shape."""
        return Node(self, self._builder.engine.add([self._own("nodes", n) for n in nodes]))

    def multiply(self, a: Node, b: Node) -> Node:
        """Multiply two nodes of one shape, element by element."""
        return Node(self, self._builder.engine.multiply(self._own("a", a), self._own("b", b)))

    def concat(self, *nodes: Node, axis: int = 1) -> Node:
        """Put nodes side by side along `axis`, counted with the batch, as in NumPy."""
        numbers = [self._own("nodes", n) for n in nodes]
        return Node(self, self._builder.engine.concat(numbers, _check.integer("axis", axis, 1)))

    def output(self, node: Node) -> None:
        """Choose the output; everything must lead to it."""
        self._own("node", node)
        if self._output is not None:
            raise GraphError.about("output", "one output", "a second one")
        self._output = node

    def _own(self, name: str, node: Node) -> int:
        if not isinstance(node, Node) or node._graph is not self:
            raise GraphError.about(name, "a node of this graph", repr(node))
        return node._number


# ---- to the engine -----------------------------------------------------------------------------


def _layers(name: str, items: Any) -> list[Layer]:
    for item in items:
        if isinstance(item, type) and issubclass(item, Layer):
            raise GraphError.about(name, f"a layer, {item.__name__}(...)", f"its class {item!r}")
        if not isinstance(item, Layer):
            raise GraphError.about(name, "a layer", repr(item))
    return list(items)


def build_graph(net: Layer | Graph, loss: Any, input_shape: int | Shape | None) -> Any:
    """Make the engine's graph of a network and a loss."""
    if isinstance(net, Graph):
        if input_shape is not None:
            raise GraphError.about("input_shape", "nothing, a Graph has inputs", input_shape)
        if net._output is None:
            raise GraphError("net: the graph has no output; call g.output(node)")
        return net._builder.engine.finish(net._output._number, loss)
    (layer,) = _layers("net", [net])
    if not isinstance(layer, (Sequential, Parallel)):
        layer = Sequential(layer)
    if input_shape is None:
        input_shape = layer._input_shape()
    if input_shape is None:
        raise ShapeError.about("input_shape", "a shape without the batch, e.g. (784,)", None)
    builder = _Builder()
    x = builder.engine.input(list(_check.shape("input_shape", input_shape, ShapeError)), "x")
    return builder.engine.finish(layer._build(builder, x, ""), loss)
