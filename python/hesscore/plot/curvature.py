"""Diagonal curvatures, tensor by tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..errors import OptionError
from ._style import COLOURS, INK, styled, to_host

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curvature(
    f: Any, diag: Any, ax: Axes | None = None, style: Literal["ridges", "bars"] = "ridges"
) -> Axes:
    """Plot how a diagonal curvature is distributed in each parameter tensor.

    One row for each tensor, from the input down.

    Parameters
    ----------
    f : Objective
        Gives the layout.
    diag : array_like, (P,)
        Curvatures, e.g. ``f.diag(w, x, y, kind="hesscale")``; CuPy arrays are copied to the host.
    ax : Axes, optional
        Where to draw; new axes by default.
    style : {"ridges", "bars"}
        ridges: the density of the absolute values on a logarithmic axis, their median, and how many
        are negative or negligible, which is below 1e-8 of the largest. bars: the sum of each
        tensor, its share of the trace, filled where it is positive.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        When `diag` does not have one finite entry for each parameter, or for an unknown style.
    MissingExtraError
        When Matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.models.mlp(3, 4, 2), hc.MSELoss())
    >>> d = f.diag(f.init(), np.ones((5, 3), "float32"), np.zeros((5, 2), "float32"))
    >>> ax = hc.plot.curvature(f, d, style="bars")
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    if style not in ("ridges", "bars"):
        raise errors.unknown("style", style, ("ridges", "bars"))
    flat = to_host(diag)
    if flat.shape != (f.num_params,):
        raise OptionError.about("diag", f"({f.num_params},)", flat.shape)
    if not np.isfinite(flat).all():
        raise OptionError.about("diag", "finite numbers", flat[~np.isfinite(flat)][0])
    ax = styled(ax)
    names = list(f.layout)
    values = [flat[o : o + int(np.prod(s))] for o, s in f.layout.values()]
    (_ridges if style == "ridges" else _bars)(ax, flat, values)
    ax.set_ylim(len(names) - 0.5, -1.0 if style == "ridges" else -0.6)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    return ax


def _ridges(ax: Axes, flat: NDArray, values: list[NDArray]) -> None:
    largest = float(np.max(np.abs(flat), initial=0)) or 1.0
    edges = np.geomspace(1e-8 * largest, 3 * largest, 81)
    for row, part in enumerate(values):
        _ridge(ax, row, part, edges, COLOURS[row // 2 % len(COLOURS)])
    ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel("absolute value of the diagonal curvature")


def _bars(ax: Axes, flat: NDArray, values: list[NDArray]) -> None:
    sums = np.array([part.sum() for part in values])
    total = np.abs(flat).sum() or 1.0
    for row, number in enumerate(sums):
        colour = COLOURS[row // 2 % len(COLOURS)]
        ax.barh(row, number, 0.7, color=colour if number >= 0 else "none", edgecolor=colour)
        ax.annotate(
            f"{number:.3g} ({number / total:.0%})" if number else "0", (max(number, 0), row),
            (4, 0), textcoords="offset points", va="center", color=INK, fontsize="small",
        )  # fmt: skip
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.margins(x=0.2)
    ax.set_xlabel("sum of the diagonal curvature")


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
