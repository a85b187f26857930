"""Krylov solvers over the engine's operators, SciPy's, matrices and plain functions."""

from __future__ import annotations

import math
from collections.abc import Callable
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
        "converged", "max_iterations", "negative_curvature", "stopped" or "breakdown".
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
) -> tuple[NDArray[Any], SolveReport]:
    """Solve ``A x = b`` by preconditioned conjugate gradients (Hestenes & Stiefel 1952).

    A must be symmetric positive definite; on ``p' A p <= 0`` the last iterate is returned and the
    report says so. Vectors have b's dtype, scalars are float64. With an operator of an `Objective`
    (plus or times a multiple of `hesscore.identity`) the whole loop runs in the engine, which looks
    for Ctrl-C every 50 ms, on a CUDA device every 1000 iterations. With `b` on such a device x and
    the vectors that Python sees are CuPy arrays.

    Parameters
    ----------
    A : operator, matrix or callable
        An operator of hesscore, a SciPy `LinearOperator`, an (n, n) matrix or a function of v.
    b : (n,) array
        The right-hand side.
    x0 : (n,) array, optional
        Where to start; zero by default.
    rtol, atol : float
        It stops at ``||r|| <= max(rtol ||b||, atol)``.
    maxiter : int, optional
        At most this many iterations; 10 n by default.
    M : like A, or an (n,) array for a diagonal, optional
        Preconditioner: an approximate inverse of A.
    callback : callable, optional
        Called with a copy of x after each iteration; a true return value stops.
    stop : {"residual", "martens"}
        martens: stop also when the quadratic model gains little (Martens 2010, section 4.4).

    Returns
    -------
    x : (n,) array
    report : SolveReport

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
    operator = _engine_operator("A", A, b)
    preconditioner = None if M is None else _engine_operator("M", M, b)
    x, *report = _core.cg(
        operator, b, x0, rtol, atol, limit, preconditioner, callback, stop == "martens"
    )
    return x, SolveReport(*report)


def _engine_operator(name: str, A: Any, b: Any) -> Any:
    core = getattr(A, "_core", None)
    if isinstance(core, _core.Operator):
        return core
    n, shape = math.prod(np.shape(b)), getattr(A, "shape", None)
    if name == "M" and shape == (n,):
        return _core.diagonal(A)
    if shape is not None and shape != (n, n):
        raise ShapeError.about(name, f"({n}, {n}) for b of length {n}", shape)
    if hasattr(A, "matvec"):
        return _core.callback_operator(A.matvec, name, b)
    if callable(A):
        return _core.callback_operator(A, name, b)
    if shape is not None and hasattr(A, "__matmul__"):
        return _core.callback_operator(A.__matmul__, name, b)
    raise DTypeError.about(name, "an operator, a matrix or a callable", type(A).__name__)
