"""Conjugate gradients against dense solutions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

import hesscore as hc
import problems


def spd(n, condition, seed=0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    a = (q * np.geomspace(1, condition, n)) @ q.T
    return (a + a.T) / 2, rng.normal(size=n)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_solution(n):
    a, b = spd(n, 100.0)
    x, report = hc.cg(aslinearoperator(a), b, rtol=1e-12)
    assert report.status == "converged"
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-8)
    assert report.iterations <= 2 * n + 1
    assert report.residual <= 1e-12 * np.linalg.norm(b)
    assert len(report.history) == report.iterations + 1


def test_engine_operator():
    f = problems.mlp(4, 6, 3)
    point = problems.batch(f, 12, 4, classes=3)
    a = f.ggn(*point) + 0.05 * hc.identity(f.num_params)
    b = f.value_and_grad(*point)[1]
    x, report = hc.cg(a, b, rtol=1e-12)
    assert report.status == "converged"
    np.testing.assert_allclose(x, np.linalg.solve(a.dense(), b), rtol=1e-7)


def test_start_at_the_solution():
    a, b = spd(9, 10.0)
    start = np.linalg.solve(a, b)
    x, report = hc.cg(aslinearoperator(a), b, x0=start, rtol=1e-8)
    assert report.iterations == 0 and report.status == "converged"
    np.testing.assert_array_equal(x, start)


def test_zero_right_hand_side():
    a, b = spd(5, 10.0)
    x, report = hc.cg(aslinearoperator(a), np.zeros_like(b))
    assert report.status == "converged"
    np.testing.assert_array_equal(x, 0)


def test_a_right_hand_side_whose_square_underflows_is_told():
    a, b = spd(5, 10.0)
    for size in (1e-170, 1e-300, 5e-324):
        x, report = hc.cg(aslinearoperator(a), np.full_like(b, size), x0=b)
        assert "underflows" in report.message and not x.any()
    assert "is zero" in hc.cg(aslinearoperator(a), 0 * b)[1].message
    small, zero = np.full(5, 1e-30, np.float32), np.zeros(5, np.float32)
    x, report = hc.cg(aslinearoperator(a.astype(np.float32)), small)
    assert report.iterations > 0 and x.any()
    assert "is zero" in hc.cg(aslinearoperator(a.astype(np.float32)), zero)[1].message


def test_running_out_of_iterations_is_an_outcome():
    a, b = spd(30, 1e6)
    x, report = hc.cg(aslinearoperator(a), b, rtol=1e-14, maxiter=3)
    assert report.status == "max_iterations" and report.iterations == 3 and report.message
    assert np.isfinite(x).all()


def test_negative_curvature_is_reported():
    x, report = hc.cg(aslinearoperator(np.diag([1.0, -1.0])), np.ones(2))
    assert report.status == "negative_curvature"
    assert np.isfinite(x).all()


def test_callback_sees_iterates_and_may_stop():
    a, b = spd(20, 1e4)
    seen = []

    def callback(x):
        seen.append(x.copy())
        return len(seen) == 4

    _, report = hc.cg(aslinearoperator(a), b, rtol=1e-14, callback=callback)
    assert report.status == "stopped" and len(seen) == 4
    errors = [np.linalg.norm(np.linalg.cholesky(a).T @ (s - np.linalg.solve(a, b))) for s in seen]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(errors))


def test_callback_errors_come_through():
    a, b = spd(5, 10.0)

    def callback(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        hc.cg(aslinearoperator(a), b, callback=callback)


def test_martens_stop_is_earlier_than_the_residual():
    a, b = spd(60, 1e4)
    _, strict = hc.cg(aslinearoperator(a), b, rtol=1e-12)
    _, loose = hc.cg(aslinearoperator(a), b, rtol=1e-3, stop="martens")
    assert loose.iterations < strict.iterations


def test_float32():
    a, b = spd(12, 50.0)
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    x, report = hc.cg(aslinearoperator(a32), b32, rtol=1e-5)
    assert x.dtype == np.float32 and report.status == "converged"
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-3, atol=1e-4)
