"""Containers: layers made of layers."""

from __future__ import annotations

from .. import _check
from ..errors import GraphError
from .activations import ReLU, Sigmoid
from .base import Builder, Layer, Shape, as_layers, join
from .conv import Conv2d
from .pooling import GlobalAvgPool2d


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
            x = layer._build(builder, x, join(path, i))
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
            x = self.shortcut._build(builder, x, join(path, "shortcut"))
        return builder.engine.add([branch, x])

    def _arguments(self) -> tuple[str, ...]:
        shortcut = () if self.shortcut is None else (f"shortcut={self.shortcut!r}",)
        return (*super()._arguments(), *shortcut)


class Gate(Sequential):
    """Multiplies its input, element by element, by what its layers make of it.

    Axes of size 1 in what they make are repeated: (C, 1, 1) is a factor for each channel.

    Notes
    -----
    HesScale and BL89 pass with the squares of the other factor, and drop curvature between the two.

    Examples
    --------
    >>> import hesscore as hc
    >>> gate = hc.Gate(hc.Linear(4, 4), hc.Sigmoid())
    >>> hc.Objective(gate, hc.MSELoss()).num_params
    20
    """

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.multiply(x, super()._build(builder, x, path))


class SqueezeExcite(Gate):
    """Scales each channel of (N, C, H, W) by a function of all channels' averages (Hu et al. 2018).

    The average over positions, a 1x1 convolution to `reduced` channels, `activation`, one back to
    `channels`, `gate`; the input is multiplied by the result. Parameters are "1.weight", "1.bias",
    "3.weight" and "3.bias".

    Parameters
    ----------
    channels, reduced : int
        Channels of the input, and inside.
    activation, gate : Layer, optional
        `ReLU()` and `Sigmoid()` by default.

    Raises
    ------
    OptionError, ShapeError
        Bad arguments, or an input of other channels.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3), hc.SqueezeExcite(8, 2, activation=hc.SiLU()))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(3, 6, 6)).layout["1.1.weight"]
    (224, (2, 8, 1, 1))
    """

    def __init__(
        self,
        channels: int,
        reduced: int,
        activation: Layer | None = None,
        gate: Layer | None = None,
    ) -> None:
        self.activation = ReLU() if activation is None else activation
        self.gate = Sigmoid() if gate is None else gate
        down, up = Conv2d(channels, reduced, 1), Conv2d(reduced, channels, 1)
        self.channels, self.reduced = down.in_channels, down.out_channels
        super().__init__(GlobalAvgPool2d(), down, self.activation, up, self.gate)

    def _arguments(self) -> tuple[str, ...]:
        sizes = str(self.channels), str(self.reduced)
        return (*sizes, f"activation={self.activation!r}", f"gate={self.gate!r}")


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
        return [b._build(builder, x, join(path, i)) for i, b in enumerate(self.branches)]

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
