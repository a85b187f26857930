"""Thick-restart Lanczos against dense eigenvalues and SciPy's ARPACK."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator
from scipy.sparse.linalg import eigsh as scipy_eigsh

import hesscore as hc
import problems

SPECTRA = {
    "indefinite": lambda rng: rng.normal(size=200),
    "clustered": lambda rng: np.r_[rng.uniform(0, 1, 180), 5 + 1e-5 * rng.normal(size=20)],
    "semidefinite": lambda rng: np.r_[np.zeros(150), rng.uniform(0.1, 9, 50)],
    "decaying": lambda rng: 10.0 ** -np.linspace(0, 12, 200),
    "multiple": lambda rng: np.repeat([3.0, -1.0, 2.0, 0.5], 50),
}


def symmetric(values, seed=0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    a = (q * values) @ q.T
    return (a + a.T) / 2


def wanted(values, k, which):
    values = np.sort(values)
    if which == "LA":
        return values[-k:]
    if which == "SA":
        return values[:k]
    if which == "LM":
        return np.sort(values[np.argsort(-np.abs(values), kind="stable")[:k]])
    return np.r_[values[: k // 2], values[len(values) - (k + 1) // 2 :]]


@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_values_and_vectors(spectrum, which, rng):
    if spectrum == "decaying" and which in ("SA", "BE"):
        pytest.skip("the small end of a decaying spectrum takes inverses")
    a = symmetric(SPECTRA[spectrum](rng))
    values, vectors, report = hc.eigsh(a, 6, which, seed=1)
    assert report.status == "converged" and report.residuals.shape == (6,)
    norm = np.abs(np.linalg.eigvalsh(a)).max()
    exact = np.linalg.eigvalsh(a)
    if spectrum in ("semidefinite", "multiple"):  # copies may be missed, as by every Krylov method
        assert np.abs(values[:, None] - exact).min(axis=1).max() < 1e-12 * norm
        best = wanted(exact, 1, which)
        assert np.abs(values - best).min() < 1e-12 * norm
    else:
        np.testing.assert_allclose(values, wanted(exact, 6, which), rtol=1e-10, atol=1e-10 * norm)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-12)
    left = np.linalg.norm(a @ vectors - vectors * values, axis=0)
    assert left.max() < 1e-12 * norm
    np.testing.assert_allclose(report.residuals, left, atol=1e-14 * norm)
    assert report.residual == report.residuals.max()


def test_like_arpack_with_as_many_products(rng):
    a = symmetric(np.r_[rng.uniform(-1, 1, 390), np.linspace(1.1, 1.5, 10)])
    counted = []

    def product(v):
        counted.append(1)
        return a @ v

    op = LinearOperator(a.shape, matvec=product, dtype=a.dtype)
    v0 = rng.normal(size=400)
    reference = scipy_eigsh(op, k=4, which="LA", v0=v0, tol=1e-12, return_eigenvectors=False)
    theirs = len(counted)
    counted.clear()
    values, report = hc.eigsh(op, 4, v0=v0, tol=1e-12, return_eigenvectors=False)
    np.testing.assert_allclose(values, np.sort(reference), rtol=1e-11)
    assert len(counted) == report.iterations + 4 <= 1.3 * theirs + 10


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hessians_of_networks(dtype):
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 12, 4, classes=3)
    H = f.hessian(w.astype(dtype), x.astype(dtype), y)
    dense = H.dense().astype(np.float64)
    values, vectors, report = hc.eigsh(H, 5, "BE")
    assert values.dtype == vectors.dtype == dtype and report.converged
    tolerance = 1e-5 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(values, wanted(np.linalg.eigvalsh(dense), 5, "BE"), atol=tolerance)


def test_small_matrices_and_all_pairs(rng):
    for n in (1, 2, 5):
        a = symmetric(rng.normal(size=n))
        values, vectors, _ = hc.eigsh(a, n)
        np.testing.assert_allclose(values, np.linalg.eigvalsh(a), atol=1e-13)
        np.testing.assert_allclose((vectors * values) @ vectors.T, a, atol=1e-13)
    values, vectors, _ = hc.eigsh(np.eye(9), 4, v0=np.ones(9))
    np.testing.assert_allclose(values, 1)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=1e-13)
    assert np.abs(hc.eigsh(np.zeros((4, 4)), 2)[0]).max() == 0


def test_outcomes(rng):
    a = symmetric(rng.uniform(0, 1, 300))
    values, vectors, report = hc.eigsh(a, 6, maxiter=1)
    assert report.status == "max_iterations" and values.shape == (6,)
    assert report.residual > 1e-8 and len(report.history) == 1 and "restarts" in report.message
    a[3, 3] = np.nan
    values, vectors, report = hc.eigsh(a, 6)
    assert report.status == "breakdown" and values.shape == (0,) and vectors.shape == (300, 0)


def test_the_same_seed_gives_the_same_numbers(rng):
    a = symmetric(rng.normal(size=80))
    first, second = hc.eigsh(a, 3, seed=5), hc.eigsh(a, 3, seed=5)
    assert first[1].tobytes() == second[1].tobytes()


def test_bad_input():
    a = np.eye(6)
    for options, error, name in (
        ({"k": 7}, hc.OptionError, "k"),
        ({"which": "SM"}, hc.OptionError, "which"),
        ({"k": 2, "ncv": 2}, hc.OptionError, "ncv"),
        ({"k": 2, "ncv": 7}, hc.OptionError, "ncv"),
        ({"k": 2, "tol": -1.0}, hc.OptionError, "tol"),
        ({"k": 2, "maxiter": 0}, hc.OptionError, "maxiter"),
        ({"k": 2, "v0": np.ones((2, 6))}, hc.ShapeError, "v0"),
    ):
        with pytest.raises(error, match=name):
            hc.eigsh(a, **options)
