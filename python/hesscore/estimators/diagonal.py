"""Diagonals from products with random signs."""

from __future__ import annotations

from typing import Any, Literal

from .. import _check, errors
from ._estimate import Estimate
from ._products import Products
from ._sketch import PAIRED, Sketch

_LEAST = {"hutchinson": 1, "xdiag": 4}


def diagonal(
    A: Any,
    samples: int = 64,
    method: Literal["hutchinson", "xdiag"] = "hutchinson",
    seed: int = 0,
    *,
    n: int | None = None,
) -> Estimate:
    """Estimate the diagonal of a square operator from `samples` products. Unbiased.

    ============ ===================================================================================
    method       what it is, with z Rademacher vectors and m = `samples`
    ============ ===================================================================================
    hutchinson   mean of ``z * (A z)`` over m vectors (Bekas, Kokiopoulou & Saad 2007). Exact for
                 diagonal matrices; the variance of element i is the sum of the squares of its
                 row without the diagonal, over m, for a symmetric A
    xdiag        XDiag (Epperly, Tropp & Webber 2024, section 2.4): m / 2 vectors, each tested
                 against the range of all the others. Exact for rank below m / 2
    ============ ===================================================================================

    The standard error of an element is ``s / sqrt(k)``, s being the standard deviation of the k
    numbers that are averaged, times sqrt(2) for xdiag, as for `trace`.

    Parameters
    ----------
    A : operator, matrix or callable
        As in `trace`. xdiag takes products with its transpose, too: a callable is taken for a
        symmetric one, and a `LinearOperator` must have ``rmatvec``.
    samples : int
        Products with single vectors to spend; xdiag needs 4.
    method : {"hutchinson", "xdiag"}
        One of the table.
    seed : int
        Of the probes.
    n : int, optional
        The size, for a callable.

    Returns
    -------
    Estimate
        Its `value` and `standard_error` are (n,) arrays in A's dtype, on its device.

    Raises
    ------
    ShapeError, DTypeError, OptionError
        A bad argument; the exception names it.
    UnsupportedError
        xdiag of a `LinearOperator` without products with its transpose.
    NonFiniteError
        Products were not finite; hutchinson does not look, and its `value` says so.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> hc.diagonal(np.diag([1.0, 2.0, 4.0]), samples=2).value.tolist()
    [1.0, 2.0, 4.0]
    >>> B = np.random.default_rng(0).normal(size=(100, 3))
    >>> d = hc.diagonal(B @ B.T, samples=10, method="xdiag")
    >>> bool(np.allclose(d.value, (B * B).sum(1)))
    True
    """
    if method not in _LEAST:
        raise errors.unknown("method", method, _LEAST)
    samples = _check.integer("samples", samples, _LEAST[method], bits=31)
    products = Products(A, n)
    with products.on_device():
        estimate = _hutchinson if method == "hutchinson" else _xdiag
        value, error, drawn = estimate(products, samples, seed)
    return Estimate(value, error, drawn, products.made, method)


def _hutchinson(products: Products, samples: int, seed: int) -> tuple[Any, Any, int]:
    """Means and squared deviations of blocks, combined as Chan, Golub & LeVeque (1983) do."""
    xp, probes, seen = products.xp, products.probes(seed), 0
    mean = squares = xp.zeros(products.n, dtype=products.dtype)
    for first, k in products.blocks(samples):
        z = probes.rows(first, k)
        d = z * products(z)
        block = d.sum(axis=0) / k
        shift = block - mean
        squares = squares + ((d - block) ** 2).sum(axis=0) + shift**2 * (seen * k / (seen + k))
        seen += k
        mean = mean + shift * (k / seen)
    return mean, _standard_error(products, squares, samples), samples


def _xdiag(products: Products, samples: int, seed: int) -> tuple[Any, Any, int]:
    """Of vector i: ``diag(Q_i Q_i' A) + omega * (I - Q_i Q_i') A omega``, Q_i = Q without s_i."""
    k = min(samples // 2, products.n)
    sketch = Sketch(products, k, seed)
    whole = (sketch.Q * sketch.transposed).sum(axis=0)
    if k == products.n:  # Q is a basis
        return whole, products.xp.zeros(k, dtype=products.dtype), k
    S = sketch.like(sketch.S.T)
    q, z = S @ sketch.Q, S @ sketch.transposed
    coefficients = sketch.like((sketch.S * sketch.R).sum(axis=0)[:, None])
    single = q * (sketch.omega * coefficients - z)
    mean = single.sum(axis=0) / k
    squares = ((single - mean) ** 2).sum(axis=0)
    return whole + mean, PAIRED * _standard_error(products, squares, k), k


def _standard_error(products: Products, squares: Any, k: int) -> Any:
    """Of the mean of k numbers whose squared deviations sum to `squares`."""
    return products.xp.sqrt(squares / (k * (k - 1)) if k > 1 else squares * float("nan"))
