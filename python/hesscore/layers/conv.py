"""Convolutions in one and two dimensions, and their transposes."""

from __future__ import annotations

from typing import Any

from .. import _check
from ..errors import OptionError
from .base import Builder, Layer

Numbers = int | tuple[int, ...]


class _Convolution(Layer):
    """Sizes of every axis as a tuple, from PyTorch's arguments."""

    _axes = 2
    _transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers,
        padding: Numbers | str,
        output_padding: Numbers,
        dilation: Numbers,
        groups: int,
        bias: bool,
    ) -> None:
        def sizes(name: str, value: Any, low: int) -> tuple[int, ...]:
            return _check.sizes(name, value, low, self._axes)

        self.in_channels = _check.integer("in_channels", in_channels, 1)
        self.out_channels = _check.integer("out_channels", out_channels, 1)
        self.kernel_size = sizes("kernel_size", kernel_size, 1)
        self.stride = sizes("stride", stride, 1)
        self.dilation = sizes("dilation", dilation, 1)
        self.output_padding = sizes("output_padding", output_padding, 0)
        self.groups = _check.integer("groups", groups, 1)
        self.bias = _check.flag("bias", bias)
        self.padding = padding if isinstance(padding, str) else sizes("padding", padding, 0)
        self._before, self._after = self._zeros()

    def _zeros(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tell the rows of zeros before and after each axis."""
        if not isinstance(self.padding, str):
            return self.padding, self.padding
        if self.padding == "valid" and not self._transposed:
            return (0,) * self._axes, (0,) * self._axes
        if self.padding != "same" or self._transposed:
            expected = "integers" if self._transposed else "integers, 'same' or 'valid'"
            raise OptionError.about("padding", expected, repr(self.padding))
        if max(self.stride) > 1:
            raise OptionError.about("padding", "integers where stride is not 1", "'same'")
        reach = tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
        before = tuple(r // 2 for r in reach)
        return before, tuple(r - b for r, b in zip(reach, before, strict=True))

    def _build(self, builder: Builder, x: int, path: str) -> int:
        def make() -> Any:
            return builder.engine.make_conv(
                self.in_channels,
                self.out_channels,
                kernel=self.kernel_size,
                stride=self.stride,
                padding_before=self._before,
                padding_after=self._after,
                dilation=self.dilation,
                output_padding=self.output_padding,
                groups=self.groups,
                bias=self.bias,
                transposed=self._transposed,
                name=path,
            )

        return builder.call(self, x, make)

    def _arguments(self) -> tuple[str, ...]:
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
        said = [str(self.in_channels), str(self.out_channels), short(self.kernel_size)]
        for name, value in usual.items():
            if short(getattr(self, name)) != str(value):
                said.append(f"{name}={short(getattr(self, name))}")
        return (*said, *(() if self.bias else ("bias=False",)))


def short(value: Any) -> str:
    """Write (3, 3) as 3."""
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return repr(value)


class Conv2d(_Convolution):
    """Cross-correlation of images (N, C, H, W) with a kernel, plus a bias.

    ``y[n, o, i, j] = b[o] + sum_(c, u, v) W[o, c, u, v] x[n, c, s i + d u - p, s j + d v - p]``
    with zeros outside the image. `weight` is `(out, in / groups, kh, kw)`, `bias` is `(out,)`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size : int or (int, int)
        Rows and columns of the kernel.
    stride, dilation : int or (int, int)
        Steps between positions, and between elements under the kernel.
    padding : int, (int, int), "same" or "valid"
        Zeros on both sides of each axis. "same" keeps the size; of an odd number of zeros one
        more lies behind, as in PyTorch. "valid" is 0.
    groups : int
        Channels are split into as many groups, which do not see each other; `groups=in_channels` is
        a depthwise convolution.
    bias : bool
        Whether there is a `b`.

    Raises
    ------
    OptionError
        An argument that is no integer or too small, or "same" with a stride.
    GraphError
        Channels that groups do not divide.
    ShapeError
        An input of other channels, or one that is smaller than the kernel.

    Notes
    -----
    Gradients, products and the Gauss-Newton and Fisher diagonals are exact: a sample's gradient is
    summed over positions before it is squared. HesScale and BL89 add up what arrives at
    every position, ``h_W = sum (x o x) h_y``, and drop curvature between positions.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> net = hc.Sequential(hc.Conv2d(3, 8, 5, stride=2, padding=2), hc.ReLU())
    >>> f = hc.Objective(net, hc.MSELoss(), input_shape=(3, 32, 32))
    >>> f.layout["0.weight"], f.output_shape
    ((0, (8, 3, 5, 5)), (8, 16, 16))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        sizes = in_channels, out_channels, kernel_size
        super().__init__(*sizes, stride, padding, 0, dilation, groups, bias)


class Conv1d(Conv2d):
    """Cross-correlation of sequences (N, C, L) with a kernel, plus a bias.

    `Conv2d` with one axis: `weight` is `(out, in / groups, k)`, `bias` is `(out,)`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size, stride, dilation : int
        As in `Conv2d`.
    padding : int, "same" or "valid"
        As in `Conv2d`.
    groups : int
        As in `Conv2d`.
    bias : bool
        Whether there is a bias.

    Raises
    ------
    OptionError, GraphError, ShapeError
        As `Conv2d`.

    Notes
    -----
    Exact and approximate as in `Conv2d`.

    Examples
    --------
    >>> import hesscore as hc
    >>> f = hc.Objective(hc.Conv1d(2, 4, 3, padding="same"), hc.MSELoss(), input_shape=(2, 10))
    >>> f.layout["0.weight"], f.output_shape
    ((0, (4, 2, 3)), (4, 10))
    """

    _axes = 1


class ConvTranspose2d(_Convolution):
    """The transpose of a convolution from the output to the input: upsamples (N, C, H, W).

    An axis of n becomes one of ``(n - 1) stride - 2 padding + dilation (kernel - 1) +
    output_padding + 1``. `weight` is `(in, out / groups, kh, kw)`, `bias` is `(out,)`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size, stride, dilation : int or (int, int)
        Of the convolution that this one transposes.
    padding : int or (int, int)
        Rows and columns that are dropped on both sides.
    output_padding : int or (int, int)
        Rows and columns added behind, fewer than stride or dilation.
    groups : int
        As in `Conv2d`.
    bias : bool
        Whether there is a bias.

    Raises
    ------
    OptionError, GraphError, ShapeError
        As `Conv2d`; also an output_padding that is too large.

    Notes
    -----
    Exact and approximate as in `Conv2d`.

    Examples
    --------
    >>> import hesscore as hc
    >>> up = hc.ConvTranspose2d(8, 3, 4, stride=2, padding=1)
    >>> f = hc.Objective(up, hc.MSELoss(), input_shape=(8, 16, 16))
    >>> f.layout["0.weight"], f.output_shape
    ((0, (8, 3, 4, 4)), (3, 32, 32))
    """

    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
    ) -> None:
        sizes = in_channels, out_channels, kernel_size
        super().__init__(*sizes, stride, padding, output_padding, dilation, groups, bias)


class ConvTranspose1d(ConvTranspose2d):
    """The transpose of a convolution of sequences: upsamples (N, C, L).

    `ConvTranspose2d` with one axis: `weight` is `(in, out / groups, k)`, `bias` is `(out,)`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size, stride, padding, output_padding, dilation : int
        As in `ConvTranspose2d`.
    groups : int
        As in `Conv2d`.
    bias : bool
        Whether there is a bias.

    Raises
    ------
    OptionError, GraphError, ShapeError
        As `ConvTranspose2d`.

    Notes
    -----
    Exact and approximate as in `Conv2d`.

    Examples
    --------
    >>> import hesscore as hc
    >>> up = hc.ConvTranspose1d(4, 2, 3, stride=2, output_padding=1)
    >>> hc.Objective(up, hc.MSELoss(), input_shape=(4, 5)).output_shape
    (2, 12)
    """

    _axes = 1
