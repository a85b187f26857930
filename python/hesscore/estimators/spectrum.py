"""Spectral densities and traces of functions of a matrix, by stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check, errors
from ..errors import NonFiniteError
from ._estimate import Estimate, mean_of
from ._products import Products

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Elements of the Krylov bases that are kept at a time; probes beyond them wait.
_BASIS_ELEMENTS = 1 << 27


class SpectralDensity:
    """The spectrum of a symmetric operator as some random vectors see it.

    Probe i gives a quadrature rule: ``sum_j weights[i, j] f(nodes[i, j])`` estimates
    ``tr f(A) / n`` for every function f.

    Attributes
    ----------
    nodes : (samples, steps) array
        In ascending order, NaN where a run ended early because it had found all there is.
    weights : (samples, steps) array
        Not negative, adding up to 1 for each probe; 0 beside NaN.
    n : int
        Size of the operator.
    products : int
        Products with vectors made.
    """

    def __init__(
        self, nodes: NDArray[np.float64], weights: NDArray[np.float64], n: int, products: int
    ) -> None:
        self.nodes = nodes
        self.weights = weights
        self.n = n
        self.products = products

    @property
    def samples(self) -> int:
        """Number of probes."""
        return len(self.nodes)

    @property
    def extent(self) -> tuple[float, float]:
        """Smallest and largest node: within the spectrum, and close to its ends."""
        return float(np.nanmin(self.nodes)), float(np.nanmax(self.nodes))

    @property
    def default_width(self) -> float:
        """The extent over the number of steps, about the distance of the nodes."""
        low, high = self.extent
        return (high - low) / self.nodes.shape[1] or max(abs(high), 1.0) * 1e-3

    def density(
        self, points: ArrayLike | int = 1001, width: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Smooth the spectrum with a Gaussian.

        Parameters
        ----------
        points : int or array
            Where, or at how many points from six widths below the spectrum to six above.
        width : float, optional
            Standard deviation of the Gaussian; `default_width` by default. Narrower ones show
            single nodes.

        Returns
        -------
        points, density, standard_error : arrays
            The density integrates to 1. The error is that of the mean over probes, NaN for one; it
            knows nothing of what a narrow `width` makes of too few steps.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> s = hc.spectral_density(np.diag(np.linspace(0, 1, 200)), samples=4, steps=40)
        >>> x, density, error = s.density()
        >>> round(float(np.sum(density) * (x[1] - x[0])), 6)
        1.0
        >>> bool(np.all(np.abs(density[300:700] - 1) < 0.2))
        True
        """
        width = _check.number("width", self.default_width if width is None else width)
        if width <= 0:
            raise errors.OptionError.about("width", "a positive number", width)
        if np.ndim(points) == 0:
            count = _check.integer("points", points, 2, bits=31)
            low, high = self.extent
            points = np.linspace(low - 6 * width, high + 6 * width, count)
        x = np.asarray(points, dtype=np.float64)
        nodes = np.where(self.weights > 0, self.nodes, 0.0)
        each = np.zeros((self.samples, x.size))
        for row, theta, weight in zip(each, nodes, self.weights, strict=True):
            for t, c in zip(theta[weight > 0], weight[weight > 0], strict=True):
                row += c * np.exp(-0.5 * ((x.ravel() - t) / width) ** 2)
        each /= width * np.sqrt(2 * np.pi)
        error = each.std(axis=0, ddof=1) / np.sqrt(self.samples) if self.samples > 1 else np.nan
        return x, each.mean(axis=0).reshape(x.shape), np.broadcast_to(error, x.shape).copy()

    def trace(self, function: Callable[[NDArray[np.float64]], ArrayLike]) -> Estimate:
        """Estimate the trace of a function of the operator, ``n`` times the quadrature.

        Parameters
        ----------
        function : callable
            From an array of eigenvalues to an array.

        Returns
        -------
        Estimate
            The standard error is that of the mean over probes. The quadrature is exact for
            polynomials of degree below twice the number of steps.

        Raises
        ------
        NonFiniteError
            The function is not finite on the spectrum.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> s = hc.spectral_density(np.diag([1.0, 2.0, 4.0]), steps=3)
        >>> s.trace(np.log), round(float(np.log(8)), 5)
        (Estimate(2.07944 +- 0, lanczos quadrature: samples=8, products=24), 2.07944)
        """
        counts = self.weights > 0
        values = np.asarray(function(np.where(counts, self.nodes, self.extent[1])), np.float64)
        sums = np.where(counts, self.weights * np.where(counts, values, 0.0), 0.0).sum(axis=1)
        if not np.isfinite(sums).all():
            bad = self.nodes[counts & ~np.isfinite(values)]
            at = f"{float(values[counts & ~np.isfinite(values)][0])} at {float(bad[0]):.6g}"
            raise NonFiniteError.about("function", "finite values on the spectrum", at)
        mean, error = mean_of(self.n * sums)
        return Estimate(mean, error, self.samples, self.products, "lanczos quadrature")

    def moment(self, order: int) -> Estimate:
        """Estimate ``tr(A^order) / n``, the moment of the spectrum."""
        order = _check.integer("order", order, 0, bits=31)
        total = self.trace(lambda t: t**order)
        return Estimate(
            total.value / self.n, total.standard_error / self.n, self.samples, self.products,
            total.method,
        )  # fmt: skip

    def log_determinant(self, shift: float = 0.0) -> Estimate:
        """Estimate ``log det(A + shift I)``, for a positive definite sum."""
        shift = _check.number("shift", shift)
        if self.extent[0] + shift <= 0:
            least = f"eigenvalues down to {self.extent[0]:.6g}"
            raise errors.OptionError.about("shift", "one that makes A positive definite", least)
        return self.trace(lambda t: np.log(t + shift))

    def __repr__(self) -> str:
        low, high = self.extent
        return (
            f"SpectralDensity(n={self.n}, samples={self.samples}, steps={self.nodes.shape[1]}, "
            f"extent=({low:.4g}, {high:.4g}))"
        )


def spectral_density(
    A: Any, samples: int = 8, steps: int = 64, seed: int = 0, *, n: int | None = None
) -> SpectralDensity:
    """Estimate the spectral density of a symmetric operator by stochastic Lanczos quadrature.

    For each of `samples` Rademacher vectors, `steps` steps of the Lanczos process with full
    reorthogonalisation. The nodes are the eigenvalues of the tridiagonal matrix, their weights the
    squares of the *first* components of its eigenvectors (Golub & Welsch 1969; Ubaru, Chen & Saad
    2017; Ghorbani, Krishnan & Xiao 2019). Their expectation has the moments of the spectrum up to
    order ``2 steps - 1``. The outer nodes converge to the extreme eigenvalues.

    The vectors go through the operator together, in one pass for each step. Of one layer:
    ``hc.spectral_density(A.block("0.weight"))``.

    Parameters
    ----------
    A : operator, matrix or callable
        Symmetric; otherwise as in `trace`.
    samples : int
        Probes; errors fall with their root.
    steps : int
        Of the Lanczos process, at most n.
    seed : int
        Of the probes.
    n : int, optional
        The size, for a callable.

    Returns
    -------
    SpectralDensity
        Nodes and weights; `density` smooths them, `trace` integrates functions.

    Raises
    ------
    ShapeError, DTypeError, OptionError
        A bad argument; the exception names it.
    NonFiniteError
        Products were not finite.

    Notes
    -----
    ``samples * steps`` products. Bases of at most 2^27 numbers, but at least one of `steps`
    vectors, are kept at a time.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.models.mlp(4, 8, 3), hc.CrossEntropyLoss())
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(50, 4)), rng.integers(0, 3, size=50)
    >>> H = f.hessian(f.init(dtype="float64"), x, y)
    >>> s = hc.spectral_density(H, samples=4, steps=20)
    >>> top = hc.eigsh(H, k=1, which="LA")[0][0]
    >>> bool(abs(s.extent[1] - top) < 1e-6 * top)
    True
    """
    from .. import lanczos

    samples = _check.samples(samples)
    products = Products(A, n)
    steps = min(_check.integer("steps", steps, 1, bits=31), products.n)
    probes, found = products.probes(seed), []
    block = max(1, min(samples, _BASIS_ELEMENTS // (steps * products.n)))
    with products.on_device():
        for first in range(0, samples, block):
            rows = probes.rows(first, min(block, samples - first))
            runs = lanczos(A, steps, v0=rows, return_basis=False)
            if runs.report.status == "breakdown":
                raise NonFiniteError.about("A", "finite products", runs.report.message)
            found.append((*runs.ritz(), runs.lengths))
    nodes, weights, lengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return SpectralDensity(nodes, weights, products.n, int(np.sum(lengths)))
