"""Spectra: densities with their standard errors, or single eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._extras import require
from ..errors import OptionError
from ..estimators import SpectralDensity, spectral_density
from ._style import COLOURS, INK, styled, to_host

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def spectrum(
    spectrum: Any,
    ax: Axes | None = None,
    *,
    width: float | None = None,
    log: bool = True,
    label: str | None = None,
    n: int | None = None,
) -> Axes:
    """Plot the spectrum of a symmetric operator.

    A density is drawn with a band of one standard error; the logarithmic axis ends below what one
    eigenvalue makes, and ticks above the axis mark the ends of the spectrum. Eigenvalues are drawn
    in descending order, on an axis that is logarithmic on both sides of zero.

    Parameters
    ----------
    spectrum : SpectralDensity, operator, or array (k,)
        What `spectral_density` returns; an operator, for which it is called with its defaults; or
        eigenvalues, as `eigsh` returns them.
    ax : Axes, optional
        Where to draw, also on top of another spectrum; new axes by default.
    width : float, optional
        Of the Gaussian that smooths a density; see `SpectralDensity.density`.
    log : bool
        Give the density, or the eigenvalues, a logarithmic axis.
    label : str, optional
        Name in a legend.
    n : int, optional
        The size of an operator that is a callable.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        Eigenvalues that are not finite numbers, or none.
    MissingExtraError
        When Matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> ax = hc.plot.spectrum(hc.spectral_density(np.diag(np.arange(50.0)), steps=20))
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()
    ('eigenvalue', 'density', 'log')
    >>> ax = hc.plot.spectrum(np.array([3.0, -1.0, 10.0]))
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()
    ('rank', 'eigenvalue', 'symlog')
    """
    if not isinstance(spectrum, SpectralDensity) and getattr(spectrum, "ndim", 2) == 1:
        return _eigenvalues(styled(ax), to_host(spectrum), log, label)
    if not isinstance(spectrum, SpectralDensity):
        spectrum = spectral_density(spectrum, n=n)
    ax = styled(ax)
    before = _drawn(ax)
    colour = COLOURS[before % len(COLOURS)]
    wide = spectrum.default_width if width is None else width
    x, density, error = spectrum.density(2001, wide)
    floor = 0.3 / (spectrum.n * wide * np.sqrt(2 * np.pi)) if log else 0.0
    if np.isfinite(error).all():
        low, high = np.maximum(density - error, floor), np.maximum(density + error, floor)
        ax.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
    shown = np.where(density >= floor, density, np.nan)
    ax.plot(x, shown, color=colour, linewidth=1.5, label=label)
    if log:
        ax.set_yscale("log")
        ax.set_ylim(bottom=min(floor, ax.get_ylim()[0]) if before else floor)
    _mark_ends(ax, spectrum.extent, colour, 5 + 11 * before)
    ax.set(xlabel="eigenvalue", ylabel="density")
    return _with_legend(ax, label)


def _drawn(ax: Axes) -> int:
    """Tell how many spectra are there already."""
    return sum(line.get_gid() is None for line in ax.lines)


def _mark_ends(ax: Axes, extent: tuple[float, float], colour: str, height: float) -> None:
    """Ticks at the top of the axes, with their numbers so many points above."""
    over = ax.get_xaxis_transform()
    least = 1e-4 * (extent[1] - extent[0])
    for value, side in dict(zip(extent, ("right", "left"), strict=True)).items():
        ax.annotate(
            f"{value:.3g}" if abs(value) >= least else "0", (value, 1), (0, height), xycoords=over,
            textcoords="offset points", ha=side, va="bottom", color=colour, fontsize="small",
            annotation_clip=False,
        )  # fmt: skip
        ax.plot([value, value], [1, 1.012], transform=over, color=colour, clip_on=False,
                linewidth=1.2, gid="end")  # fmt: skip


def _eigenvalues(ax: Axes, values: Any, log: bool, label: str | None) -> Axes:
    if not len(values) or not np.isfinite(values).all():
        raise OptionError.about("spectrum", "finite eigenvalues", values)
    values = np.sort(values)[::-1]
    rank = np.arange(1, len(values) + 1)
    colour = COLOURS[_drawn(ax) % len(COLOURS)]
    marker = "o" if len(values) <= 100 else ""
    ax.plot(rank, values, color=colour, marker=marker, markersize=4, linewidth=1.2, label=label)
    if log:
        largest = np.abs(values).max() or 1.0
        least = np.abs(values[np.abs(values) > 1e-6 * largest]).min(initial=largest)
        if values[-1] > 0:
            ax.set_yscale("log")
        else:
            ax.set_yscale("symlog", linthresh=10.0 ** np.floor(np.log10(least)))
            ax.axhline(0, color=INK, linewidth=0.8, gid="zero")
    ax.xaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(integer=True))
    ax.set(xlabel="rank", ylabel="eigenvalue")
    return _with_legend(ax, label)


def _with_legend(ax: Axes, label: str | None) -> Axes:
    if label is not None:
        ax.legend(frameon=False, labelcolor="linecolor", handlelength=1.2)
    return ax
