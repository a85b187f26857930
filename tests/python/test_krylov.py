"""MINRES, LSMR, many right-hand sides and shifts against dense solutions and SciPy's."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from scipy.sparse.linalg import lsmr as scipy_lsmr
from scipy.sparse.linalg import minres as scipy_minres

import hesscore as hc
import problems


def symmetric(values, seed=0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    a = (q * values) @ q.T
    return (a + a.T) / 2


def away_from_zero(rng, n):
    return rng.choice([-1, 1], n) * rng.uniform(0.5, 3, n)


# ---- MINRES --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_minres_on_indefinite_systems(n, rng):
    a = symmetric(away_from_zero(rng, n))
    b = rng.normal(size=n)
    x, report = hc.minres(a, b, rtol=1e-12)
    assert report.status == "converged" and len(report.history) == report.iterations + 1
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-9, atol=1e-10)
    assert report.residual <= 1e-12 * np.linalg.norm(b)
    assert (np.diff(report.history) <= 1e-14).all()
    assert report.history[0] == pytest.approx(np.linalg.norm(b))


def test_minres_iterates_are_scipys(rng):
    a = symmetric(away_from_zero(rng, 50))
    b = rng.normal(size=50)
    ours, theirs = [], []
    hc.minres(a, b, rtol=1e-10, callback=lambda x: ours.append(x))
    scipy_minres(a, b, rtol=1e-14, callback=lambda x: theirs.append(x.copy()))
    for mine, other in zip(ours[:30], theirs[:30], strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-8)


def test_minres_history_is_the_true_residual(rng):
    a = symmetric(away_from_zero(rng, 40))
    b, x0 = rng.normal(size=(2, 40))
    seen = []
    _, report = hc.minres(a, b, x0, rtol=1e-9, callback=lambda x: seen.append(a @ x - b))
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), report.history[1:], atol=1e-9)


@pytest.mark.parametrize("as_operator", [False, True])
def test_minres_with_a_preconditioner(as_operator, rng):
    scale = np.geomspace(1, 1e3, 60)
    a = symmetric(away_from_zero(rng, 60)) * np.outer(scale, scale)
    b = rng.normal(size=60)
    m = 1 / scale**2
    M = (lambda r: m * r) if as_operator else m
    x, report = hc.minres(a, b, rtol=1e-12, M=M)
    assert report.converged and report.iterations < 70
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-7, atol=1e-9)
    assert report.history[0] == pytest.approx(np.sqrt(b @ (m * b)))
    _, bad = hc.minres(a, b, M=-m)
    assert bad.status == "breakdown" and "positive" in bad.message


def test_minres_on_singular_systems(rng):
    values = np.r_[np.zeros(20), away_from_zero(rng, 30)]
    a = symmetric(values)
    pseudo = np.linalg.pinv(a, rcond=1e-10)
    compatible = a @ rng.normal(size=50)
    x, report = hc.minres(a, compatible, rtol=1e-11)
    assert report.converged
    np.testing.assert_allclose(x, pseudo @ compatible, atol=1e-9)
    b = rng.normal(size=50)
    x, report = hc.minres(a, b, rtol=1e-9)
    assert report.status == "least_squares"
    least = np.linalg.norm(b - a @ (pseudo @ b))
    assert report.residual == pytest.approx(least, rel=1e-8)
    assert np.linalg.norm(a @ x - b) == pytest.approx(least, rel=1e-8)
    x, report = hc.minres(np.zeros((4, 4)), np.ones(4))
    assert report.status == "least_squares" and not x.any()


@pytest.mark.parametrize("solver", [hc.cg, hc.minres])
def test_rows_are_systems_of_their_own(solver, rng):
    a = symmetric(rng.uniform(0.5, 30, 40))
    b = rng.normal(size=(5, 40))
    b[1] = 0
    b[2] = a @ np.eye(40)[3]
    b[3] *= 1e-6
    start = rng.normal(size=(5, 40))
    start[4] = np.linalg.solve(a, b[4])
    x, reports = solver(a, b, start, rtol=1e-11)
    assert x.shape == (5, 40) and len(reports) == 5
    for k in range(5):
        alone, report = solver(a, b[k], start[k], rtol=1e-11)
        assert reports[k].status == "converged"
        if k != 1:
            assert abs(reports[k].iterations - report.iterations) <= 1
            np.testing.assert_allclose(x[k], alone, atol=1e-9 * max(1, np.abs(alone).max()))
        np.testing.assert_allclose(a @ x[k], b[k], atol=2e-11 * np.linalg.norm(b[k]) + 1e-13)
    assert reports[4].iterations == 0 and np.array_equal(x[4], start[4])


def test_rows_share_passes_and_are_frozen(rng):
    f = problems.mlp(4, 6, 3)
    point = problems.batch(f, 12, 4, classes=3)
    A = f.ggn(*point) + 0.05 * hc.identity(f.num_params)
    b = rng.normal(size=(3, f.num_params)).astype(A.dtype)
    x, reports = hc.cg(A, b, rtol=1e-10, M=1 / A.diagonal())
    np.testing.assert_allclose(x, np.linalg.solve(A.dense(), b.T).T, rtol=1e-6, atol=1e-8)
    seen = []
    b[0] = A @ np.ones(f.num_params, A.dtype)
    hc.cg(A, b, np.ones_like(b), rtol=1e-8, callback=lambda x: seen.append(x[0].copy()))
    assert all(np.array_equal(s, np.ones(f.num_params)) for s in seen)
    _, reports = hc.cg(np.diag([1.0, -1.0, 2.0]), np.array([[1.0, 0, 0], [1.0, 1, 1]]))
    assert [r.status for r in reports] == ["converged", "negative_curvature"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shifts(dtype, rng):
    a = symmetric(rng.uniform(0.0, 30, 60)).astype(dtype)
    b = rng.normal(size=60).astype(dtype)
    shifts = [1.0, 0.1, 100.0, 0.1, 3.0]
    rtol = 1e-5 if dtype == "float32" else 1e-11
    passes = []
    op = LinearOperator(a.shape, matvec=lambda v: passes.append(1) or a @ v, dtype=a.dtype)
    x, reports = hc.cg(op, b, shifts=shifts, rtol=rtol)
    assert x.shape == (5, 60) and x.dtype == dtype
    assert all(r.converged for r in reports)
    assert len(passes) <= reports[0].iterations + 2
    for k, shift in enumerate(shifts):
        full = a.astype(float) + shift * np.eye(60)
        np.testing.assert_allclose(x[k], np.linalg.solve(full, b), rtol=0, atol=30 * rtol)
        true = np.linalg.norm(b - full @ x[k])
        assert true == pytest.approx(reports[k].residual, abs=20 * rtol)
    one, (report,) = hc.cg(a, b, shifts=[0.5], rtol=rtol)
    np.testing.assert_allclose(one[0], hc.cg(a + np.eye(60, dtype=dtype) / 2, b, rtol=rtol)[0],
                               atol=20 * rtol)  # fmt: skip
    assert report.iterations > 0
    x, reports = hc.cg(np.diag([1.0, -3.0]), np.array([0.0, 1.0]), shifts=[5.0, 1.0])
    assert {r.status for r in reports} == {"negative_curvature"} and not x.any()


# ---- LSMR ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 15), (15, 40), (20, 20), (1, 5), (5, 1)])
@pytest.mark.parametrize("damp", [0.0, 0.7])
def test_lsmr(shape, damp, rng):
    a, b = rng.normal(size=shape), rng.normal(size=shape[0])
    x, report = hc.lsmr(a, b, damp=damp, rtol=1e-12)
    assert report.status in ("converged", "least_squares")
    full = np.vstack([a, damp * np.eye(shape[1])])
    rhs = np.r_[b, np.zeros(shape[1])]
    best = np.linalg.lstsq(full, rhs, rcond=None)[0]
    np.testing.assert_allclose(x, best, atol=1e-9)
    assert report.residual == pytest.approx(np.linalg.norm(full @ x - rhs), abs=1e-9)
    theirs = scipy_lsmr(a, b, damp=damp, atol=1e-13, btol=1e-13, maxiter=1000)[0]
    np.testing.assert_allclose(x, theirs, atol=1e-9)


def test_lsmr_iterates_are_scipys(rng):
    a, b = rng.normal(size=(60, 30)), rng.normal(size=60)
    for k in (1, 2, 5, 11):
        ours = hc.lsmr(aslinearoperator(a), b, rtol=0, maxiter=k, damp=0.3)[0]
        theirs = scipy_lsmr(a, b, damp=0.3, atol=0, btol=0, conlim=0, maxiter=k)[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-11)


def test_lsmr_on_deficient_ranks(rng):
    a = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 20))
    b = rng.normal(size=30)
    x, report = hc.lsmr(a, b, rtol=1e-10)
    assert report.status == "least_squares"
    np.testing.assert_allclose(x, np.linalg.pinv(a, rcond=1e-10) @ b, atol=1e-8)
    assert hc.lsmr(a, np.zeros(30))[1].status == "converged"
    assert not hc.lsmr(np.zeros((3, 2)), np.ones(3))[0].any()


def test_float32_scalars_are_float64(rng):
    a = symmetric(np.geomspace(1, 30, 300)).astype(np.float32)
    b = rng.normal(size=300).astype(np.float32)
    for x, report in (hc.minres(a, b, rtol=1e-4), hc.lsmr(a, b, rtol=1e-4)):
        assert x.dtype == np.float32 and report.status in ("converged", "least_squares")
        assert np.linalg.norm(a @ x - b) < 3e-3 * np.linalg.norm(b)


# ---- mistakes and bad input ----------------------------------------------------------------------


@pytest.mark.parametrize("solver", [hc.cg, hc.minres])
def test_preconditioned_inner_products_are_those_of_r_and_mr(solver, rng):
    """With r'r in place of the first r'y preconditioned iterations diverge."""
    scale = np.geomspace(1e-3, 1e3, 40)
    a = symmetric(rng.uniform(1, 2, 40)) * np.outer(scale, scale)
    b = a @ rng.normal(size=40)
    x, report = solver(a, b, rtol=1e-13, M=1 / scale**2)
    assert report.converged and report.iterations < 40
    np.testing.assert_allclose(a @ x, b, atol=1e-6 * np.abs(b).max())
    rows, (first, second) = solver(a, np.stack([b, -b]), rtol=1e-13, M=1 / scale**2)
    assert first.converged and second.converged
    np.testing.assert_allclose(rows[0], -rows[1])


def test_outcomes(rng):
    a = symmetric(np.geomspace(1e-4, 1, 50))
    b = rng.normal(size=50)
    for solver in (hc.minres, hc.lsmr):
        x, report = solver(a, b, rtol=1e-14, maxiter=3)
        assert report.status == "max_iterations" and report.iterations == 3 and x.any()
        broken = np.full((3, 3), np.nan)
        x, report = solver(broken, np.ones(3))
        assert report.status == "breakdown" and not np.isnan(x).any()
    seen = []
    _, report = hc.minres(a, b, callback=lambda x: seen.append(x) or len(seen) == 2)
    assert report.status == "stopped" and report.iterations == 2


def test_bad_input():
    eye, b = np.eye(3), np.ones(3)
    for call, error, name in (
        (lambda: hc.minres(eye, np.ones(4)), hc.ShapeError, "A"),
        (lambda: hc.minres(eye, np.ones((0, 3))), hc.ShapeError, "b"),
        (lambda: hc.minres(eye, b, rtol=-1.0), hc.OptionError, "rtol"),
        (lambda: hc.minres(eye, b * np.nan), hc.NonFiniteError, "b"),
        (lambda: hc.minres(eye, b, np.ones(4)), hc.ShapeError, "x0"),
        (lambda: hc.minres(eye, b, callback=3), hc.OptionError, "callback"),
        (lambda: hc.minres("A", b), hc.DTypeError, "A"),
        (lambda: hc.cg(eye, np.ones((2, 3)), stop="martens"), hc.OptionError, "stop"),
        (lambda: hc.cg(eye, b, shifts=[]), hc.OptionError, "shifts"),
        (lambda: hc.cg(eye, b, shifts=[np.nan]), hc.OptionError, "shifts"),
        (lambda: hc.cg(eye, b, b, shifts=[1.0]), hc.OptionError, "x0"),
        (lambda: hc.cg(eye, b, M=b, shifts=[1.0]), hc.OptionError, "M"),
        (lambda: hc.cg(eye, np.ones((2, 3)), shifts=[1.0]), hc.OptionError, "b"),
        (lambda: hc.lsmr(eye, np.ones(4)), hc.ShapeError, "b"),
        (lambda: hc.lsmr(lambda v: v, b), hc.DTypeError, "A"),
        (lambda: hc.lsmr(eye, b, damp=-1.0), hc.OptionError, "damp"),
        (lambda: hc.lsmr(eye, b.astype(int)), hc.DTypeError, "b"),
        (lambda: hc.diagonal_preconditioner(np.zeros(3)), hc.OptionError, "damping"),
    ):
        with pytest.raises(error, match=name):
            call()


@pytest.mark.parametrize(
    "solve",
    [
        lambda A, b: hc.minres(A, b, rtol=0, maxiter=10**9),
        lambda A, b: hc.cg(A, np.stack([b, b]), rtol=0, maxiter=10**9),
        lambda A, b: hc.cg(A, b, shifts=[1e-9, 1.0], rtol=0, maxiter=10**9),
        lambda A, b: hc.lsmr(A, b, rtol=0, maxiter=10**9),
    ],
)
def test_interrupts_end_solvers(solve, rng):
    f = hc.Objective(hc.Sequential(hc.Linear(50, 200), hc.Tanh(), hc.Linear(200, 10)), hc.MSELoss())
    x = rng.normal(size=(500, 50))
    w = f.init(dtype="float64")
    A = f.ggn(w, x, x[:, :10]) + 1e-3 * hc.identity(f.num_params)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        any(solve(A, w) is None for _ in range(10**6))
