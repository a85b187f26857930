"""The range of an operator as random vectors see it, which Hutch++, XTrace and XDiag build on."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ..errors import NonFiniteError
from ._products import Products

# Of XTrace and XDiag, the standard error of a mean over that of independent numbers. Number i is
# unbiased given the other vectors, so it deviates by terms in which vector i takes part; those of i
# and one more vector dominate, and the numbers of both vectors have them.
PAIRED = 2**0.5


class Sketch:
    """``A Omega = Q R`` for k random vectors, and A on the range of Q.

    Vectors are rows, here and in `omega`, `Q` and `Z`; the small matrices are float64 on the host.

    Attributes
    ----------
    Q : (k, n) array
        Orthonormal, spanning the products with the random vectors `omega` (k, n).
    R : (k, k) array
        Upper triangular.
    """

    def __init__(self, products: Products, k: int, seed: int) -> None:
        self._products = products
        xp = products.xp
        probes = products.probes(seed)
        self.omega = probes.rows(0, k)
        columns, triangle = xp.linalg.qr(self._in_blocks(products, self.omega).T)
        self.Q = xp.ascontiguousarray(columns.T)
        self.R = self._finite(triangle)

    @cached_property
    def Z(self) -> Any:
        """A on the rows of Q."""
        return self._in_blocks(self._products, self.Q)

    @cached_property
    def transposed(self) -> Any:
        """A transposed on the rows of Q."""
        return self._in_blocks(self._products.transposed, self.Q)

    @cached_property
    def captured(self) -> Any:
        """``H = Q' A Q``."""
        return self._finite(self.Q @ self.Z.T)

    @cached_property
    def W(self) -> Any:
        """``Q' Omega``."""
        return self._finite(self.Q @ self.omega.T)

    @cached_property
    def T(self) -> Any:
        """``(A Q)' Omega``."""
        return self._finite(self.Z @ self.omega.T)

    @cached_property
    def S(self) -> Any:
        """Column i: the direction of the range that vector i alone adds, or 0 if it adds none.

        It is the i-th column of R^-T, normalised: orthogonal to the columns j != i of R. Where R is
        singular the pseudo-inverse tells: vector i adds a direction if its leverage is 1.
        """
        u, sigma, vt = np.linalg.svd(self.R)
        k = len(sigma)
        floor = k * np.finfo(self._products.dtype).eps * sigma[0]
        rank = int(np.count_nonzero(sigma > floor))
        s = u[:, :rank] @ (vt[:rank] / sigma[:rank, None])
        needed = (vt[:rank] ** 2).sum(axis=0) > 1 - 1e-6
        norms = np.sqrt((s * s).sum(axis=0))
        return np.where(needed, s / np.where(norms > 0, norms, 1), 0.0)

    def without_range(self, rows: Any) -> Any:
        """``z - Q Q' z`` for each row."""
        return rows - (rows @ self.Q.T) @ self.Q

    def like(self, small: Any) -> Any:
        """Return a small host matrix where the vectors are, in their dtype."""
        return self._products.xp.asarray(small.astype(self._products.dtype))

    def _in_blocks(self, apply: Any, rows: Any) -> Any:
        found = [apply(rows[i : i + k]) for i, k in self._products.blocks(len(rows))]
        return found[0] if len(found) == 1 else self._products.xp.concatenate(found)

    def _finite(self, matrix: Any) -> Any:
        small = self._products.to_host(matrix)
        if not np.isfinite(small).all():
            raise NonFiniteError.about("A", "finite products", small[~np.isfinite(small)][0])
        return small
