"""The identity matrix, for ``A + damping * identity(n)``."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .. import _check
from .products import EngineProducts


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
        if isinstance(other, EngineProducts) and other.shape[0] == self.shape[0]:
            return other * self.factor
        if hasattr(other, "matvec") or getattr(other, "shape", ())[:1] != self.shape[:1]:
            return super().__matmul__(other)
        return self.factor * other

    def _adjoint(self) -> Any:
        return self

    def _transpose(self) -> Any:
        return self

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Identity) and other.shape == self.shape:
            return Identity(self.shape[0], self.factor + other.factor, self.dtype)
        return other + self if isinstance(other, EngineProducts) else super().__add__(other)

    def __neg__(self) -> Any:
        return self * -1.0

    def __sub__(self, other: Any) -> Any:
        return self + other * -1.0

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Real):
            return Identity(self.shape[0], self.factor * float(other), self.dtype)
        if isinstance(other, EngineProducts):
            return self @ other
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
    return Identity(_check.integer("n", n, 0), 1.0, dtype)
