"""What an operator of the engine does, for a `LinearOperator` of SciPy or of CuPy."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _check, _core, errors
from .._arrays import module_for
from .._progress import Count
from ..errors import DTypeError, ShapeError
from ..estimators import Estimate, trace
from .blocks import Layout, Names, ranges_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 64  # unit vectors that share a pass

_Base: Any = object  # the methods' super() is the LinearOperator of a subclass


class EngineProducts(_Base):
    """Products, sums, blocks and inverses of an operator that lives in the engine.

    Solvers use it there, without Python. So they do what is made of such operators by ``A + B``,
    ``A - B``, ``c * A``, ``A @ B``, ``A + c * hesscore.identity(n)``, ``A.T``, `block` and
    `inverse`; composed with anything else they are SciPy's. ``A.T @ A`` is known to be symmetric.
    """

    _core: Any
    _layouts: tuple[Layout | None, Layout | None] = (None, None)  # names of rows and of columns

    # ---- products ----

    def matvec(self, x: Any) -> NDArray[Any]:
        """Apply to a vector (n,) or a column (n, 1)."""
        return _to_vector(self._core.apply, self.shape[1], x)

    def rmatvec(self, x: Any) -> NDArray[Any]:
        """Apply the transpose to a vector (m,) or a column (m, 1)."""
        return _to_vector(self._core.apply_adjoint, self.shape[0], x)

    def matmat(self, X: Any) -> NDArray[Any]:
        """Apply to the columns of an (n, K) matrix, in one pass."""
        return _to_columns(self._core.apply, self.shape[1], X)

    def rmatmat(self, X: Any) -> NDArray[Any]:
        """Apply the transpose to the columns of an (m, K) matrix, in one pass."""
        return _to_columns(self._core.apply_adjoint, self.shape[0], X)

    _matvec, _matmat, _rmatvec, _rmatmat = matvec, matmat, rmatvec, rmatmat

    # ---- algebra ----

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, EngineProducts):
            product = _core.product(self._core, other._core)
            return _engine(product, (self._layouts[0], other._layouts[1]))
        if _is_identity(other) and other.shape[0] == self.shape[1]:
            return self * other.factor
        ndim = getattr(other, "ndim", 0)
        if ndim not in (1, 2) or hasattr(other, "matvec"):
            if np.ndim(other) == 0 and not hasattr(other, "matvec"):
                raise DTypeError.about("V", "an array or an operator", type(other).__name__)
            return super().dot(other)
        return self.matvec(other) if ndim == 1 else self.matmat(other)

    def dot(self, x: Any) -> Any:
        """Multiply by a number, a vector, the columns of a matrix or an operator."""
        return self * x

    def __add__(self, other: Any) -> Any:
        result = self._plus(other, 1.0)
        return super().__add__(other) if result is None else result

    def __sub__(self, other: Any) -> Any:
        result = self._plus(other, -1.0)
        return super().__sub__(other) if result is None else result

    def _plus(self, other: Any, sign: float) -> Any:
        if isinstance(other, EngineProducts):
            both = _core.combined(self._core, 1.0, other._core, sign)
            return _engine(both, self._layouts if other._layouts == self._layouts else None)
        if _is_identity(other):
            if other.shape != self.shape:
                raise ShapeError.about("operators", str(self.shape), other.shape)
            return _engine(_core.shifted(self._core, sign * other.factor, 1.0), self._layouts)
        return None

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Real):
            return _engine(_core.shifted(self._core, 0.0, float(other)), self._layouts)
        if isinstance(other, (str, bytes)):
            return NotImplemented
        return super().dot(other) if np.isscalar(other) else self @ other

    def __rmul__(self, other: Any) -> Any:
        if isinstance(other, (Real, str, bytes)):
            return self.__mul__(other)
        return super().__rmul__(other)

    def __neg__(self) -> Any:
        return self * -1.0

    @property
    def is_symmetric(self) -> bool:
        """Whether it is known to be symmetric, as solvers of symmetric systems need."""
        return isinstance(self._core, _core.Operator)

    def _transpose(self) -> Any:
        if self.is_symmetric:
            return self
        return _engine(_core.transposed(self._core), self._layouts[::-1])

    _adjoint = _transpose
    T = H = property(_transpose)

    # ---- parts ----

    def block(self, rows: Names, cols: Names | None = None) -> Any:
        """Restrict the operator to rows and columns: the block of some parameters or layers.

        A product is one with the whole operator, of a vector that is zero elsewhere; nothing is
        formed. `dense` of a block takes as many products as it has columns, or rows where those are
        fewer.

        Parameters
        ----------
        rows : str, slice, int array or list of them
            Names of parameters ("0.weight") or of layers, which are all parameters whose names
            begin so ("0"), as in `Objective.layout`; slices of step 1; or indices. A list puts them
            one after another in its order. None: all.
        cols : like rows, optional
            By default `rows`; then the block of a symmetric operator is symmetric. All columns of
            an operator that is not square.

        Returns
        -------
        EngineOperator
            (number of rows, number of columns)

        Raises
        ------
        OptionError
            An unknown name.
        ShapeError
            Indices out of range, or some that are named twice.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> H = f.hessian(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> H.block("0.weight", "0.bias").dense().tolist()
        [[6.0]]
        """
        if cols is None and self.shape[0] == self.shape[1]:
            cols = rows
        m, n = self.shape
        parts = (
            ranges_of("rows", rows, m, self._layouts[0]),
            ranges_of("cols", cols, n, self._layouts[1]),
        )
        return _engine(_core.block(self._core, *parts))

    def inverse(
        self,
        damping: float = 0.0,
        method: Literal["cg", "minres"] = "cg",
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        M: Any = None,
    ) -> Any:
        """Make ``(A + damping I)^-1``, each of whose products is a solve; `matmat` solves together.

        To get a solution that is cut off early, or to see the report of one that worked, use
        `hesscore.cg` or `hesscore.minres`.

        Parameters
        ----------
        damping : float
            Added to the diagonal.
        method : {"cg", "minres"}
            Conjugate gradients, for a positive definite ``A + damping I``, or MINRES, which need
            not be definite.
        rtol, atol : float
            A solve stops at ``||r|| <= max(rtol ||b||, atol)``.
        maxiter : int, optional
            At most this many iterations; by default a multiple of n.
        M : operator, (n,) array for a diagonal, or callable, optional
            Preconditioner: an approximate inverse of ``A + damping I``.

        Returns
        -------
        EngineOperator
            (n, n). A product that does not converge raises `ConvergenceError`, whose `report` says
            why.

        Raises
        ------
        ShapeError, DTypeError, OptionError
            A bad argument; the exception names it.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> G = f.ggn(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> (G.inverse(damping=0.5) @ np.array([24.5, 8.5])).round(6).tolist()
        [1.0, 1.0]
        """
        if not self.is_symmetric:
            raise DTypeError.about("A", "a symmetric operator", f"one of shape {self.shape}")
        if method not in ("cg", "minres"):
            raise errors.unknown("method", method, ("cg", "minres"))
        damping = _check.number("damping", damping)
        rtol, atol = _check.not_negative("rtol", rtol), _check.not_negative("atol", atol)
        limit = 0 if maxiter is None else _check.integer("maxiter", maxiter, 1)
        core = _core.shifted(self._core, damping, 1.0) if damping else self._core
        solve = _core.inverse(core, method == "minres", rtol, atol, limit, self._preconditioner(M))
        return _engine(solve, self._layouts)

    def _preconditioner(self, M: Any) -> Any:
        n, core = self.shape[0], getattr(M, "_core", None)
        if M is None or isinstance(core, _core.Operator):
            return core
        shape = getattr(M, "shape", None)
        if shape == (n,):
            return _core.diagonal(M)
        if shape is not None and shape != self.shape:
            raise ShapeError.about("M", f"{self.shape} like A", shape)
        apply = getattr(M, "matvec", M)
        if not callable(apply):
            raise DTypeError.about("M", "an operator, a diagonal or a callable", type(M).__name__)
        return _core.callback_operator(apply, "M", self._module.zeros(n, self.dtype))

    # ---- numbers ----

    def dense(self, progress: bool = False) -> NDArray[Any]:
        """Form the whole (m, n) matrix by n products, or by m with the transpose if m < n.

        Parameters
        ----------
        progress : bool
            Show on stderr how far it is.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> G = f.ggn(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> (G + 0.5 * hc.identity(2)).dense().tolist()
        [[18.5, 6.0], [6.0, 2.5]]
        """
        m, n = self.shape
        out = self._module.empty((m, n), self.dtype)
        by_row = m < n or self.is_symmetric
        apply = self._core.apply_adjoint if by_row else self._core.apply
        size = m if by_row else n
        with Count(size, "product", progress) as count:
            for first in range(0, size, _CHUNK):
                k = min(_CHUNK, size - first)
                part = apply(self._module.eye(k, size, first, self.dtype))
                if by_row:
                    out[first : first + k] = part
                else:
                    out[:, first : first + k] = part.T
                count.update(first + k)
        return out

    def diagonal(self, *, progress: bool = False) -> NDArray[Any]:
        """Compute the exact diagonal (n,) by n products.

        Parameters
        ----------
        progress : bool
            Show on stderr how far it is.
        """
        m, n = self.shape
        out = self._module.empty(min(m, n), self.dtype)
        with Count(len(out), "product", progress) as count:
            for first in range(0, len(out), _CHUNK):
                k = min(_CHUNK, len(out) - first)
                part = self._core.apply(self._module.eye(k, n, first, self.dtype))
                out[first : first + k] = part[:, first:].diagonal()
                count.update(first + k)
        return out

    def trace(
        self,
        samples: int = 64,
        method: Literal["hutchinson", "hutchpp", "xtrace"] = "hutchinson",
        seed: int = 0,
    ) -> Estimate:
        """Estimate the trace by `samples` products: `hesscore.trace` of this operator.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> G = f.ggn(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> round(float(G.trace(4, method="xtrace")), 9)
        20.0
        """
        return trace(self, samples, method, seed)

    @property
    def _module(self) -> Any:
        return module_for(self._core.device)


def _engine(core: Any, layouts: Any = None) -> Any:
    from .classes import engine_operator

    result = engine_operator(core)
    result._layouts = layouts or (None, None)
    return result


def _is_identity(other: Any) -> bool:
    from .identity import Identity

    return isinstance(other, Identity)


def _to_vector(apply: Any, n: int, x: Any) -> NDArray[Any]:
    shape = getattr(x, "shape", None)
    if shape == (n, 1):
        return apply(x.reshape(n)).reshape(-1, 1)
    if shape is not None and shape != (n,):
        raise ShapeError.about("v", f"({n},)", shape)
    return apply(x)


def _to_columns(apply: Any, n: int, X: Any) -> NDArray[Any]:
    shape = np.shape(X)
    if len(shape) != 2 or shape[0] != n:
        raise ShapeError.about("V", f"({n}, K)", shape)
    return apply(np.transpose(X)).T
