"""The look that all plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import module_of
from .._extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart with any kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, FAINT = "#333333", "#DDDDDD"


def to_host(array: Any) -> NDArray[np.float64]:
    """Return an array as float64 of NumPy; CuPy arrays are copied to the host."""
    return np.asarray(array.get() if module_of(array) is not np else array, dtype=np.float64)


def styled(ax: Axes | None) -> Axes:
    """Return the axes, or new ones, with the frame and grid of the house."""
    if ax is None:
        _, ax = require("matplotlib.pyplot").subplots(layout="constrained")
    assert ax is not None
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(INK)
    ax.grid(visible=True, color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def plain_log(ax: Axes) -> None:
    """Make the vertical axis logarithmic, with 1, 2 and 5 of each decade as plain numbers."""
    ticker = require("matplotlib.ticker")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=12))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(ticker.NullFormatter())
