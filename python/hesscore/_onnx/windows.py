"""Rules for operators that slide windows: convolutions and pooling."""

from __future__ import annotations

import numpy as np

from .. import layers
from ..graph import Node
from ..layers.base import Shape
from .site import Refused, Site

_CONV = {1: layers.Conv1d, 2: layers.Conv2d}
_TRANSPOSE = {1: layers.ConvTranspose1d, 2: layers.ConvTranspose2d}
_MAX = {1: layers.MaxPool1d, 2: layers.MaxPool2d}
_AVG = {1: layers.AvgPool1d, 2: layers.AvgPool2d}
_GLOBAL_AVG = {1: layers.GlobalAvgPool1d, 2: layers.GlobalAvgPool2d}
_GLOBAL_MAX = {1: layers.AdaptiveMaxPool1d, 2: layers.AdaptiveMaxPool2d}
_PAD = {1: layers.ZeroPad1d, 2: layers.ZeroPad2d}


class _Windows:
    """Kernel, strides, dilations and padding of an operator, for each spatial axis."""

    def __init__(self, site: Site, kernel: Shape) -> None:
        sizes = site.spatial()
        if len(kernel) != len(sizes):
            raise Refused(f"a kernel of {len(kernel)} axes for an input of {len(sizes)}")
        ones = (1,) * len(sizes)
        self.axes = len(sizes)
        self.kernel = kernel
        self.stride: Shape = tuple(site.attribute("strides", ones))
        self.dilation: Shape = tuple(site.attribute("dilations", ones))
        self.before, self.after = self._padding(site, sizes)

    def _padding(self, site: Site, sizes: Shape) -> tuple[Shape, Shape]:
        how = site.attribute("auto_pad", "NOTSET")
        if how not in ("SAME_UPPER", "SAME_LOWER"):
            none = (0,) * (2 * self.axes)
            pads = none if how == "VALID" else tuple(site.attribute("pads", none))
            return pads[: self.axes], pads[self.axes :]
        windows = zip(sizes, self.kernel, self.stride, self.dilation, strict=True)
        totals = [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in windows]
        less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        return (less, more) if how == "SAME_UPPER" else (more, less)

    @property
    def even(self) -> bool:
        return self.before == self.after

    def padded(self, site: Site) -> Node:
        """Return the input with zeros around it, for layers that pad both sides alike."""
        pairs = list(zip(self.before, self.after, strict=True))[::-1]  # the last axis first
        return site.apply(_PAD[self.axes](tuple(n for pair in pairs for n in pair)))


def conv(site: Site) -> Node:
    weight = site.array(1)
    w = _Windows(site, weight.shape[2:])
    groups, bias = site.attribute("group", 1), site.has(2)
    x = site.node() if w.even else w.padded(site)
    layer = _CONV[w.axes](
        weight.shape[1] * groups, len(weight), w.kernel, w.stride,
        w.before if w.even else 0, w.dilation, groups, bias,
    )  # fmt: skip
    arrays = {"weight": weight, **({"bias": site.array(2).reshape(-1)} if bias else {})}
    return site.apply_with(layer, arrays, x)


def conv_transpose(site: Site) -> Node:
    weight = site.array(1)
    w = _Windows(site, weight.shape[2:])
    if site.attribute("auto_pad", "NOTSET") != "NOTSET" or site.attribute("output_shape"):
        raise Refused("padding that follows from an output shape")
    if not w.even:
        raise Refused("padding that differs on both sides")
    groups, bias = site.attribute("group", 1), site.has(2)
    layer = _TRANSPOSE[w.axes](
        len(weight), weight.shape[1] * groups, w.kernel, w.stride, w.before,
        tuple(site.attribute("output_padding", (0,) * w.axes)), groups, bias, w.dilation,
    )  # fmt: skip
    return site.apply_with(layer, {"weight": weight, **({"bias": site.array(2)} if bias else {})})


def max_pool(site: Site) -> Node:
    w = _Windows(site, tuple(site.attribute("kernel_shape")))
    if not w.even:
        raise Refused("padding that differs on both sides")
    ceil = bool(site.attribute("ceil_mode", 0))
    layer = _MAX[w.axes](w.kernel, w.stride, w.before, w.dilation, ceil_mode=ceil)
    return site.apply(layer)


def average_pool(site: Site) -> Node:
    w = _Windows(site, tuple(site.attribute("kernel_shape")))
    ceil, counted = bool(site.attribute("ceil_mode", 0)), bool(site.attribute("count_include_pad"))
    if max(w.dilation) > 1:
        raise Refused("dilations")
    if w.even:
        return site.apply(_AVG[w.axes](w.kernel, w.stride, w.before, ceil, counted))
    if ceil or not counted:
        raise Refused("padding that differs on both sides")
    return site.apply(_AVG[w.axes](w.kernel, w.stride), to=w.padded(site))


def global_average_pool(site: Site) -> Node:
    return site.apply(_GLOBAL_AVG[len(site.spatial())]())


def global_max_pool(site: Site) -> Node:
    return site.apply(_GLOBAL_MAX[len(site.spatial())](1))


def reduce_mean(site: Site) -> Node:
    shape = site.node().shape
    axes = sorted(site.axis(a) for a in site.given("axes", 1, []))
    if len(shape) < 2 or axes != list(range(2, len(shape) + 1)):
        raise Refused("other axes than all behind the channels")
    mean = global_average_pool(site)
    return mean if site.attribute("keepdims", 1) else site.apply(layers.Flatten(), to=mean)


def pad(site: Site) -> Node:
    rank = len(site.spatial()) + 2
    pads, named = site.given("pads", 1), site.given("axes", 3, list(range(rank)))
    pairs = zip(pads[: len(named)], pads[len(named) :], strict=True)
    sides = dict(zip([axis % rank for axis in named], pairs, strict=True))
    zeros = site.attribute("mode", "constant") == "constant" and not np.any(
        site.given("value", 2, 0.0)
    )
    if not zeros or any(any(sides.get(axis, ())) for axis in (0, 1)):
        raise Refused("other padding than zeros around positions")
    around = [n for axis in range(rank - 1, 1, -1) for n in sides.get(axis, (0, 0))]
    return site.apply(_PAD[rank - 2](tuple(around)))


RULES = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "ReduceMean": reduce_mean,
    "Pad": pad,
}
