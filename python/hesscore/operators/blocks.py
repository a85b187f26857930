"""Rows and columns by the names of parameters and layers, or by indices, as ranges."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from .. import errors
from ..errors import OptionError, ShapeError, UnsupportedError

Layout = dict[str, tuple[int, tuple[int, ...]]]
Names = Any  # str, slice, indices, a list of them, or None for all


def ranges_of(arg: str, names: Names, size: int, layout: Layout | None) -> list[tuple[int, int]]:
    """Tell the (first, length) of what `names` says, in its order; none of them touch."""
    parts = names if isinstance(names, (list, tuple)) else [names]
    ranges: list[tuple[int, int]] = []
    for part in parts:
        for first, length in _ranges(arg, part, size, layout):
            if ranges and sum(ranges[-1]) == first:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
            else:
                ranges.append((first, length))
    ordered = sorted(ranges)
    for (first, length), (after, _) in pairwise(ordered):
        if first + length > after:
            raise ShapeError.about(arg, "each row or column once", f"number {after} twice")
    return ranges


def _ranges(arg: str, part: Any, size: int, layout: Layout | None) -> list[tuple[int, int]]:
    if part is None:
        return [(0, size)]
    if isinstance(part, str):
        return _by_name(arg, part, layout)
    if isinstance(part, slice):
        try:
            first, end, step = part.indices(size)
        except TypeError:
            raise OptionError.about(arg, "a slice of integers", repr(part)) from None
        if step != 1:
            raise OptionError.about(arg, "a slice of step 1", repr(part))
        return [(first, max(0, end - first))]
    return _by_index(arg, part, size)


def _by_name(arg: str, name: str, layout: Layout | None) -> list[tuple[int, int]]:
    if layout is None:
        raise UnsupportedError(f"{arg}: the parameters of this operator have no names")
    found = [
        (offset, math.prod(shape))
        for known, (offset, shape) in layout.items()
        if known == name or known.startswith(name + ".")
    ]
    if not found:
        raise errors.unknown(arg, name, layout, "a layer or one of")
    return found


def _by_index(arg: str, part: Any, size: int) -> list[tuple[int, int]]:
    indices = np.asarray(part)
    if indices.dtype.kind not in "iu" or indices.ndim > 1:
        raise OptionError.about(arg, "names, slices or integers", repr(part))
    indices = np.atleast_1d(indices)
    outside = indices[(indices < 0) | (indices >= size)]
    if outside.size:
        raise ShapeError.about(arg, f"indices in 0..{size - 1}", int(outside[0]))
    return [(int(i), 1) for i in indices]
