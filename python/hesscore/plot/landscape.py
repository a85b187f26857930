"""Loss landscapes: the loss on a line or a plane through a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _check, errors
from .._extras import require
from ..errors import OptionError
from ._planes import Kind, directions, losses
from ._style import COLOURS, INK, plain_log, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_NAMES = {"filter": "filter-normalised", "orthogonal": "random, as long as w"}


def landscape(
    f: Any,
    w: Any,
    x: Any,
    y: Any,
    *,
    dimensions: Literal[1, 2] = 2,
    directions: Kind | Any = "filter",
    extent: float = 1.0,
    points: int | None = None,
    style: Literal["contour", "surface"] = "contour",
    log: bool | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    sample_weight: Any = None,
    train: bool | tuple[int, int] = False,
    ax: Axes | None = None,
) -> Axes:
    """Plot the loss on a line or a plane through `w`.

    Parameters
    ----------
    f : Objective
    w, x, y, sample_weight, train
        A point and a batch, as in `Objective.loss`.
    dimensions : {1, 2}
        A line or a plane; ignored where directions are given.
    directions : {"filter", "orthogonal"} or arrays (P,)
        filter: Gaussian, each filter (row of a weight) made as long as that of w, biases and other
        vectors held (Li et al. 2018). orthogonal: uniformly random, orthogonal, as long as w. Or
        one or two vectors, such as eigenvectors of the Hessian; coordinates are then multiples of
        them.
    extent : float
        The plot goes from ``-extent`` to ``extent`` along each direction.
    points : int, optional
        On each axis; 51 for a line, 31 for a plane.
    style : {"contour", "surface"}
        Of a plane. A surface makes its own axes of three dimensions unless it is given such.
    log : bool, optional
        Whether the loss has a logarithmic scale; by default where it spans more than a factor 20.
    seed : int
        Of random directions.
    batch_size : int, optional
        Evaluate so many samples at a time.
    ax : Axes, optional
        Where to draw; new axes by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError, ShapeError, NonFiniteError
        A bad argument; the exception names it.
    MissingExtraError
        When Matplotlib is not installed.

    Notes
    -----
    ``points`` or ``points**2`` evaluations of the loss. Where it is not finite nothing is drawn.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.models.mlp(3, 4, 2), hc.MSELoss())
    >>> x, y = np.ones((5, 3), "float32"), np.zeros((5, 2), "float32")
    >>> ax = hc.plot.landscape(f, f.init(), x, y, dimensions=1, points=11)
    >>> ax.get_xlabel(), ax.get_ylabel(), len(ax.lines[0].get_xdata())
    ('along a direction, filter-normalised', 'loss', 11)
    """
    if dimensions not in (1, 2):
        raise OptionError.about("dimensions", "1 or 2", repr(dimensions))
    if style not in ("contour", "surface"):
        raise errors.unknown("style", style, ("contour", "surface"))
    if _check.number("extent", extent) <= 0:
        raise OptionError.about("extent", "a positive number", extent)
    across = _directions(f, w, directions, dimensions, _check.integer("seed", seed, 0))
    count = (51 if len(across) == 1 else 31) if points is None else points
    ticks = np.linspace(-extent, extent, _check.integer("points", count, 3, bits=31))
    data = _batches(x, y, batch_size, sample_weight)
    keywords = {"sample_weight": sample_weight, "train": train}
    values = losses(f, w, data, across, [ticks] * len(across), keywords)
    name = _NAMES.get(directions, "as given") if isinstance(directions, str) else "as given"
    known = values[np.isfinite(values)]
    if not len(known):
        raise errors.NonFiniteError.about("w", "a finite loss somewhere around it", "none")
    if log is None:
        log = bool(known.min() > 0 and known.max() > 20 * known.min())
    if len(across) == 1:
        return _line(styled(ax), ticks, values, name, log)
    if style == "surface":
        return _surface(ax, ticks, values, name, log)
    return _contour(styled(ax), ticks, values, name, log)


_directions = directions


def _batches(x: Any, y: Any, size: int | None, sample_weight: Any) -> list[tuple[Any, Any]]:
    if size is None:
        return [(x, y)]
    size = _check.integer("batch_size", size, 1)
    if sample_weight is not None:
        raise OptionError.about("batch_size", "None with sample_weight", size)
    pick = (lambda i: {k: a[i : i + size] for k, a in x.items()}) if isinstance(x, dict) else (
        lambda i: x[i : i + size])  # fmt: skip
    return [(pick(i), y[i : i + size]) for i in range(0, len(y), size)]


def _line(ax: Axes, ticks: NDArray, values: NDArray, name: str, log: bool) -> Axes:
    ax.plot(ticks, values, color=COLOURS[len(ax.lines) // 2 % len(COLOURS)], linewidth=1.8)
    middle = np.interp(0.0, ticks, values)
    ax.plot([0], [middle], "o", color=INK, markersize=5)
    if log:
        plain_log(ax)
    ax.set(xlabel=f"along a direction, {name}", ylabel="loss")
    ax.margins(x=0.01)
    return ax


def _levels(values: NDArray, log: bool, count: int) -> NDArray:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not high > low:
        high = low + (abs(low) or 1.0) * 1e-3
    return np.geomspace(low, high, count) if log else np.linspace(low, high, count)


def _contour(ax: Axes, ticks: NDArray, values: NDArray, name: str, log: bool) -> Axes:
    colors = require("matplotlib.colors")
    levels = _levels(values, log, 25)
    scale = colors.LogNorm if log else colors.Normalize
    norm = scale(levels[0], levels[-1])
    ax.grid(visible=False)
    filled = ax.contourf(ticks, ticks, values.T, levels=levels, norm=norm, cmap="viridis")
    filled.set_edgecolor("face")
    lines = ax.contour(ticks, ticks, values.T, levels=levels[2::4], colors="white",
                       linewidths=0.7, alpha=0.8)  # fmt: skip
    ax.clabel(lines, fmt=lambda v: f"{v:.2g}", fontsize="x-small")
    ax.plot([0], [0], "P", color="white", markeredgecolor=INK, markersize=9)
    bar = ax.figure.colorbar(filled, ax=ax, ticks=levels[::6], format=lambda v, _: f"{v:.3g}")
    bar.ax.minorticks_off()
    bar.set_label("loss")
    bar.outline.set_visible(False)
    ax.set(xlabel=f"first direction, {name}", ylabel="second direction", aspect="equal")
    return ax


def _surface(ax: Any, ticks: NDArray, values: NDArray, name: str, log: bool) -> Axes:
    if ax is None:
        figure = require("matplotlib.pyplot").figure(layout="constrained")
        ax = figure.add_subplot(projection="3d")
    if not hasattr(ax, "plot_surface"):
        raise OptionError.about("ax", 'axes with projection="3d" for a surface', type(ax).__name__)
    a, b = np.meshgrid(ticks, ticks, indexing="ij")
    heights = np.log10(values) if log else values
    ax.plot_surface(a, b, heights, cmap="viridis", linewidth=0.1, edgecolor="white", rcount=100,
                    ccount=100)  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(require("matplotlib.ticker").MaxNLocator(4))
    if log:
        ax.zaxis.set_major_formatter(lambda v, _: f"{10**v:.2g}")
    ax.set(xlabel="first direction", ylabel="second direction", zlabel="loss", title=name)
    ax.view_init(elev=35, azim=-55)
    return ax
