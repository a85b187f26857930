"""Krylov solvers on the device give what they give on the host."""

from __future__ import annotations

import cupy
import numpy as np
import pytest
from device import close, make, to_device

import hesscore as hc


@pytest.fixture
def both():
    f, args = make("float64")
    point = args["w"], args["x"], args["y"]
    return f.hessian(*point), f.hessian(*to_device(point)), args["v"]


@pytest.mark.parametrize("reorthogonalise", [True, False])
def test_lanczos(both, reorthogonalise):
    A, B, v = both
    starts = np.stack([v, v[::-1].copy()])
    for start in (v, starts):
        host = hc.lanczos(A, 6, v0=start, reorthogonalise=reorthogonalise)
        here = hc.lanczos(B, 6, v0=to_device(start), reorthogonalise=reorthogonalise)
        assert isinstance(here.basis, cupy.ndarray) and isinstance(here.alpha, np.ndarray)
        np.testing.assert_allclose(here.alpha, host.alpha, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(here.beta, host.beta, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(here.basis.get(), host.basis, atol=1e-7)
    assert hc.lanczos(B, 3, seed=2).basis.shape == (4, len(v))


def test_lanczos_meets_an_invariant_subspace():
    a = to_device(np.diag(np.r_[np.full(20, 2.0), np.full(20, -1.0), 4.0]))
    starts = to_device(np.stack([np.ones(41), np.eye(41)[0]]))
    found = hc.lanczos(a, 36, v0=starts)
    assert found.lengths.tolist() == [3, 1]
    np.testing.assert_allclose(found.ritz()[0][0, :3], [-1, 2, 4], atol=1e-12)


@pytest.mark.parametrize("which", ["LA", "SA", "BE"])
def test_eigsh(both, which):
    A, B, _ = both
    values, vectors, report = hc.eigsh(A, 3, which)
    got, here, told = hc.eigsh(B, 3, which)
    assert isinstance(here, cupy.ndarray) and told.converged and report.converged
    np.testing.assert_allclose(got, values, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(np.abs(here.get()), np.abs(vectors), atol=1e-5)


def test_linear_systems(both):
    A, B, v = both
    one = hc.identity(len(v))
    b = np.stack([v, np.ones_like(v), np.zeros_like(v)])
    x, _ = hc.minres(A, b[0], rtol=1e-9, maxiter=8)
    y, report = hc.minres(B, to_device(b[0]), rtol=1e-9, maxiter=8)
    assert len(report.history) == report.iterations + 1
    np.testing.assert_allclose((B @ y).get(), A @ x, rtol=1e-6, atol=1e-8)
    for solver, shift in ((hc.cg, 9.0), (hc.minres, 9.0)):
        m = 1 / (A.diagonal() + shift)
        x, reports = solver(A + shift * one, b, rtol=1e-10, M=m)
        y, told = solver(B + shift * one, to_device(b), rtol=1e-10, M=to_device(m))
        assert [r.status for r in told] == [r.status for r in reports] == ["converged"] * 3
        close(y, x)
        for got, expected in zip(told, reports, strict=True):
            assert abs(got.iterations - expected.iterations) <= 1
    x, _ = hc.cg(A, v, shifts=[9.0, 20.0, 11.0], rtol=1e-10)
    y, told = hc.cg(B, to_device(v), shifts=[9.0, 20.0, 11.0], rtol=1e-10)
    close(y, x)
    assert len(told) == 3


def test_lsmr():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 12)), rng.normal(size=30)
    x, report = hc.lsmr(a, b, damp=0.5, rtol=1e-11)
    y, told = hc.lsmr(to_device(a), to_device(b), damp=0.5, rtol=1e-11)
    assert isinstance(y, cupy.ndarray) and told.status == report.status
    close(y, x)


@pytest.mark.parametrize("method", ["gltr", "steihaug"])
@pytest.mark.parametrize("radius", [0.1, 100.0])
def test_trust_region(both, method, radius):
    A, B, v = both
    _, report = hc.trust_region(A, v, radius, method=method)
    t, told = hc.trust_region(B, to_device(v), radius, method=method)
    assert isinstance(t, cupy.ndarray) and told.on_boundary == report.on_boundary
    assert told.decrease == pytest.approx(report.decrease, rel=1e-7)


@pytest.mark.parametrize("shift", [0.5, -9.0])
@pytest.mark.parametrize("M", [None, lambda r: 0.5 * r])
def test_operators_that_the_device_does_not_iterate_by_itself(shift, M):
    f, args = make("float64")
    w, x, y, v = (args[name] for name in "wxyv")
    one = hc.identity(len(v))
    A = f.ggn(w, [x[:2], x[2:]], [y[:2], y[2:]]) + shift * one
    data = [[to_device(part) for part in (a[:2], a[2:])] for a in (x, y)]
    B = f.ggn(to_device(w), *data) + shift * one
    for start in (None, 0.1 * v):
        expected, report = hc.cg(A, v, start, rtol=1e-9, M=M)
        got, told = hc.cg(B, to_device(v), to_device(start), rtol=1e-9, M=M)
        close(got, expected)
        assert told.status == report.status == ("converged" if shift > 0 else "negative_curvature")
        np.testing.assert_allclose(told.history, report.history, rtol=1e-6, atol=1e-9)
