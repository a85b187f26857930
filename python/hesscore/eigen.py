"""Lanczos: tridiagonal matrices and eigenvalues of symmetric operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _check, _core, errors
from ._arrays import module_for, module_of
from .errors import DTypeError, OptionError, ShapeError
from .solve import SolveReport, engine_operator

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LanczosResult:
    """What `lanczos` found: ``A V = V T + beta[-1] v e'`` with T tridiagonal.

    With one starting vector m is the number of steps done, fewer than k where an invariant subspace
    was found. With K of them every run has k rows, of which the first ``lengths[i]`` count; the
    others are zero.

    Attributes
    ----------
    alpha : (m,) or (K, k) float64 array
        The diagonal of T.
    beta : (m,) or (K, k) float64 array
        ``beta[:-1]`` is the off-diagonal of T, ``beta[-1]`` the norm of the residual.
    basis : (m + 1, n) or (K, k + 1, n) array, or None
        The orthonormal rows are V' and, last, the vector that goes with ``beta[-1]`` (zeros if
        that is 0).
    lengths : (K,) array
        The rows of T that count, for each run.
    report : SolveReport
        `history` is beta of the first run; the status is "breakdown" if a product was not finite.
    """

    def __init__(
        self,
        alpha: NDArray[np.float64],
        beta: NDArray[np.float64],
        basis: Any,
        lengths: NDArray[np.int64],
        report: SolveReport,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.basis = basis
        self.lengths = lengths
        self.report = report

    def ritz(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute the eigenvalues of T and the weights that go with them.

        Returns
        -------
        values : (m,) or (K, k) array
            In ascending order; NaN beyond the length of a run.
        weights : like values
            Squares of the first components of the eigenvectors, which add up to 1: the nodes and
            weights of Gauss quadrature for ``f -> v0' f(A) v0 / v0'v0`` (Golub & Meurant 2010);
            zero beyond the length of a run.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> result = hc.lanczos(np.diag([1.0, 2.0, 4.0]), 3, v0=np.ones(3))
        >>> values, weights = result.ritz()
        >>> values.round(6).tolist(), weights.round(6).tolist()
        ([1.0, 2.0, 4.0], [0.333333, 0.333333, 0.333333])
        """
        alpha, beta = np.atleast_2d(self.alpha), np.atleast_2d(self.beta)
        values, weights = np.full_like(alpha, np.nan), np.zeros_like(alpha)
        for k, m in enumerate(self.lengths):
            T = np.diag(alpha[k, :m]) + np.diag(beta[k, : m - 1], 1)
            values[k, :m], vectors = np.linalg.eigh(T + np.triu(T, 1).T)
            weights[k, :m] = vectors[0] ** 2
        return values.reshape(self.alpha.shape), weights.reshape(self.alpha.shape)


def lanczos(
    A: Any,
    k: int,
    *,
    v0: Any = None,
    seed: int = 0,
    reorthogonalise: bool = True,
    return_basis: bool = True,
) -> LanczosResult:
    """Run k steps of the Lanczos process (Lanczos 1950; Paige 1972) on a symmetric operator.

    Several starting vectors are independent runs that share the passes of the operator: one pass of
    K vectors for each step. Nothing is asked of a CUDA device within a step. With
    reorthogonalisation the rows of the basis are orthonormal to rounding (classical Gram-Schmidt,
    twice where once is not enough) and no eigenvalue of T appears twice; it costs 2 k n operations
    a step and keeps the basis, K (k + 1) n numbers. Without, the extreme eigenvalues of T converge
    as well, with copies. Vectors have the operator's dtype, T and inner products are float64.

    Parameters
    ----------
    A : operator, matrix or callable
        An operator of hesscore, a SciPy `LinearOperator`, an (n, n) matrix or a function of v.
    k : int
        Steps, at most n.
    v0 : (n,) or (K, n) array, optional
        Where the runs start; a Gaussian vector by default.
    seed : int
        Of that vector.
    reorthogonalise : bool
        Fully, or not at all.
    return_basis : bool
        Whether the result has the basis.

    Returns
    -------
    LanczosResult

    Raises
    ------
    ShapeError, DTypeError, OptionError, NonFiniteError
        A bad argument; the exception names it.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> result = hc.lanczos(np.diag([1.0, 2.0, 3.0, 9.0]), 4, v0=np.ones(4))
    >>> result.ritz()[0].round(6).tolist()
    [1.0, 2.0, 3.0, 9.0]
    >>> hc.lanczos(np.diag([1.0, 1.0, 5.0]), 3, v0=np.ones(3)).report.message
    'An invariant subspace of dimension 2 was found.'
    """
    k = _check.integer("k", k, 1)
    reorthogonalise = _check.flag("reorthogonalise", reorthogonalise)
    keep = _check.flag("return_basis", return_basis)
    operator, start = operator_and_start(A, v0, seed)
    if k > operator.size:
        raise OptionError.about("k", f"an integer <= {operator.size}, the size of A", k)
    found: Any = _core.lanczos(operator, start, k, reorthogonalise, keep)
    alpha, beta, counts, basis, report = found
    lengths = np.array(counts, np.int64)
    if np.ndim(start) == 1:
        m = counts[0]
        alpha, beta = alpha[0, :m], beta[0, :m]
        basis = basis if basis is None else basis[0, : m + 1]
    return LanczosResult(alpha, beta, basis, lengths, SolveReport(*report))


class EigshReport(SolveReport):
    """How `eigsh` ended.

    Attributes
    ----------
    iterations : int
        Products, without the one for each pair that the residuals take.
    residual : float
        The largest of `residuals`.
    residuals : (k,) array
        ``||A x - value x||`` of each pair.
    history : (restarts + 1,) array
        The largest residual among the wanted pairs each time the basis was full, as the recurrence
        has it.
    """

    def __init__(self, residuals: NDArray[np.float64], *report: Any) -> None:
        super().__init__(*report)
        self.residuals = residuals


def eigsh(
    A: Any,
    k: int = 6,
    which: Literal["LA", "SA", "LM", "BE"] = "LA",
    *,
    v0: Any = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    ncv: int | None = None,
    seed: int = 0,
    return_eigenvectors: bool = True,
) -> Any:
    """Find k eigenvalues at the ends of the spectrum by thick-restart Lanczos (Wu & Simon 2000).

    The restarted Lanczos process is equivalent to ARPACK's implicitly restarted one. Multiple
    eigenvalues are found as often as they are there once the basis has met an invariant subspace;
    before that, as with every Krylov method, rounding decides when copies appear. Not converging is
    an outcome, told in the report. Memory: about ``ncv + 2 k`` vectors.

    Parameters
    ----------
    A : operator, matrix or callable
        Symmetric: an operator of hesscore, a SciPy `LinearOperator`, an (n, n) matrix or a function
        of v.
    k : int
        How many, at most n.
    which : {"LA", "SA", "LM", "BE"}
        Algebraically largest or smallest, largest in magnitude, or from both ends, one more from
        the high end if k is odd.
    v0 : (n,) array, optional
        Where to start; a Gaussian vector by default.
    tol : float
        Residual norms asked for, relative to ``||A||_2``; 0: 4 units of rounding.
    maxiter : int, optional
        At most this many times the basis is filled; 1000 by default.
    ncv : int, optional
        Vectors of the basis, more than k (n is enough); ``max(2 k + 1, 20)`` by default.
    seed : int
        Of the start, and of vectors that go on from invariant subspaces.
    return_eigenvectors : bool
        Whether the result has the vectors.

    Returns
    -------
    values : (k,) array
        In ascending order, with A's dtype.
    vectors : (n, k) array
        The eigenvector ``vectors[:, i]`` has norm 1 and goes with ``values[i]``; only if asked for.
    report : EigshReport
        A product that is not finite leaves no pairs and the status "breakdown".

    Raises
    ------
    ShapeError, DTypeError, OptionError, NonFiniteError
        A bad argument; the exception names it.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> values, vectors, report = hc.eigsh(np.diag(np.arange(100.0)), k=2)
    >>> values.round(6).tolist(), vectors.shape, report.status
    ([98.0, 99.0], (100, 2), 'converged')
    """
    if which not in ("LA", "SA", "LM", "BE"):
        raise errors.unknown("which", which, ("LA", "SA", "LM", "BE"))
    k, seed = _check.integer("k", k, 1), _check.integer("seed", seed, 0)
    tol = _check.number("tol", tol)
    limit = 0 if maxiter is None else _check.integer("maxiter", maxiter, 1)
    width = 0 if ncv is None else _check.integer("ncv", ncv, 1)
    operator, start = operator_and_start(A, v0, seed, rows=False)
    n = operator.size
    if k > n:
        raise OptionError.about("k", f"an integer <= {n}, the size of A", k)
    if width and not min(k + 1, n) <= width <= n:
        raise OptionError.about("ncv", f"an integer in {min(k + 1, n)} .. {n}", width)
    found: Any = _core.eigsh(operator, start, k, which, tol, limit, width, seed)
    values, residuals, vectors, told = found
    values, report = values.astype(operator.dtype), EigshReport(residuals, *told)
    return (values, vectors.T, report) if return_eigenvectors else (values, report)


def operator_and_start(A: Any, v0: Any, seed: int, rows: bool = True) -> tuple[Any, Any]:
    """Make the engine's operator of A, and a Gaussian start where there is none."""
    if v0 is None:
        v0 = _gaussian(A, _check.integer("seed", seed, 0))
    ndim = np.ndim(v0)
    if ndim not in ((1, 2) if rows else (1,)):
        raise ShapeError.about("v0", "(n,) or (K, n)" if rows else "(n,)", np.shape(v0))
    if ndim == 2 and len(v0) == 0:
        raise ShapeError.about("v0", "(K, n) with K > 0", np.shape(v0))
    return engine_operator("A", A, v0 if ndim == 1 else v0[0], "v0"), v0


def _gaussian(A: Any, seed: int) -> Any:
    core: Any = getattr(A, "_core", None)
    shape = getattr(A, "shape", None)
    if shape is None or len(shape) != 2:
        raise DTypeError.about("v0", "a vector, because A has no shape", None)
    if shape[0] != shape[1]:
        raise ShapeError.about("A", "(n, n)", shape)
    xp = module_for(core.device) if isinstance(core, _core.Operator) else module_of(A)
    dtype = np.dtype(getattr(A, "dtype", None) or np.float64)
    if dtype.kind in "iub":
        dtype = np.dtype(np.float64)
    return xp.asarray(np.random.default_rng(seed).standard_normal(shape[0]).astype(dtype))
