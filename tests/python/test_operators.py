"""Curvature operators: equal to dense matrices, and good citizens of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg as sla

import hesscore as hc
import problems
from oracle import Reference, random_graph
from oracle.build import objective
from oracle.compare import relative_error


def problem(seed):
    spec = random_graph(seed)
    reference = Reference(spec)
    data = reference.data
    x = data.x if len(data.x) > 1 else data.x["x"]
    kw = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    return objective(spec), (data.w, x, data.y), kw, reference


@pytest.mark.parametrize("seed", range(40_000, 40_040))
def test_operator_equals_the_dense_matrix(seed):
    f, point, kw, reference = problem(seed)
    n = f.num_params
    v = np.random.default_rng(seed).normal(size=(n, 4))
    scale = float(np.abs(reference.hessian).sum())
    for make, exact in ((f.hessian, reference.hessian), (f.ggn, reference.ggn)):
        a = make(*point, **kw)
        assert a.shape == (n, n) and a.dtype == np.float64
        assert relative_error(a.matvec(v[:, 0]), exact @ v[:, 0], scale) <= 1e-10
        assert relative_error(a @ v, exact @ v, scale) <= 1e-10
        assert relative_error(a.dense(), exact, scale) <= 1e-10


@pytest.mark.parametrize("seed", range(40_000, 40_020))
def test_symmetry_and_definiteness(seed):
    f, point, kw, _ = problem(seed)
    h, g = f.hessian(*point, **kw).dense(), f.ggn(*point, **kw).dense()
    size = max(np.abs(h).max(), np.abs(g).max(), 1e-3)
    assert np.abs(h - h.T).max() <= 1e-12 * size
    assert np.abs(g - g.T).max() <= 1e-12 * size
    if random_graph(seed).loss["name"] != "GaussianNLLLoss":
        assert np.linalg.eigvalsh((g + g.T) / 2)[0] >= -1e-12 * size * len(g)


@pytest.fixture(scope="module")
def small():
    f = problems.mlp(4, 6, 3)
    return f, problems.batch(f, 12, 4, classes=3)


def test_products_agree_with_the_operator(small):
    f, point = small
    v = np.random.default_rng(0).normal(size=(3, f.num_params))
    np.testing.assert_array_equal(f.hessian(*point).matmat(v.T).T, f.hvp(*point, v))
    np.testing.assert_array_equal(f.ggn(*point).matvec(v[0]), f.ggnvp(*point, v[0]))
    fisher = f.fisher(*point, kind="empirical")
    np.testing.assert_array_equal(fisher @ v[0], f.fishervp(*point, v[0], kind="empirical"))


def test_operators_compose(small):
    f, point = small
    n = f.num_params
    h, g = f.hessian(*point), f.ggn(*point)
    v = np.random.default_rng(1).normal(size=n)
    dense = 2.0 * h.dense() - g.dense() + 0.5 * np.eye(n)
    combined = 2.0 * h - g + 0.5 * hc.identity(n)
    np.testing.assert_allclose(combined @ v, dense @ v, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose((h * 3.0) @ v, 3 * (h @ v), rtol=1e-13)


def test_operators_serve_scipy(small):
    f, point = small
    n = f.num_params
    g = f.ggn(*point)
    assert isinstance(g, sla.LinearOperator)
    exact = g.dense()
    damped = g + 0.1 * hc.identity(n)
    b = np.random.default_rng(2).normal(size=n)
    x, code = sla.cg(damped, b, rtol=1e-12)
    assert code == 0
    np.testing.assert_allclose(x, np.linalg.solve(exact + 0.1 * np.eye(n), b), rtol=1e-7)
    top = sla.eigsh(f.hessian(*point), k=2, which="LA", return_eigenvectors=False)
    all_values = np.linalg.eigvalsh(f.hessian(*point).dense())
    np.testing.assert_allclose(np.sort(top), all_values[-2:], rtol=1e-8)


def test_diagonals(small):
    f, point = small
    h, g = f.hessian(*point), f.ggn(*point)
    np.testing.assert_allclose(h.diagonal(), np.diag(h.dense()), rtol=1e-12)
    np.testing.assert_allclose(g.diagonal(), np.diag(g.dense()), rtol=1e-10)
    np.testing.assert_allclose(g.diagonal("ggn"), np.diag(g.dense()), rtol=1e-10)
    np.testing.assert_array_equal(h.diagonal("hesscale"), f.diag(*point, kind="hesscale"))


def test_quadratic_forms(small):
    f, point = small
    v = np.random.default_rng(3).normal(size=f.num_params)
    h, g = (v @ (make(*point) @ v) for make in (f.hessian, f.ggn))
    assert f.quadratic_form(*point, v) == pytest.approx(h, rel=1e-12)
    assert f.quadratic_form(*point, v, kind="ggn") == pytest.approx(g, rel=1e-12)
    assert f.quadratic_form(*point, v, kind="gap") == pytest.approx(h - g, rel=1e-9)


def test_operator_keeps_its_point(small):
    f, (w, x, y) = small
    w, x = w.copy(), x.copy()
    h = f.hessian(w, x, y)
    v = np.ones_like(w)
    before = h @ v
    w += 1.0
    x *= 2.0
    np.testing.assert_array_equal(h @ v, before)
