"""Plots of training runs and of curvature, on Matplotlib axes that the caller may restyle.

Matplotlib is imported when a function is called, not with this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import module_of
from ._extras import require
from .errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curvature", "history"]

# Okabe and Ito's palette, told apart with any kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, FAINT = "#333333", "#DDDDDD"
AXIS = {"step": "step", "seconds": "time in seconds", "epoch": "epoch"}


def history(
    logs: Mapping[str, Mapping[str, ArrayLike]],
    by: Literal["step", "seconds", "epoch"] = "step",
    ax: Axes | None = None,
    what: str = "loss",
    log: bool = True,
) -> Axes:
    """Plot how the loss fell in one or several runs.

    Series of more than 100 points are drawn faintly, with their running mean on top.

    Parameters
    ----------
    logs : mapping of str to mapping
        For each run its name and its series: arrays of equal length under `by` and `what`.
    by : {"step", "seconds", "epoch"}
        The horizontal axis.
    ax : Axes, optional
        Where to draw; new axes by default.
    what : str
        The series to draw.
    log : bool
        Give it a logarithmic axis.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        When a run lacks one of the two series, or their lengths differ.
    MissingExtraError
        When Matplotlib is not installed.

    Examples
    --------
    >>> import hesscore as hc
    >>> log = {"step": [0, 1, 2], "loss": [2.3, 1.1, 0.6]}
    >>> ax = hc.plot.history({"sgd": log})
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()
    ('step', 'loss', 'log')
    """
    ax = _axes(ax)
    for k, (name, run) in enumerate(logs.items()):
        _series(ax, name, run, (by, what), COLOURS[k % len(COLOURS)])
    ticker = require("matplotlib.ticker")
    if log:  # 1, 2 and 5 of each decade as plain numbers
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=12))
        ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(ticker.NullFormatter())
    if by != "seconds":
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.set(xlabel=AXIS.get(by, by), ylabel=what)
    ax.margins(x=0.01)
    if logs:
        ax.legend(frameon=False, labelcolor="linecolor", handlelength=1.2)
    return ax


def curvature(f: Any, diag: Any, ax: Axes | None = None) -> Axes:
    """Plot how a diagonal curvature is distributed in each parameter tensor.

    One row for each tensor, from the input down: the density of the absolute values on a
    logarithmic axis, their median, and how many are negative or negligible, which is below 1e-8 of
    the largest.

    Parameters
    ----------
    f : Objective
        Gives the layout.
    diag : array_like, (P,)
        Curvatures, e.g. ``f.diag(w, x, y, kind="hesscale")``; CuPy arrays are copied to the host.
    ax : Axes, optional
        Where to draw; new axes by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        When `diag` does not have one finite entry for each parameter.
    MissingExtraError
        When Matplotlib is not installed.
    """
    flat = np.asarray(diag.get() if module_of(diag) is not np else diag, dtype=np.float64)
    if flat.shape != (f.num_params,):
        raise OptionError.about("diag", f"({f.num_params},)", flat.shape)
    if not np.isfinite(flat).all():
        raise OptionError.about("diag", "finite numbers", flat[~np.isfinite(flat)][0])
    ax = _axes(ax)
    names = list(f.layout)
    values = {name: flat[o : o + int(np.prod(s))] for name, (o, s) in f.layout.items()}
    largest = float(np.max(np.abs(flat), initial=0)) or 1.0
    edges = np.geomspace(1e-8 * largest, 3 * largest, 81)
    for row, name in enumerate(names):
        _ridge(ax, row, values[name], edges, COLOURS[row // 2 % len(COLOURS)])
    ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(len(names) - 0.5, -1.0)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("absolute value of the diagonal curvature")
    return ax


def _ridge(ax: Axes, row: int, values: NDArray, edges: NDArray, colour: str) -> None:
    """One row of `curvature`: a filled density that stands on y = row."""
    magnitudes = np.abs(values)
    counts, _ = np.histogram(magnitudes, edges)
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    density = np.convolve(counts, kernel, "same")
    height = 0.85 * density / max(density.max(), 1e-300)
    centres = np.sqrt(edges[1:] * edges[:-1])
    ax.fill_between(centres, row, row - height, color=colour, alpha=0.35, linewidth=0)
    ax.plot(centres, row - height, color=colour, linewidth=1.2)
    ax.plot([np.median(magnitudes)] * 2, [row, row - 0.3], color=INK, linewidth=1.5)
    notes = [
        f"{share:.0%} {word}" if share >= 0.005 else f"<1% {word}"
        for share, word in (
            (np.mean(values < 0), "negative"),
            (np.mean(magnitudes < edges[0]), "negligible"),
        )
        if share > 0
    ]
    ax.annotate(
        ", ".join(notes), (1, row), (4, 2), color=INK, fontsize="small",
        xycoords=ax.get_yaxis_transform(), textcoords="offset points",
    )  # fmt: skip


def _series(
    ax: Axes, name: str, run: Mapping[str, ArrayLike], keys: tuple[str, str], colour: str
) -> None:
    missing = [key for key in keys if key not in run]
    if missing:
        raise OptionError.about(f"logs[{name!r}]", f"a series {missing[0]!r}", list(run))
    x, y = (np.asarray(run[key], dtype=np.float64) for key in keys)
    if x.shape != y.shape or x.ndim != 1:
        raise OptionError.about(f"logs[{name!r}]", f"{x.shape} numbers", y.shape)
    if len(y) > 100:
        ax.plot(x, y, color=colour, alpha=0.2, linewidth=0.8)
        y = _running_mean(y, len(y) // 80)
    marker = "o" if len(y) <= 30 else ""
    ax.plot(x, y, color=colour, label=name, linewidth=1.8, marker=marker, markersize=4)


def _running_mean(y: NDArray, reach: int) -> NDArray:
    """Average over `reach` neighbours on each side, fewer towards the ends."""
    index = np.arange(len(y))
    reaches = np.minimum(reach, np.minimum(index, index[::-1]))
    sums = np.concatenate([[0.0], np.cumsum(y)])
    return (sums[index + reaches + 1] - sums[index - reaches]) / (2 * reaches + 1)


def _axes(ax: Axes | None) -> Axes:
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
