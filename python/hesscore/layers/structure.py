"""Layers without parameters that move values or drop them."""

from __future__ import annotations

from .. import _check
from ..errors import OptionError
from .base import Builder, Layer, Shape


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

    Notes
    -----
    The mask is not stored but drawn anew wherever it is needed, from a counter-based generator
    (Philox 4x32-10) keyed by the seed. Elements of the batch are counted in the order in which they
    lie in memory: sample by sample, and within a sample channels last, (H, W, C), where it comes
    from a convolution, pooling or another layer of images, else as at the API. Element i reads
    word i mod 4 of counter (i // 4, number of the layer, step), and is kept where that is at least
    ``p 2^32``. So a sample's mask depends on its place in the batch but not on the batch's size, is
    the same for float32 and float64, and differs from layer to layer, also of one `Dropout` used
    twice.

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


class Reshape(Layer):
    """Gives each sample another shape, its elements in the same order.

    Parameters
    ----------
    *shape : int
        Sizes without the batch; one of them may be -1 and follows from the others.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 12), hc.Reshape(3, 2, -1))
    >>> hc.Objective(net, hc.MSELoss()).output_shape
    (3, 2, 2)
    """

    def __init__(self, *shape: int) -> None:
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            shape = tuple(shape[0])
        self.shape = tuple(_check.integer("shape", n, -1) for n in shape)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.reshape(x, list(self.shape))

    def _arguments(self) -> tuple[str, ...]:
        return tuple(map(str, self.shape))


class Unflatten(Layer):
    """Splits an axis into several; the inverse of flattening them.

    Parameters
    ----------
    dim : int
        The axis, counted with the batch, as in PyTorch.
    unflattened_size : tuple of int
        Its new sizes; one of them may be -1.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 12), hc.Unflatten(1, (3, 4)))
    >>> hc.Objective(net, hc.MSELoss()).output_shape
    (3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Shape) -> None:
        self.dim = _check.integer("dim", dim, 1)
        self.unflattened_size = tuple(
            _check.integer("unflattened_size", n, -1) for n in unflattened_size
        )

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.unflatten(x, self.dim, list(self.unflattened_size))

    def _arguments(self) -> tuple[str, ...]:
        return (str(self.dim), str(self.unflattened_size))


class Slice(Layer):
    """Takes ``x[start:stop:step]`` along one axis.

    Parameters
    ----------
    axis : int
        The axis, counted with the batch, as in NumPy.
    start, stop : int, optional
        As in NumPy; negative numbers count from behind.
    step : int
        A positive number.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 9), hc.Slice(1, 1, step=2))
    >>> hc.Objective(net, hc.MSELoss()).output_shape
    (4,)
    """

    def __init__(
        self, axis: int, start: int | None = None, stop: int | None = None, step: int = 1
    ) -> None:
        self.axis = _check.integer("axis", axis, 1)
        self.start = 0 if start is None else _check.integer("start", start, -(2**62))
        self.stop = None if stop is None else _check.integer("stop", stop, -(2**62))
        self.step = _check.integer("step", step, 1)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.slice(x, self.axis, self.start, self.stop, self.step)

    def _arguments(self) -> tuple[str, ...]:
        step = () if self.step == 1 else (f"step={self.step}",)
        return (str(self.axis), str(self.start), str(self.stop), *step)


class ZeroPad2d(Layer):
    """Puts zeros around images (N, C, H, W); negative numbers cut off.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
        Columns and rows of zeros.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(1, 2, 3), hc.ZeroPad2d((0, 1, 2, 3)))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(1, 6, 6)).output_shape
    (2, 9, 5)
    """

    _axes = 2

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        sides = 2 * self._axes
        values = padding if isinstance(padding, (tuple, list)) else (padding,) * sides
        if len(values) != sides:
            expected = f"an integer or {sides} of them"
            raise OptionError.about("padding", expected, repr(padding))
        self.padding = tuple(_check.integer("padding", n, -(2**62)) for n in values)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        pairs = [list(self.padding[i : i + 2]) for i in range(0, len(self.padding), 2)]
        return builder.engine.zero_pad(x, pairs[::-1])

    def _arguments(self) -> tuple[str, ...]:
        return (str(self.padding if len(set(self.padding)) > 1 else self.padding[0]),)


class ZeroPad1d(ZeroPad2d):
    """Puts zeros before and behind sequences (N, C, L); negative numbers cut off.

    Parameters
    ----------
    padding : int or (left, right)
        Zeros on both sides.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv1d(1, 2, 3), hc.ZeroPad1d((2, 1)))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(1, 6)).output_shape
    (2, 7)
    """

    _axes = 1


class Upsample(Layer):
    """Repeats positions of (N, C, L) or (N, C, H, W): the nearest neighbour.

    Parameters
    ----------
    size : int or tuple of int, optional
        Sizes of the spatial axes afterwards.
    scale_factor : int or tuple of int, optional
        Or how often each position is repeated.

    Raises
    ------
    OptionError
        Neither of the two, or both.

    Notes
    -----
    Linear: gradients, products, Gauss-Newton and Fisher diagonals are exact. HesScale and BL89 add
    what arrives at the copies and drop curvature between them.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(1, 2, 3), hc.Upsample(scale_factor=2))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(1, 6, 6)).output_shape
    (2, 8, 8)
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: int | tuple[int, ...] | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise OptionError.about("size", "a size or a scale_factor", f"{size}, {scale_factor}")
        self.size = None if size is None else _check.shape("size", size)
        self.scale_factor = (
            None if scale_factor is None else _check.shape("scale_factor", scale_factor)
        )

    def _build(self, builder: Builder, x: int, path: str) -> int:
        axes = max(1, len(builder.engine.shape(x)) - 1)

        def each(values: Shape) -> list[int]:
            return list(values) * (axes if len(values) == 1 else 1)

        if self.size is not None:
            return builder.engine.upsample(x, each(self.size))
        return builder.engine.upsample_by(x, each(self.scale_factor or (1,)))

    def _arguments(self) -> tuple[str, ...]:
        if self.size is not None:
            return (str(self.size),)
        return (f"scale_factor={self.scale_factor}",)
