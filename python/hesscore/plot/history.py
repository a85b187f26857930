"""Training runs: series of numbers over steps, seconds or epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._extras import require
from ..errors import OptionError
from ._style import COLOURS, plain_log, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    ax = styled(ax)
    for k, (name, run) in enumerate(logs.items()):
        _series(ax, name, run, (by, what), COLOURS[k % len(COLOURS)])
    if log:
        plain_log(ax)
    if by != "seconds":
        ax.xaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(integer=True))
    ax.set(xlabel=AXIS.get(by, by), ylabel=what)
    ax.margins(x=0.01)
    if logs:
        ax.legend(frameon=False, labelcolor="linecolor", handlelength=1.2)
    return ax


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
