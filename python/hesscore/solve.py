"""Krylov solvers over the engine's operators, SciPy's, matrices and plain functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _check, _core, errors
from .errors import DTypeError, ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SolveReport:
    """How a solver ended. Not converging is an outcome, not an exception.

    Attributes
    ----------
    status : str
        "converged", "max_iterations", "negative_curvature", "stopped" or "breakdown"; of some
        solvers also "least_squares" (no residual is smaller) or "boundary" (of a trust region).
    message : str
        The same as a sentence.
    iterations : int
        How many were done.
    residual : float
        ``||b - A x||`` as the recurrence has it.
    history : (iterations + 1,) array
        The residual norms, the first one at x0.
    """

    def __init__(
        self,
        status: str,
        message: str,
        iterations: int,
        residual: float,
        history: NDArray[np.float64],
    ) -> None:
        self.status = status
        self.message = message
        self.iterations = iterations
        self.residual = residual
        self.history = history

    @property
    def converged(self) -> bool:
        """Whether the tolerance was reached."""
        return self.status == "converged"

    def __repr__(self) -> str:
        return (
            f"SolveReport(status={self.status!r}, iterations={self.iterations}, "
            f"residual={self.residual:.3g}, message={self.message!r})"
        )


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[NDArray[Any]], Any] | None = None,
    stop: Literal["residual", "martens"] = "residual",
    shifts: Sequence[float] | None = None,
) -> tuple[NDArray[Any], Any]:
    """Solve ``A x = b`` by preconditioned conjugate gradients (Hestenes & Stiefel 1952).

    A must be symmetric positive definite; on ``p' A p <= 0`` the last iterate is returned and the
    report says so. Vectors have b's dtype, scalars are float64. With an operator of an `Objective`
    (plus or times a multiple of `hesscore.identity`) the whole loop runs in the engine, which looks
    for Ctrl-C every 50 ms, on a CUDA device every 1000 iterations. With `b` on such a device x and
    the vectors that Python sees are CuPy arrays.

    Several right-hand sides, in the rows of b, share passes of A; a row that is done stays as it
    is. Several shifts solve ``(A + shift I) x = b`` for all of them in one Krylov space, that of
    the least shift, at one product for each iteration (Frommer & Maass 1999). For both, and on a
    CUDA device for operators over many batches and callables, scalars stay on the device, which is
    looked at every 16 iterations (every one with a callback).

    Parameters
    ----------
    A : operator, matrix or callable
        An operator of hesscore, a SciPy `LinearOperator`, an (n, n) matrix or a function of v.
    b : (n,) or (K, n) array
        The right-hand side, or K of them in rows, like the vectors of `Objective.hvp`.
    x0 : like b, optional
        Where to start; zero by default. Not with shifts.
    rtol, atol : float
        It stops at ``||r|| <= max(rtol ||b||, atol)``.
    maxiter : int, optional
        At most this many iterations; 10 n by default.
    M : like A, or an (n,) array for a diagonal, optional
        Preconditioner: an approximate inverse of A.
    callback : callable, optional
        Called with a copy of x after each iteration; a true return value stops.
    stop : {"residual", "martens"}
        martens: stop also when the quadratic model gains little (Martens 2010, section 4.4); for
        one right-hand side without shifts.
    shifts : S floats, optional
        Multiples of the identity, e.g. dampings; without M. With the least of them A must still be
        positive definite.

    Returns
    -------
    x : like b, or (S, n) array
    report : SolveReport
        A list of them for rows of b, or for shifts, whose histories are that of the least one.

    Raises
    ------
    ShapeError, DTypeError, OptionError, NonFiniteError
        A bad argument; the exception names it.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> x, report = hc.cg(np.diag([1.0, 4.0]), np.array([1.0, 8.0]))
    >>> x.round(6).tolist(), report.status, report.iterations
    ([1.0, 2.0], 'converged', 2)
    """
    if stop not in ("residual", "martens"):
        raise errors.unknown("stop", stop, ("residual", "martens"))
    rtol, atol = _check.number("rtol", rtol), _check.number("atol", atol)
    limit = 0 if maxiter is None else _check.integer("maxiter", maxiter, 1)
    if callback is not None and not callable(callback):
        raise errors.OptionError.about("callback", "a callable or None", repr(callback))
    like = first_row("b", b)
    operator = engine_operator("A", A, like)
    preconditioner = None if M is None else engine_operator("M", M, like)
    several = np.ndim(b) == 2
    if stop == "martens" and (several or shifts is not None):
        raise errors.OptionError.about("stop", "'residual' for several systems", repr(stop))
    if shifts is not None:
        _refuse_with_shifts(b=None if not several else b, x0=x0, M=M)
        values = [_check.number("shifts", s) for s in shifts]
        if not values:
            raise errors.OptionError.about("shifts", "at least one number", "none")
        solved: Any = _core.cg_shifted(operator, b, values, rtol, atol, limit, callback)
    elif several:
        solved = _core.cg_rows(operator, b, x0, rtol, atol, limit, preconditioner, callback)
    else:
        martens = stop == "martens"
        solved = _core.cg(operator, b, x0, rtol, atol, limit, preconditioner, callback, martens)
        return solved[0], SolveReport(*solved[1])
    return solved[0], [SolveReport(*r) for r in solved[1]]


def _refuse_with_shifts(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            expected = "a vector" if name == "b" else "None"
            raise errors.OptionError.about(name, f"{expected} with shifts", type(value).__name__)


def first_row(name: str, b: Any) -> Any:
    """Tell the vector, or the first of those in rows, that an operator must fit."""
    ndim = np.ndim(b)
    if ndim < 2:
        return b
    if ndim != 2 or np.shape(b)[0] == 0:
        raise ShapeError.about(name, "(n,) or (K, n) with K > 0", np.shape(b))
    return b[0]


def engine_operator(name: str, A: Any, b: Any, argument: str = "b") -> Any:
    """Make the engine's operator of A, for vectors like b, which is that argument."""
    core = getattr(A, "_core", None)
    if isinstance(core, _core.Operator):
        return core
    n, shape = math.prod(np.shape(b)), getattr(A, "shape", None)
    if name == "M" and shape == (n,):
        return _core.diagonal(A)
    if shape is not None and shape != (n, n):
        raise ShapeError.about(name, f"({n}, {n}) for {argument} of length {n}", shape)
    if hasattr(A, "matvec"):
        return _core.callback_operator(A.matvec, name, b, argument)
    if callable(A):
        return _core.callback_operator(A, name, b, argument)
    if shape is not None and hasattr(A, "__matmul__"):
        return _core.callback_operator(A.__matmul__, name, b, argument)
    raise DTypeError.about(name, "an operator, a matrix or a callable", type(A).__name__)
