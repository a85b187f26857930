"""CuPy's LinearOperator, as far as the tests go."""

from __future__ import annotations

from typing import Any

import cupy


class LinearOperator:
    ndim = 2

    def __init__(self, dtype: Any, shape: Any) -> None:
        self.dtype = cupy.dtype(dtype)
        self.shape = tuple(shape)

    def __add__(self, other: Any) -> Any:
        return _Sum(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def dot(self, x: Any) -> Any:
        return self.matvec(x) if x.ndim == 1 else self.matmat(x)

    __mul__ = __matmul__ = dot

    def matmat(self, X: Any) -> Any:
        return cupy.stack([self.matvec(x) for x in X.T]).T


class _Sum(LinearOperator):
    def __init__(self, a: LinearOperator, b: LinearOperator) -> None:
        self.parts = a, b
        super().__init__(a.dtype, a.shape)

    def matvec(self, x: Any) -> Any:
        return self.parts[0].matvec(x) + self.parts[1].matvec(x)
