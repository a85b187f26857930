"""Layers and containers: descriptions of a network, without any arrays in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _check, _core
from .errors import GraphError

Shape = tuple[int, ...]


class Builder:
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

    def _build(self, builder: Builder, x: int, path: str) -> int:
        raise NotImplementedError

    def _input_shape(self) -> Shape | None:
        """Tell the shape that this layer insists on."""
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

    def _build(self, builder: Builder, x: int, path: str) -> int:
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

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.flatten(x)


class Identity(Layer):
    """Returns its input."""

    _keeps_shape = True

    def _build(self, builder: Builder, x: int, path: str) -> int:
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

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.dropout(x, self.p)

    def _arguments(self) -> tuple[str, ...]:
        return (str(self.p),)


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
        self.layers = as_layers("layers", layers)

    def _build(self, builder: Builder, x: int, path: str) -> int:
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
        self.shortcut = None if shortcut is None else as_layers("shortcut", [shortcut])[0]

    def _build(self, builder: Builder, x: int, path: str) -> int:
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

    def _build(self, builder: Builder, x: int, path: str) -> int:
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
        self.branches = as_layers("branches", branches)
        if not self.branches:
            raise GraphError.about("branches", "at least one layer", "none")

    def _outputs(self, builder: Builder, x: int, path: str) -> list[int]:
        return [b._build(builder, x, _join(path, i)) for i, b in enumerate(self.branches)]

    def _build(self, builder: Builder, x: int, path: str) -> int:
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

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.concat(self._outputs(builder, x, path), self.axis)

    def _arguments(self) -> tuple[str, ...]:
        axis = () if self.axis == 1 else (f"axis={self.axis}",)
        return (*super()._arguments(), *axis)


def as_layers(name: str, items: Any) -> list[Layer]:
    """Check that these are layers."""
    for item in items:
        if isinstance(item, type) and issubclass(item, Layer):
            raise GraphError.about(name, f"a layer, {item.__name__}(...)", f"its class {item!r}")
        if not isinstance(item, Layer):
            raise GraphError.about(name, "a layer", repr(item))
    return list(items)
