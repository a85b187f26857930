"""Lanczos against dense eigenvalues and moments."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

import hesscore as hc
import problems


def symmetric(values, seed=0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    a = (q * values) @ q.T
    return (a + a.T) / 2, q


def tridiagonal(alpha, beta):
    return np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1)


SPECTRA = {
    "indefinite": lambda rng: rng.normal(size=60),
    "clustered": lambda rng: np.repeat([1.0, 1.1, -2.0, 5.0], 15) + 1e-7 * rng.normal(size=60),
    "semidefinite": lambda rng: np.r_[np.zeros(40), rng.uniform(0.1, 9, 20)],
    "wide": lambda rng: np.geomspace(1e-6, 1e6, 60),
}  # fmt: skip


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relation_and_orthogonality(spectrum, dtype, rng):
    a, _ = symmetric(SPECTRA[spectrum](rng))
    a = a.astype(dtype)
    result = hc.lanczos(a, 30, v0=rng.normal(size=60).astype(dtype))
    m, eps, norm = len(result.alpha), np.finfo(dtype).eps, np.linalg.norm(a, 2)
    V = result.basis.astype(np.float64)
    assert V.shape == (m + 1, 60) and result.basis.dtype == dtype
    assert result.alpha.dtype == result.beta.dtype == np.float64
    k = m + 1 if result.beta[-1] > 0 else m
    assert np.abs(V[:k] @ V[:k].T - np.eye(k)).max() < 40 * eps
    left = V[:m] @ a.astype(np.float64) - tridiagonal(result.alpha, result.beta) @ V[:m]
    left[-1] -= result.beta[-1] * V[m]
    assert np.abs(left).max() < 100 * eps * norm


def test_moments_are_those_of_the_operator(rng):
    a, _ = symmetric(rng.normal(size=40))
    v = rng.normal(size=40)
    values, weights = hc.lanczos(a, 8, v0=v).ritz()
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    power = v / np.linalg.norm(v)
    for degree in range(16):
        exact = power @ np.linalg.matrix_power(a, degree) @ power
        assert (weights * values**degree).sum() == pytest.approx(exact, rel=1e-10, abs=1e-12)


def test_runs_share_passes_and_are_independent(rng):
    a, _ = symmetric(rng.normal(size=50))
    starts = rng.normal(size=(5, 50))
    passes = []

    class Counted:
        shape, dtype = (50, 50), np.dtype(float)

        def matvec(self, v):
            passes.append(v.shape)
            return a @ v

    together = hc.lanczos(Counted(), 12, v0=starts)
    assert together.basis.shape == (5, 13, 50)
    assert len(passes) == 60
    for k, start in enumerate(starts):
        alone = hc.lanczos(a, 12, v0=start)
        np.testing.assert_allclose(together.alpha[k], alone.alpha, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(together.beta[k], alone.beta, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(together.basis[k], alone.basis, atol=1e-10)


def test_without_reorthogonalisation_extremes_still_converge(rng):
    values = np.r_[rng.uniform(-1, 1, 300), 10.0]
    a, _ = symmetric(values)
    for starts in (rng.normal(size=301), rng.normal(size=(2, 301))):
        result = hc.lanczos(a, 120, v0=starts, reorthogonalise=False, return_basis=False)
        assert result.basis is None
        ritz = np.atleast_2d(result.ritz()[0])
        np.testing.assert_allclose(ritz.max(axis=1), 10.0, atol=1e-10)
    kept = hc.lanczos(a, 5, v0=starts, reorthogonalise=False)
    np.testing.assert_allclose(kept.basis[1] @ kept.basis[1].T, np.eye(6), atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_invariant_subspaces_end_runs(dtype, rng):
    a = np.diag(np.r_[np.full(7, 2.0), np.full(5, -1.0), 4.0]).astype(dtype)
    ones = np.ones(13, dtype)
    result = hc.lanczos(a, 10, v0=ones)
    assert result.lengths.tolist() == [3] and len(result.alpha) == 3 and result.beta[-1] == 0
    assert "dimension 3" in result.report.message
    np.testing.assert_allclose(result.ritz()[0], [-1, 2, 4], rtol=1e-5)
    starts = np.stack([ones, np.eye(13, dtype=dtype)[0], rng.normal(size=13).astype(dtype)])
    for full in (True, False):
        several = hc.lanczos(a, 3, v0=starts, reorthogonalise=full)
        assert several.lengths.tolist() == [3, 1, 3]
        assert several.alpha[1].tolist() == [2, 0, 0] and np.isfinite(several.beta).all()
    zero = hc.lanczos(a, 3, v0=0 * ones)
    assert zero.lengths.tolist() == [0] and zero.alpha.shape == (0,)


def test_every_kind_of_operator_and_the_default_start():
    f = problems.mlp(4, 6, 3)
    H = f.hessian(*problems.batch(f, 12, 4, classes=3))
    dense = H.dense()
    first = hc.lanczos(H, 6, seed=3)
    for A in (dense, aslinearoperator(dense), H + 0.0 * hc.identity(f.num_params)):
        np.testing.assert_allclose(hc.lanczos(A, 6, seed=3).alpha, first.alpha, rtol=1e-9)
    v = np.random.default_rng(3).standard_normal(f.num_params).astype(H.dtype)
    np.testing.assert_allclose(hc.lanczos(lambda u: H @ u, 6, v0=v).alpha, first.alpha, rtol=1e-9)
    assert hc.lanczos(np.diag([1, 2, 3]), 2).alpha.shape == (2,)


def test_a_bad_product_is_a_breakdown():
    a = np.eye(4)
    a[2, 2] = np.nan
    result = hc.lanczos(a, 3, v0=np.ones(4))
    assert result.report.status == "breakdown" and "not finite" in result.report.message


def test_bad_input():
    a = np.eye(4)
    for options, error, name in (
        ({"k": 0}, hc.OptionError, "k"),
        ({"k": 5}, hc.OptionError, "k"),
        ({"k": 2, "v0": np.ones(3)}, hc.ShapeError, "A: .* v0 of length 3"),
        ({"k": 2, "v0": np.ones((0, 4))}, hc.ShapeError, "v0"),
        ({"k": 2, "v0": np.ones((1, 2, 4))}, hc.ShapeError, "v0"),
        ({"k": 2, "v0": np.full(4, np.inf)}, hc.NonFiniteError, "v0"),
        ({"k": 2, "v0": np.ones(4, np.int64)}, hc.DTypeError, "v0"),
        ({"k": 2, "seed": -1}, hc.OptionError, "seed"),
        ({"k": 2, "reorthogonalise": "full"}, hc.OptionError, "reorthogonalise"),
    ):
        with pytest.raises(error, match=name):
            hc.lanczos(a, **options)
    with pytest.raises(hc.DTypeError, match="v0"):
        hc.lanczos(lambda v: v, 2)


def test_interrupt_ends_it():
    f = hc.Objective(hc.Sequential(hc.Linear(50, 200), hc.Tanh(), hc.Linear(200, 10)), hc.MSELoss())
    x = np.random.default_rng(0).normal(size=(500, 50))
    A = f.ggn(f.init(dtype="float64"), x, x[:, :10])
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        hc.lanczos(A, f.num_params, reorthogonalise=False, return_basis=False)
