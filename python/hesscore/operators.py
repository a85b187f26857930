"""Curvature matrices as SciPy linear operators. Imported on first use, because SciPy is slow to.

On CUDA devices they are CuPy's, which `_cuda_operators` makes of the same parts.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse.linalg import LinearOperator

from . import _core
from ._arrays import module_for
from .errors import ShapeError
from .estimators import Estimate, trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .objective import Objective

_CHUNK = 64  # unit vectors that share a pass

_Base: Any = object  # the methods' super() is the LinearOperator of a subclass


class EngineProducts(_Base):
    """What an operator of the engine does, for a `LinearOperator` of SciPy or of CuPy."""

    _core: Any

    def matvec(self, x: Any) -> NDArray[Any]:
        """Apply to a vector (n,) or a column (n, 1)."""
        n, shape = self.shape[0], getattr(x, "shape", None)
        if shape == (n, 1):
            return self._core.apply(x.reshape(n)).reshape(n, 1)
        if shape is not None and shape != (n,):
            raise ShapeError.about("v", f"({n},)", shape)
        return self._core.apply(x)

    def matmat(self, X: Any) -> NDArray[Any]:
        """Apply to the columns of an (n, K) matrix, in one pass."""
        n, shape = self.shape[0], np.shape(X)
        if len(shape) != 2 or shape[0] != n:
            raise ShapeError.about("V", f"({n}, K)", shape)
        return self._core.apply(np.transpose(X)).T

    def rmatvec(self, x: Any) -> NDArray[Any]:
        """Apply to a vector; the operator is symmetric."""
        return self.matvec(x)

    def rmatmat(self, X: Any) -> NDArray[Any]:
        """Apply to columns; the operator is symmetric."""
        return self.matmat(X)

    def __matmul__(self, other: Any) -> Any:
        ndim = getattr(other, "ndim", 0)
        if ndim not in (1, 2) or hasattr(other, "matvec"):
            return super().__matmul__(other)
        return self.matvec(other) if ndim == 1 else self.matmat(other)

    _matvec, _matmat, _rmatvec, _rmatmat = matvec, matmat, rmatvec, rmatmat

    def _adjoint(self) -> Any:
        return self

    def _transpose(self) -> Any:
        return self

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Identity) and other.shape == self.shape:
            return engine_operator(_core.shifted(self._core, other.factor, 1.0))
        return super().__add__(other)

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, Identity):
            return self + other * -1.0
        return super().__sub__(other)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Real):
            return engine_operator(_core.shifted(self._core, 0.0, float(other)))
        return NotImplemented if isinstance(other, (str, bytes)) else super().__mul__(other)

    def __rmul__(self, other: Any) -> Any:
        if isinstance(other, (Real, str, bytes)):
            return self.__mul__(other)
        return super().__rmul__(other)

    def __neg__(self) -> Any:
        return self * -1.0

    def dense(self) -> NDArray[Any]:
        """Form the whole (n, n) matrix by n products.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> G = f.ggn(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> (G + 0.5 * hc.identity(2)).dense().tolist()
        [[18.5, 6.0], [6.0, 2.5]]
        """
        n = self.shape[0]
        out = self._module.empty((n, n), self.dtype)
        for first in range(0, n, _CHUNK):
            out[first : first + _CHUNK] = self._unit_products(first)
        return out

    def diagonal(self) -> NDArray[Any]:
        """Compute the exact diagonal by n products."""
        n = self.shape[0]
        out = self._module.empty(n, self.dtype)
        for first in range(0, n, _CHUNK):
            rows = self._unit_products(first)
            out[first : first + len(rows)] = rows[:, first:].diagonal()
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

    def _unit_products(self, first: int) -> NDArray[Any]:
        n = self.shape[0]
        return self._core.apply(self._module.eye(min(_CHUNK, n - first), n, first, self.dtype))

    @property
    def _module(self) -> Any:
        return module_for(self._core.device)


class CurvatureProducts(EngineProducts):
    """The Hessian, Gauss-Newton or Fisher matrix of an objective at one point.

    Made by `Objective.hessian`, `ggn` and `fisher`; it keeps copies of w and the batch, is
    linearised once and applied often. `A @ V` with columns V (P, K) is one pass.

    Attributes
    ----------
    kind : str
        "hessian", "ggn", "fisher_empirical" or "fisher_mc".

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> from scipy.sparse.linalg import eigsh
    >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
    >>> H = f.hessian(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
    >>> float(eigsh(H, k=1, return_eigenvectors=False)[0].round(6))
    20.0
    """

    def __init__(self, core: Any, kind: str, f: Objective, point: list[Any], train: Any) -> None:
        super().__init__(core)
        self.kind = kind
        self._f = f
        self._point = point
        self._train = train

    def diagonal(self, kind: str | None = None) -> NDArray[Any]:
        """Compute a diagonal at this point.

        Parameters
        ----------
        kind : str, optional
            As in `Objective.diag`. By default the exact diagonal of this matrix: one sweep for the
            Gauss-Newton and the empirical Fisher matrix, else P products.

        Returns
        -------
        (P,) array

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> H = f.hessian(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> H.diagonal().tolist(), H.diagonal("hesscale").tolist()
        ([18.0, 2.0], [18.0, 2.0])
        """
        sweep = {"ggn": "ggn", "fisher_empirical": "empirical_fisher"}
        kind = sweep.get(self.kind) if kind is None else kind
        if kind is None:
            return super().diagonal()
        w, x, y, sample_weight = self._point
        return self._f.diag(w, x, y, kind, sample_weight=sample_weight, train=self._train)

    def __repr__(self) -> str:
        return f"<{self.kind} operator of shape {self.shape}, {self.dtype}>"


class EngineOperator(EngineProducts, LinearOperator):
    """A symmetric operator that lives in the engine, where solvers use it without Python.

    ``A + c * hesscore.identity(n)`` and ``c * A`` are again such operators; every other composition
    is SciPy's.
    """

    def __init__(self, core: Any) -> None:
        self._core = core
        super().__init__(np.dtype(core.dtype), (core.size, core.size))


class CurvatureOperator(CurvatureProducts, EngineOperator):
    """See `CurvatureProducts`."""


class Identity(LinearOperator):
    """``factor`` times the identity matrix."""

    def __init__(self, n: int, factor: float, dtype: Any) -> None:
        self.factor = factor
        super().__init__(np.dtype(dtype), (n, n))

    def _matvec(self, x: Any) -> Any:
        return self.factor * x

    def _matmat(self, X: Any) -> Any:
        return self.factor * X

    def __matmul__(self, other: Any) -> Any:
        if hasattr(other, "matvec") or getattr(other, "shape", ())[:1] != self.shape[:1]:
            return super().__matmul__(other)
        return self.factor * other

    def _adjoint(self) -> Any:
        return self

    def _transpose(self) -> Any:
        return self

    def __add__(self, other: Any) -> Any:
        return other + self if isinstance(other, EngineProducts) else super().__add__(other)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Real):
            return Identity(self.shape[0], self.factor * float(other), self.dtype)
        return NotImplemented if isinstance(other, (str, bytes)) else super().__mul__(other)

    def __rmul__(self, other: Any) -> Any:
        if isinstance(other, (Real, str, bytes)):
            return self.__mul__(other)
        return super().__rmul__(other)


def identity(n: int, dtype: Any = np.float32) -> Identity:
    """Make the identity operator of size n, for ``A + damping * identity(n)``.

    Parameters
    ----------
    n : int
        Its size.
    dtype : dtype
        What it says its dtype is; sums with the engine's operators keep theirs.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> ((3.0 * hc.identity(2)) @ np.ones(2)).tolist()
    [3.0, 3.0]
    """
    from . import _check

    return Identity(_check.integer("n", n, 0), 1.0, dtype)


def engine_operator(core: Any) -> EngineOperator:
    """Wrap an operator of the engine for SciPy, or on a CUDA device for CuPy."""
    return _classes(core)[0](core)


def curvature_operator(f: Objective, kind: str, product: Any, *arguments: Any) -> CurvatureOperator:
    """Make the operator of `Objective.hessian`, `ggn` and `fisher`."""
    core, *point = _core.curvature(f._core, product, *arguments)
    train = arguments[4]
    return _classes(core)[1](core, kind, f, point, train)


def _classes(core: Any) -> tuple[Any, Any]:
    if core.device == "cpu":
        return EngineOperator, CurvatureOperator
    from . import _cuda_operators as cuda

    return cuda.EngineOperator, cuda.CurvatureOperator
