"""Traces and the Frobenius norm from products with random signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from .. import _check, errors
from ._estimate import Estimate, mean_of
from ._products import Products
from ._sketch import PAIRED, Sketch

Method = Literal["hutchinson", "hutchpp", "xtrace"]
_LEAST = {"hutchinson": 1, "hutchpp": 3, "xtrace": 4}


def trace(
    A: Any, samples: int = 64, method: Method = "hutchinson", seed: int = 0, *, n: int | None = None
) -> Estimate:
    """Estimate the trace of a square operator from `samples` products. Unbiased for every method.

    ============ ===================================================================================
    method       what it is, with z Rademacher vectors and m = `samples`
    ============ ===================================================================================
    hutchinson   mean of ``z' A z`` over m vectors (Girard 1989; Hutchinson 1990). Exact for
                 diagonal matrices; the variance is twice the squared off-diagonal entries of a
                 symmetric A, over m
    hutchpp      Hutch++ (Meyer, Musco, Musco & Woodruff 2021, algorithm 1): a third of the products
                 finds an orthonormal Q near the range, a third gives ``tr(Q' A Q)``, the rest is
                 Hutchinson on what is left. Exact for rank m / 3; the error falls as 1 / m, not
                 1 / sqrt(m), where eigenvalues decay
    xtrace       XTrace (Epperly, Tropp & Webber 2024, section 2.1): m / 2 vectors, each tested
                 against the range of all the others. Exact for rank below m / 2; mostly the best
    ============ ===================================================================================

    The standard error is ``s / sqrt(k)``, s being the standard deviation of the k numbers that are
    averaged. For hutchinson they are independent. For hutchpp they are once Q is given, and the
    mean is unbiased for every Q. The numbers of xtrace share what pairs of vectors contribute,
    which doubles the variance of their mean: there it is ``s sqrt(2 / k)``. On matrices with
    spectra from flat to geometric it was between 0.75 and 1.2 times the root mean square error
    from 20 products on; without the factor, which the paper does not have, half of that variance
    is missing.

    The products of a block share one pass: our operators do that natively, others by their
    `matmat`. Results do not depend on the number of threads, and probes of a seed are the same
    on the CPU and on a GPU.

    Parameters
    ----------
    A : operator, matrix or callable
        Anything square: an operator of hesscore, a `LinearOperator` of SciPy or CuPy, a dense or
        sparse matrix, or a function of a vector (n,).
    samples : int
        Products with single vectors to spend; hutchpp needs 3, xtrace 4. hutchpp spends all of
        them, xtrace the even part.
    method : {"hutchinson", "hutchpp", "xtrace"}
        One of the table.
    seed : int
        Of the probes.
    n : int, optional
        The size, for a callable.

    Returns
    -------
    Estimate
        ``float(result)`` is the trace, ``result.standard_error`` its standard error.

    Raises
    ------
    ShapeError, DTypeError, OptionError
        A bad argument; the exception names it.
    NonFiniteError
        Products were not finite.

    Notes
    -----
    hutchinson keeps a block of vectors, at most 64; the others keep ``samples`` vectors, and take
    ``n samples^2`` operations for orthogonalising.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> rng = np.random.default_rng(0)
    >>> B = rng.normal(size=(200, 5))  # of rank 5
    >>> t = hc.trace(B @ B.T, samples=16, method="xtrace")
    >>> bool(abs(float(t) - np.sum(B * B)) < 1e-9 * float(t))
    True
    >>> t.samples, t.products
    (8, 16)
    """
    if method not in _LEAST:
        raise errors.unknown("method", method, _LEAST)
    samples = _check.integer("samples", samples, _LEAST[method], bits=31)
    products = Products(A, n)
    estimate = {"hutchinson": _hutchinson, "hutchpp": _hutchpp, "xtrace": _xtrace}[method]
    with products.on_device():
        value, error, drawn = estimate(products, samples, seed)
    return Estimate(value, error, drawn, products.made, method)


def frobenius_norm(A: Any, samples: int = 64, seed: int = 0, *, n: int | None = None) -> Estimate:
    """Estimate the Frobenius norm of a square operator from `samples` products.

    The root of the mean of ``||A z||^2`` over Rademacher vectors z, whose expectation is the
    squared norm: Hutchinson's estimate of ``tr(A' A)``. The mean is unbiased; its root is a little
    too small, by ``standard_error^2 / (2 value)`` to first order. The standard error is that of the
    mean divided by twice the norm.

    Parameters
    ----------
    A, samples, seed, n
        As in `trace`.

    Returns
    -------
    Estimate

    Raises
    ------
    ShapeError, DTypeError, OptionError, NonFiniteError
        As in `trace`.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> float(hc.frobenius_norm(np.diag([3.0, 4.0]), samples=2))
    5.0
    """
    samples = _check.samples(samples)
    products = Products(A, n)

    def squared_norms(rows: Any) -> Any:
        return products.dots(rows, rows)

    with products.on_device():
        squares = _per_probe(products, samples, seed, lambda z: squared_norms(products(z)))
    square, error = mean_of(squares)
    norm = float(np.sqrt(square))
    return Estimate(
        norm, error / (2 * norm) if norm else error, samples, products.made, "hutchinson"
    )


def _per_probe(
    products: Products, count: int, seed: int, numbers: Callable[[Any], Any], first: int = 0
) -> Any:
    """``numbers(Z)``, one for each row, of the vectors first .. first + count - 1 of a seed."""
    probes = products.probes(seed)
    found = [numbers(probes.rows(first + i, k)) for i, k in products.blocks(count)]
    return np.concatenate([products.to_host(block) for block in found])


def _hutchinson(products: Products, samples: int, seed: int) -> tuple[float, float, int]:
    forms = _per_probe(products, samples, seed, products.forms)
    return *mean_of(forms), samples


def _hutchpp(products: Products, samples: int, seed: int) -> tuple[float, float, int]:
    k = min(samples // 3, products.n)
    sketch = Sketch(products, k, seed)
    captured = float(np.trace(sketch.captured))
    if k == products.n:
        return captured, 0.0, k

    def deflated(z: Any) -> Any:  # x' A x for x = z - Q Q' z
        x = sketch.without_range(z)
        return products.forms(x)

    mean, error = mean_of(_per_probe(products, samples - 2 * k, seed, deflated, first=k))
    return captured + mean, error, samples - k


def _xtrace(products: Products, samples: int, seed: int) -> tuple[float, float, int]:
    """With A Omega = Q R, each vector in turn tests the range of the others.

    That range is spanned by Q without the direction s, which is orthogonal to the columns j != i of
    R. The number of vector i is ``tr(H) - s' H s + x' A x`` with H = Q' A Q and x = omega - Q u,
    ``u = w - s (s' w)``, w = Q' omega.
    """
    k = min(samples // 2, products.n)
    sketch = Sketch(products, k, seed)
    H, R, S, W = sketch.captured, sketch.R, sketch.S, sketch.W
    if k == products.n:  # Q is a basis
        return float(np.trace(H)), 0.0, k
    u = W - S * (S * W).sum(axis=0)
    forms = (W * R - sketch.T * u - u * R + u * (H @ u)).sum(axis=0)
    mean, error = mean_of(np.trace(H) - (S * (H @ S)).sum(axis=0) + forms)
    return mean, PAIRED * error, k
