"""Pooling: maxima and averages of windows."""

from __future__ import annotations

from typing import Any

from .. import _check
from ..errors import OptionError
from .base import Builder, Layer, changed
from .conv import Numbers, short


class _Pool(Layer):
    """Windows over the last axes."""

    _axes = 2

    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None, padding: Numbers, ceil_mode: bool
    ) -> None:
        self.kernel_size = self._sizes("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else self._sizes("stride", stride, 1)
        self.padding = self._sizes("padding", padding, 0)
        self.ceil_mode = _check.flag("ceil_mode", ceil_mode)
        for zeros, kernel in zip(self.padding, self.kernel_size, strict=True):
            if 2 * zeros > kernel:
                expected = "at most half of kernel_size"
                raise OptionError.about("padding", expected, short(self.padding))

    def _sizes(self, name: str, value: Any, low: int) -> tuple[int, ...]:
        return _check.sizes(name, value, low, self._axes)

    def _arguments(self) -> tuple[str, ...]:
        said = [short(self.kernel_size)]
        if self.stride != self.kernel_size:
            said.append(f"stride={short(self.stride)}")
        if any(self.padding):
            said.append(f"padding={short(self.padding)}")
        return (*said, *changed(self, {"ceil_mode": False}))


class MaxPool2d(_Pool):
    """Maxima of windows of (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or (int, int)
        Rows and columns of a window.
    stride : int or (int, int), optional
        Steps between windows; by default they lie side by side.
    padding : int or (int, int)
        Rows and columns on both sides that never are the maximum.
    dilation : int or (int, int)
        Steps between elements of a window.
    ceil_mode : bool
        Whether windows may reach over the end, if they begin inside.

    Raises
    ------
    OptionError
        An argument that is no integer, too small, or a padding above half a window.
    ShapeError
        An input that is smaller than a window.

    Notes
    -----
    Derivatives and curvature pass to the maximum, the first one among equal ones, so everything is
    exact where no two are equal; where windows overlap, what arrives is added.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3), hc.MaxPool2d(3, stride=2, ceil_mode=True))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(3, 16, 16)).output_shape
    (8, 7, 7)
    """

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        dilation: Numbers = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = self._sizes("dilation", dilation, 1)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        sizes = self.kernel_size, self.stride, self.padding, self.dilation
        return builder.engine.max_pool(x, *sizes, self.ceil_mode)

    def _arguments(self) -> tuple[str, ...]:
        dilated = max(self.dilation) > 1
        dilation = (f"dilation={short(self.dilation)}",) if dilated else ()
        return (*super()._arguments(), *dilation)


class MaxPool1d(MaxPool2d):
    """Maxima of windows of (N, C, L); `MaxPool2d` with one axis.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode
        As in `MaxPool2d`, one integer each; errors and notes are the same.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv1d(1, 4, 3), hc.MaxPool1d(2))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(1, 10)).output_shape
    (4, 4)
    """

    _axes = 1


class AvgPool2d(_Pool):
    """Averages of windows of (N, C, H, W).

    Parameters
    ----------
    kernel_size : int or (int, int)
        Rows and columns of a window.
    stride : int or (int, int), optional
        Steps between windows; by default they lie side by side.
    padding : int or (int, int)
        Rows and columns of zeros on both sides.
    ceil_mode : bool
        Whether windows may reach over the end, if they begin inside.
    count_include_pad : bool
        Whether the zeros of the padding count in the average.
    divisor_override : int, optional
        What sums are divided by, in place of the size of the window.

    Raises
    ------
    OptionError, ShapeError
        As `MaxPool2d`.

    Notes
    -----
    Linear: gradients, products, Gauss-Newton and Fisher diagonals are exact. HesScale and BL89 pass
    through the squares of the weights, 1/k^2 for a window of k, and drop curvature between
    elements.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(1, 6, 5, padding=2), hc.Tanh(), hc.AvgPool2d(2))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(1, 28, 28)).output_shape
    (6, 14, 14)
    """

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = _check.flag("count_include_pad", count_include_pad)
        if divisor_override is not None:
            divisor_override = _check.integer("divisor_override", divisor_override, 1)
        self.divisor_override = divisor_override

    def _build(self, builder: Builder, x: int, path: str) -> int:
        sizes = self.kernel_size, self.stride, self.padding
        divisor = self.count_include_pad, self.divisor_override
        return builder.engine.avg_pool(x, *sizes, self.ceil_mode, *divisor)

    def _arguments(self) -> tuple[str, ...]:
        usual = {"count_include_pad": True, "divisor_override": None}
        return (*super()._arguments(), *changed(self, usual))


class AvgPool1d(AvgPool2d):
    """Averages of windows of (N, C, L); `AvgPool2d` with one axis.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `AvgPool2d`, one integer for each size; errors and notes are the same.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv1d(1, 4, 3), hc.AvgPool1d(2))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(1, 10)).output_shape
    (4, 4)
    """

    _axes = 1


class _AdaptivePool(Layer):
    _axes = 2
    _kind = "avg"

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,)
        if len(sizes) == 1:
            sizes = tuple(sizes) * self._axes
        if len(sizes) != self._axes:
            expected = f"an integer or {self._axes} of them"
            raise OptionError.about("output_size", expected, repr(output_size))
        self.output_size = tuple(
            None if n is None else _check.integer("output_size", n, 1) for n in sizes
        )

    def _build(self, builder: Builder, x: int, path: str) -> int:
        pool = getattr(builder.engine, f"adaptive_{self._kind}_pool")
        return pool(x, [-1 if n is None else n for n in self.output_size])

    def _arguments(self) -> tuple[str, ...]:
        return (short(self.output_size),)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Averages of windows that are chosen so that (N, C, H, W) becomes (N, C, *output_size).

    Output i of n covers the elements from ``floor(i H / n)`` to ``ceil((i + 1) H / n)``.

    Parameters
    ----------
    output_size : int or (int, int)
        Rows and columns of the output; None keeps those of the input.

    Raises
    ------
    OptionError
        Sizes that are no positive integers.
    ShapeError
        An input that is no image.

    Notes
    -----
    Exact and approximate as in `AvgPool2d`.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3), hc.AdaptiveAvgPool2d((2, None)))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(3, 9, 9)).output_shape
    (8, 2, 7)
    """


class AdaptiveAvgPool1d(_AdaptivePool):
    """Averages of windows that make (N, C, L) (N, C, output_size); see `AdaptiveAvgPool2d`.

    Parameters
    ----------
    output_size : int
        Positions of the output.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv1d(1, 4, 3), hc.AdaptiveAvgPool1d(3))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(1, 10)).output_shape
    (4, 3)
    """

    _axes = 1


class AdaptiveMaxPool2d(_AdaptivePool):
    """Maxima of the windows of `AdaptiveAvgPool2d`; exact where no two elements are equal.

    Parameters
    ----------
    output_size : int or (int, int)
        Rows and columns of the output; None keeps those of the input.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3), hc.AdaptiveMaxPool2d(1))
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(3, 9, 9)).output_shape
    (8, 1, 1)
    """

    _kind = "max"


class AdaptiveMaxPool1d(AdaptiveMaxPool2d):
    """Maxima of windows that make (N, C, L) (N, C, output_size); see `AdaptiveMaxPool2d`."""

    _axes = 1


class GlobalAvgPool2d(Layer):
    """The average of each channel over all positions: (N, C, H, W) becomes (N, C, 1, 1).

    Notes
    -----
    Exact and approximate as in `AvgPool2d`.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 3), hc.GlobalAvgPool2d(), hc.Flatten())
    >>> hc.Objective(net, hc.MSELoss(), input_shape=(3, 9, 9)).output_shape
    (8,)
    """

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.global_avg_pool(x)


class GlobalAvgPool1d(GlobalAvgPool2d):
    """The average of each channel over all positions: (N, C, L) becomes (N, C, 1)."""
