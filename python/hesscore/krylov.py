"""Solvers for indefinite, singular, rectangular and bounded problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _check, _core, errors
from .errors import DTypeError, OptionError, ShapeError
from .solve import SolveReport, engine_operator, first_row

if TYPE_CHECKING:
    from numpy.typing import NDArray


def minres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[NDArray[Any]], Any] | None = None,
) -> tuple[NDArray[Any], Any]:
    """Solve ``A x = b`` for symmetric A by MINRES (Paige & Saunders 1975).

    A may be indefinite or singular. Each iterate minimises the residual over the Krylov space. For
    a singular compatible system it finds a solution (from x0 = 0 the one of least norm); for an
    incompatible one a least-squares solution, not that of least norm, with the status
    "least_squares" once ``||A r|| <= rtol ||A|| ||r||``. All residuals are ``sqrt(r' M r)``,
    without M ``||r||``, as the recurrence has them. Vectors have b's dtype, scalars are float64 and
    stay on b's device, which is looked at every 16 iterations (every one with a callback).

    Parameters
    ----------
    A : operator, matrix or callable
        Symmetric: an operator of hesscore, a SciPy `LinearOperator`, an (n, n) matrix or a function
        of v.
    b : (n,) or (K, n) array
        The right-hand side, or K of them in rows, which share passes of A; a row that is done stays
        as it is.
    x0 : like b, optional
        Where to start; zero by default.
    rtol, atol : float
        It stops at ``||r|| <= max(rtol ||b||, atol)``.
    maxiter : int, optional
        At most this many iterations; 5 n by default.
    M : like A, or an (n,) array for a diagonal, optional
        Preconditioner: a positive definite approximate inverse of A.
    callback : callable, optional
        Called with a copy of x after each iteration; a true return value stops.

    Returns
    -------
    x : like b
    report : SolveReport
        A list of K reports if b has rows.

    Raises
    ------
    ShapeError, DTypeError, OptionError, NonFiniteError
        A bad argument; the exception names it.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> x, report = hc.minres(np.diag([1.0, -4.0]), np.array([1.0, 8.0]))
    >>> x.round(6).tolist(), report.status
    ([1.0, -2.0], 'converged')
    >>> x, report = hc.minres(np.diag([2.0, 0.0]), np.array([2.0, 1.0]))
    >>> x.round(6).tolist(), report.status, round(report.residual, 6)
    ([1.0, 0.5], 'least_squares', 1.0)
    """
    rtol, atol = _check.number("rtol", rtol), _check.number("atol", atol)
    limit = 0 if maxiter is None else _check.integer("maxiter", maxiter, 1)
    if callback is not None and not callable(callback):
        raise OptionError.about("callback", "a callable or None", repr(callback))
    like = first_row("b", b)
    operator = engine_operator("A", A, like)
    preconditioner = None if M is None else engine_operator("M", M, like)
    solved: Any = _core.minres(operator, b, x0, rtol, atol, limit, preconditioner, callback)
    x, told = solved
    reports = [SolveReport(*r) for r in told]
    return x, reports if np.ndim(b) == 2 else reports[0]


def lsmr(
    A: Any,
    b: Any,
    *,
    damp: float = 0.0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> tuple[NDArray[Any], SolveReport]:
    """Minimise ``||A x - b||^2 + damp^2 ||x||^2`` by LSMR (Fong & Saunders 2011).

    For rectangular operators such as Jacobians; of an underdetermined system it finds the solution
    of least norm. With ``damp**2 = N * damping / 2`` and A the Jacobian of residuals this is a
    Levenberg-Marquardt step without forming normal equations. Vectors have b's dtype, scalars are
    float64 and stay on b's device, which is looked at every 16 iterations.

    Parameters
    ----------
    A : operator or matrix
        Of shape (m, n) with `matvec` and `rmatvec`, such as a SciPy `LinearOperator`, or a matrix.
    b : (m,) array
        The right-hand side.
    damp : float
        The damping, not squared.
    rtol, atol : float
        It converges at ``||r|| <= max(rtol ||b||, atol)``, and ends with "least_squares" at
        ``||A'r|| <= rtol ||A||_F ||r||``, both for the damped system.
    maxiter : int, optional
        At most this many iterations, of one product with A and one with A' each; 5 max(m, n) by
        default.

    Returns
    -------
    x : (n,) array
    report : SolveReport
        `residual` and `history` are those of the damped system.

    Raises
    ------
    ShapeError, DTypeError, OptionError, NonFiniteError
        A bad argument; the exception names it.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> A = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> x, report = hc.lsmr(A, np.array([1.0, 2.0, 4.0]))
    >>> x.round(4).tolist(), report.status
    ([0.8333, 1.5], 'least_squares')
    """
    damp = _check.number("damp", damp)
    rtol, atol = _check.number("rtol", rtol), _check.number("atol", atol)
    limit = 0 if maxiter is None else _check.integer("maxiter", maxiter, 1)
    rows, shape = np.shape(b), getattr(A, "shape", None)
    if shape is None or len(shape) != 2:
        raise DTypeError.about("A", "an operator or a matrix with a shape", type(A).__name__)
    if len(rows) != 1 or rows[0] != shape[0]:
        raise ShapeError.about("b", f"({shape[0]},) like A", rows)
    core = getattr(A, "_core", None)
    if isinstance(core, _core.Map):
        solved: Any = _core.lsmr(core, b, damp, rtol, atol, limit)
        return solved[0], SolveReport(*solved[1])
    if hasattr(A, "matvec") and hasattr(A, "rmatvec"):
        apply, adjoint = A.matvec, A.rmatvec
    elif hasattr(A, "__matmul__") and hasattr(A, "T"):
        apply, adjoint = A.__matmul__, A.T.__matmul__
    else:
        raise DTypeError.about("A", "an operator with rmatvec, or a matrix", type(A).__name__)
    n = int(shape[1])
    solved = _core.lsmr_of_callables(apply, adjoint, n, b, damp, rtol, atol, limit)
    return solved[0], SolveReport(*solved[1])


class TrustRegionReport(SolveReport):
    """How `trust_region` ended.

    Attributes
    ----------
    status : str
        "converged" or "max_iterations" for GLTR; for Steihaug's method also "boundary" and
        "negative_curvature", where it stopped at the boundary.
    iterations : int
        Products, those that look for the hard case included.
    residual : float
        GLTR: ``||(A + multiplier I) s + g||``. Steihaug: ``||A s + g||`` as the recurrence has it.
    decrease : float
        Of the model, ``-(g's + s'As / 2)``.
    multiplier : float
        Of the constraint; 0 inside, and always 0 for Steihaug's method, which has none.
    on_boundary, hard_case : bool
        hard_case: the step goes along an eigenvector to which g is orthogonal.
    """

    def __init__(
        self,
        found: tuple[float, float, bool, bool],
        *report: Any,
    ) -> None:
        super().__init__(*report)
        self.decrease, self.multiplier, self.on_boundary, self.hard_case = found


def trust_region(
    A: Any,
    g: Any,
    radius: float,
    *,
    method: Literal["gltr", "steihaug"] = "gltr",
    rtol: float = 1e-6,
    maxiter: int | None = None,
    M: Any = None,
    hard_case: bool = True,
) -> tuple[NDArray[Any], TrustRegionReport]:
    """Minimise ``g's + s'As / 2`` over ``||s|| <= radius`` for symmetric A, indefinite or not.

    GLTR (Gould, Lucidi, Roma & Toint 1999) solves the problem exactly in the Krylov space of g,
    whose basis is kept and reorthogonalised: (maxiter + 1) n numbers. The Krylov space lacks
    eigenvectors orthogonal to g; with `hard_case` the leftmost eigenvalue of A is estimated
    afterwards (thick-restart Lanczos, at most about 60 products), and where the solution is not a
    global one the leftmost eigenvector joins the subspace. A zero g is then no special case: the
    step is an eigenvector of negative curvature, or zero. Steihaug's and Toint's method follows
    conjugate gradients to the boundary or to negative curvature; it is cheaper and takes any M, and
    of a zero g it makes a zero step.

    GLTR looks at its small matrix on the host, after each of the first steps and then ever more
    seldom (on CUDA devices every 8 steps at first); Steihaug's iterations stay on the device.

    Parameters
    ----------
    A : operator, matrix or callable
        Symmetric: an operator of hesscore, a SciPy `LinearOperator`, an (n, n) matrix or a function
        of v.
    g : (n,) array
        The gradient.
    radius : float
        Of the region, positive; with M in the norm ``sqrt(s' M^-1 s)``.
    method : {"gltr", "steihaug"}
    rtol : float
        It has converged at a residual of ``rtol ||g||`` (GLTR with M: in the scaled variables).
    maxiter : int, optional
        GLTR: size of the basis, at most n; 100 by default. Steihaug: iterations, 10 n by default.
    M : (n,) array for a diagonal; with "steihaug" also like A, optional
        Preconditioner: an approximate inverse of A, positive definite.
    hard_case : bool
        GLTR: whether to look for what the Krylov space of g misses.

    Returns
    -------
    step : (n,) array
    report : TrustRegionReport

    Raises
    ------
    ShapeError, DTypeError, OptionError, NonFiniteError
        A bad argument; the exception names it.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> step, report = hc.trust_region(np.diag([1.0, -2.0]), np.array([3.0, 0.0]), 2.0)
    >>> step.round(6)[0].item(), abs(step.round(6)[1].item())
    (-1.0, 1.732051)
    >>> report.hard_case, round(report.multiplier, 6), round(report.decrease, 6)
    (True, 2.0, 5.5)
    """
    if method not in ("gltr", "steihaug"):
        raise errors.unknown("method", method, ("gltr", "steihaug"))
    radius, rtol = _check.number("radius", radius), _check.number("rtol", rtol)
    if radius <= 0:
        raise OptionError.about("radius", "a number > 0", radius)
    limit = 0 if maxiter is None else _check.integer("maxiter", maxiter, 1)
    hard_case = _check.flag("hard_case", hard_case)
    operator = engine_operator("A", A, g, "g")
    preconditioner = None if M is None else engine_operator("M", M, g, "g")
    exact = method == "gltr"
    if exact and M is not None and not np.shape(M) == np.shape(g):
        raise OptionError.about("M", "an (n,) array for method 'gltr'", type(M).__name__)
    solved: Any = _core.trust_region(
        operator, g, radius, exact, rtol, limit, preconditioner, hard_case
    )
    step, found, told = solved
    return step, TrustRegionReport(found, *told)


def diagonal_preconditioner(
    d: NDArray[Any], damping: float = 0.0, power: float = 0.75
) -> NDArray[Any]:
    """Make ``(|d| + damping)^-power``, for M, of a curvature diagonal.

    Martens (2010) takes the diagonal of the empirical Fisher matrix and power 0.75; power 1 is
    Jacobi's preconditioner.

    Parameters
    ----------
    d : (n,) array
        Any diagonal of `Objective.diag`.
    damping : float
        Added to it, at least 0.
    power : float
        The exponent.

    Returns
    -------
    (n,) array

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> hc.diagonal_preconditioner(np.array([3.0, -15.0]), damping=1.0, power=0.5).tolist()
    [0.5, 0.25]
    """
    damping, power = _check.number("damping", damping), _check.number("power", power)
    if damping < 0:
        raise OptionError.about("damping", "a number >= 0", damping)
    if getattr(d, "ndim", 0) != 1:
        raise ShapeError.about("d", "a vector", np.shape(d))
    size = abs(d) + d.dtype.type(damping)
    if not bool((size > 0).all()):
        raise OptionError.about("damping", "a number > 0, because d has zeros", damping)
    return size ** d.dtype.type(-power)
