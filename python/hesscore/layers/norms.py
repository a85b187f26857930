"""Normalisations: over the batch, the last axes, groups of channels, positions."""

from __future__ import annotations

from .. import _check
from ..errors import OptionError
from .base import Builder, Layer, Shape, changed


class BatchNorm2d(Layer):
    """Normalises each channel of (N, C, H, W) over the batch and the positions.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``. In training (`train=True`) mean and
    variance are those of the batch, elsewhere the running ones, which a training step that is
    accepted moves: "running_mean", "running_var" and "num_batches_tracked" of `f.buffers`.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float or None
        ``running = (1 - momentum) running + momentum batch``; None is the average of all batches.
    affine : bool
        Whether there are `weight` and `bias`, `(num_features,)`, which start as ones and zeros.
    track_running_stats : bool
        False: the statistics are always those of the batch.

    Raises
    ------
    OptionError, GraphError
        Bad arguments.
    ShapeError
        An input of other channels; a batch of one value for each channel in training.
    UnsupportedError
        The diagonals "ggn", "ggn_mc" and "empirical_fisher", which square the gradients of single
        samples, with the statistics of the batch, which couple its samples.

    Notes
    -----
    Gradients and products with the Hessian and the Gauss-Newton matrix are exact in both modes.
    With running statistics the layer is affine and every diagonal follows. With the statistics of
    the batch the recursive diagonals (HesScale, BL89) treat them as constants.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3, bias=False), hc.BatchNorm2d(8), hc.ReLU())
    >>> list(hc.Objective(net, hc.MSELoss(), input_shape=(3, 8, 8)).layout)
    ['0.weight', '1.weight', '1.bias']
    """

    _axes = 2
    _keeps_shape = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features = _check.integer("num_features", num_features, 1)
        self.eps = _check.number("eps", eps)
        self.momentum = None if momentum is None else _check.number("momentum", momentum)
        self.affine = _check.flag("affine", affine)
        self.track_running_stats = _check.flag("track_running_stats", track_running_stats)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        options = self.eps, self.momentum, self.affine, self.track_running_stats
        make = builder.engine.make_batch_norm
        return builder.call(self, x, lambda: make(self._axes, self.num_features, *options, path))

    def _arguments(self) -> tuple[str, ...]:
        usual = {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}
        return (str(self.num_features), *changed(self, usual))


class BatchNorm1d(BatchNorm2d):
    """Normalises each feature of (N, C), or channel of (N, C, L), over batch and positions.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats
        As in `BatchNorm2d`, and so are errors and notes.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 8, bias=False), hc.BatchNorm1d(8), hc.ReLU())
    >>> hc.Objective(net, hc.MSELoss()).num_params
    48
    """

    _axes = 1


class LayerNorm(Layer):
    """Normalises each sample over its last axes: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the last axes, and shape of `weight` and `bias`.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether there is a `weight`, ones at the start, and with `bias` a `bias`, zeros.
    bias : bool
        Whether there is a `bias`.

    Raises
    ------
    OptionError, GraphError, ShapeError
        Bad arguments, or an input with other last axes.

    Notes
    -----
    Gradients, products and the Gauss-Newton and Fisher diagonals are exact. The recursive diagonals
    (HesScale, BL89) pass through the squares of the layer's Jacobian, HesScale with the
    layer's own second derivatives, and drop curvature between elements.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 8), hc.LayerNorm(8), hc.GELU(), hc.Linear(8, 2))
    >>> list(hc.Objective(net, hc.MSELoss()).layout)[2:4]
    ['1.weight', '1.bias']
    """

    _keeps_shape = True

    def __init__(
        self,
        normalized_shape: int | Shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = _check.shape("normalized_shape", normalized_shape)
        self.eps = _check.number("eps", eps)
        self.elementwise_affine = _check.flag("elementwise_affine", elementwise_affine)
        self.bias = _check.flag("bias", bias)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        options = self.eps, self.elementwise_affine, self.bias
        make, shape = builder.engine.make_layer_norm, list(self.normalized_shape)
        return builder.call(self, x, lambda: make(shape, *options, path))

    def _arguments(self) -> tuple[str, ...]:
        usual = {"eps": 1e-5, "elementwise_affine": True, "bias": True}
        return (_sizes(self.normalized_shape), *changed(self, usual))


class RMSNorm(Layer):
    """Divides each sample by the root mean square of its last axes: ``x / sqrt(mean(x^2) + eps)``.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the last axes, and shape of `weight`.
    eps : float, optional
        Added to the mean square; by default the spacing of numbers at 1 in the dtype.
    elementwise_affine : bool
        Whether the result is multiplied by a `weight`, ones at the start.

    Raises
    ------
    OptionError, GraphError, ShapeError
        As `LayerNorm`.

    Notes
    -----
    Exact and approximate as in `LayerNorm`.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 8), hc.RMSNorm(8))
    >>> hc.Objective(net, hc.MSELoss()).num_params
    48
    """

    _keeps_shape = True

    def __init__(
        self,
        normalized_shape: int | Shape,
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        self.normalized_shape = _check.shape("normalized_shape", normalized_shape)
        self.eps = None if eps is None else _check.number("eps", eps)
        self.elementwise_affine = _check.flag("elementwise_affine", elementwise_affine)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        options = self.eps, self.elementwise_affine
        make, shape = builder.engine.make_rms_norm, list(self.normalized_shape)
        return builder.call(self, x, lambda: make(shape, *options, path))

    def _arguments(self) -> tuple[str, ...]:
        usual = {"eps": None, "elementwise_affine": True}
        return (_sizes(self.normalized_shape), *changed(self, usual))


class GroupNorm(Layer):
    """Normalises each sample (C, ...) over the positions and the channels of a group.

    Parameters
    ----------
    num_groups, num_channels : int
        The channels are split into as many groups of equal size.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are `weight` and `bias`, `(num_channels,)`, ones and zeros at the start.

    Raises
    ------
    OptionError, GraphError, ShapeError
        Bad arguments, or an input of other channels.

    Notes
    -----
    Exact and approximate as in `LayerNorm`.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3), hc.GroupNorm(4, 8), hc.ReLU())
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(3, 8, 8)).layout["1.weight"]
    (224, (8,))
    """

    _keeps_shape = True

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        self.num_groups = _check.integer("num_groups", num_groups, 1)
        self.num_channels = _check.integer("num_channels", num_channels, 1)
        if self.num_channels % self.num_groups:
            expected = f"a multiple of num_groups, {num_groups}"
            raise OptionError.about("num_channels", expected, num_channels)
        self.eps = _check.number("eps", eps)
        self.affine = _check.flag("affine", affine)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        sizes, options = (self.num_groups, self.num_channels), (self.eps, self.affine)
        make = builder.engine.make_group_norm
        return builder.call(self, x, lambda: make(*sizes, *options, path))

    def _arguments(self) -> tuple[str, ...]:
        sizes = str(self.num_groups), str(self.num_channels)
        return (*sizes, *changed(self, {"eps": 1e-5, "affine": True}))


class InstanceNorm2d(Layer):
    """Normalises each channel of each sample (C, H, W) over its positions.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    affine : bool
        Whether there are `weight` and `bias`, `(num_features,)`, ones and zeros at the start.

    Raises
    ------
    OptionError, GraphError, ShapeError
        Bad arguments, an input of other channels, or of one position.

    Notes
    -----
    Exact and approximate as in `LayerNorm`. There are no running statistics.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3), hc.InstanceNorm2d(8, affine=True))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(3, 8, 8)).layout["1.weight"]
    (224, (8,))
    """

    _axes = 2
    _keeps_shape = True

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False) -> None:
        self.num_features = _check.integer("num_features", num_features, 1)
        self.eps = _check.number("eps", eps)
        self.affine = _check.flag("affine", affine)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        options = self.num_features, self.eps, self.affine
        make = builder.engine.make_instance_norm
        return builder.call(self, x, lambda: make(self._axes, *options, path))

    def _arguments(self) -> tuple[str, ...]:
        return (str(self.num_features), *changed(self, {"eps": 1e-5, "affine": False}))


class InstanceNorm1d(InstanceNorm2d):
    """Normalises each channel of each sample (C, L) over its positions; see `InstanceNorm2d`."""

    _axes = 1


def _sizes(shape: Shape) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)
