"""Jacobians, compositions and inverses of operators, against dense algebra and in SciPy."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import scipy.sparse.linalg as sla

import hesscore as hc
import problems
from oracle.compare import relative_error
from test_operators import problem


@pytest.mark.parametrize("seed", range(42_000, 42_030))
def test_the_jacobian_equals_the_dense_matrix(seed):
    f, (w, x, _), _, reference = problem(seed)
    exact = reference.jacobian.reshape(-1, f.num_params)
    J = f.jacobian(w, x)
    rng = np.random.default_rng(seed)
    v, u = rng.normal(size=(f.num_params, 19)), rng.normal(size=(len(exact), 19))
    scale = float(np.abs(exact).sum())
    assert J.shape == exact.shape and J.dtype == np.float64
    for got, expected in (
        (J.matvec(v[:, 0]), exact @ v[:, 0]), (J @ v[:, :1], exact @ v[:, :1]),
        (J @ v, exact @ v), (J.rmatvec(u[:, 0]), exact.T @ u[:, 0]), (J.T @ u, exact.T @ u),
        (J.rmatmat(u), exact.T @ u), (J.H @ u[:, 0], exact.T @ u[:, 0]),
        (J.dense(), exact), (J.T.dense(), exact.T),
    ):  # fmt: skip
        assert relative_error(got, expected, scale) <= 1e-10
    gram = J.T @ J
    assert gram.is_symmetric and not J.is_symmetric
    assert relative_error(gram.dense(), exact.T @ exact, scale**2) <= 1e-10
    assert relative_error((J @ J.T).dense(), exact @ exact.T, scale**2) <= 1e-10


def test_jacobians_of_convolutions_follow_predict():
    net = hc.Sequential(hc.Conv2d(2, 3, 3, padding=1), hc.Tanh(), hc.Conv2d(3, 2, 1))
    f = hc.Objective(net, hc.MSELoss(), input_shape=(2, 4, 5))
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=f.num_params) * 0.3, rng.normal(size=(3, 2, 4, 5))
    J, v = f.jacobian(w, x), rng.normal(size=f.num_params)
    h = 1e-6
    difference = (f.predict(w + h * v, x) - f.predict(w - h * v, x)) / (2 * h)
    np.testing.assert_allclose(J @ v, difference.ravel(), atol=1e-8)
    np.testing.assert_array_equal(J @ v, f.jvp(w, x, v).ravel())


@pytest.fixture(scope="module")
def parts():
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 12, 4, classes=3)
    return f, f.hessian(w, x, y), f.ggn(w, x, y), f.jacobian(w, x)


def test_compositions_stay_in_the_engine(parts):
    f, H, G, J = parts
    n = f.num_params
    one, eye = hc.identity(n), np.eye(n)
    h, g, j = H.dense(), G.dense(), J.dense()
    rng = np.random.default_rng(0)
    for got, expected, symmetric in (
        (H + G, h + g, True), (H - G, h - g, True), (2.0 * H - G * 0.5, 2 * h - g / 2, True),
        (H + 0.3 * one, h + 0.3 * eye, True), (0.3 * one - H, 0.3 * eye - h, True),
        (one + H, h + eye, True), (-H, -h, True), (H + H, 2 * h, True), (H @ G, h @ g, False),
        (H * G, h @ g, False), (H @ G - G @ H, h @ g - g @ h, False), ((H @ G).T, g @ h, False),
        (J @ H, j @ h, False), (H @ J.T, h @ j.T, False), (J @ H @ J.T, j @ h @ j.T, False),
        (J.T @ J + 0.1 * one, j.T @ j + 0.1 * eye, True), (3.0 * J - J, 2 * j, False),
        (H @ G + 0.5 * one, h @ g + eye / 2, False), (one @ H, h, True),
        (H @ (2 * one), 2 * h, True), (H.dot(G), h @ g, False),
        (H.dot(2.0), 2 * h, True), ((one + one) @ G, 2 * g, True),
    ):  # fmt: skip
        assert got.shape == expected.shape and hasattr(got, "_core")
        assert got.is_symmetric == symmetric
        np.testing.assert_allclose(got.dense(), expected, rtol=1e-11, atol=1e-13)
        v = rng.normal(size=(expected.shape[1], 2))
        u = rng.normal(size=(expected.shape[0], 2))
        np.testing.assert_allclose(got @ v, expected @ v, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(got.T @ u, expected.T @ u, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(got.diagonal(), np.diag(expected), rtol=1e-11, atol=1e-13)


def test_compositions_keep_their_parts(parts):
    f, H, _, J = parts
    v = np.ones(f.num_params)
    expected = (J.T @ (J @ v)) + 2 * (H @ v) + v
    w, x, y = problems.batch(f, 12, 4, classes=3)

    def make():
        A, K = f.hessian(w, x, y), f.jacobian(w, x)
        return 2.0 * A.block(None) + K.T @ K + hc.identity(f.num_params)

    B = make()
    gc.collect()
    np.testing.assert_allclose(B @ v, expected, rtol=1e-12)


def test_compositions_with_others_are_scipys(parts):
    f, H, _, _ = parts
    n = f.num_params
    other = sla.aslinearoperator(np.diag(np.arange(n, dtype=float)))
    h, o = H.dense(), np.diag(np.arange(n, dtype=float))
    v = np.linspace(-1, 1, n)
    for got, expected in (
        (H + other, h + o), (H - other, h - o), (other + H, h + o), (H @ other, h @ o),
        (other @ H, o @ h), (H**2, h @ h), (H * other, h @ o), ((1 + 2j) * H, (1 + 2j) * h),
    ):  # fmt: skip
        np.testing.assert_allclose(got @ v, expected @ v, rtol=1e-11, atol=1e-11)


def test_scipy_solvers(parts):
    f, H, G, J = parts
    n = f.num_params
    j = J.dense()
    b = np.random.default_rng(3).normal(size=J.shape[0])
    np.testing.assert_allclose(
        sla.lsmr(J, b, damp=0.1, atol=1e-12, btol=1e-12, maxiter=500)[0],
        np.linalg.solve(j.T @ j + 0.01 * np.eye(n), j.T @ b), atol=1e-7,
    )  # fmt: skip
    values = sla.svds(J, k=3, return_singular_vectors=False)
    np.testing.assert_allclose(np.sort(values), np.linalg.svd(j)[1][2::-1], rtol=1e-8)
    damped = G + 0.1 * hc.identity(n)
    x, code = sla.minres(H + 5.0 * hc.identity(n), np.ones(n), rtol=1e-12)
    assert code == 0
    np.testing.assert_allclose(x, np.linalg.solve(H.dense() + 5 * np.eye(n), np.ones(n)), atol=1e-8)
    small = sla.eigsh(damped, k=2, sigma=0.05, OPinv=(damped - 0.05 * hc.identity(n)).inverse(
        rtol=1e-12), return_eigenvectors=False)  # fmt: skip
    np.testing.assert_allclose(small, 0.1, atol=1e-6)
    estimate = sla.onenormest(H)
    assert 0 < estimate <= np.abs(H.dense()).sum(axis=0).max() * (1 + 1e-12)


def test_inverses(parts):
    f, H, G, _ = parts
    n = f.num_params
    exact = np.linalg.inv(G.dense() + 0.2 * np.eye(n))
    v = np.random.default_rng(0).normal(size=(n, 3))
    diagonal = 1 / (G.diagonal() + 0.2)
    M = sla.aslinearoperator(np.diag(diagonal))
    rough = G.inverse(0.5, rtol=1e-8)
    for options in ({}, {"M": diagonal}, {"M": M}, {"M": lambda r: diagonal * r}, {"M": rough}):
        A = G.inverse(damping=0.2, rtol=1e-12, **options)
        assert A.is_symmetric and A.shape == (n, n)
        np.testing.assert_allclose(A @ v, exact @ v, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(A @ v[:, 0], exact @ v[:, 0], rtol=1e-8, atol=1e-9)
    eye = np.eye(n)
    indefinite = np.linalg.inv(H.dense() - 0.03 * eye)
    A = H.inverse(-0.03, "minres", rtol=1e-13, maxiter=40 * n)
    np.testing.assert_allclose(A @ v, indefinite @ v, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(A @ v[:, 0], indefinite @ v[:, 0], rtol=1e-6, atol=1e-6)
    many = np.random.default_rng(1).normal(size=(n, 33))
    A = G.inverse(damping=0.2, rtol=1e-12)
    np.testing.assert_allclose(A @ many, exact @ many, rtol=1e-8, atol=1e-9)
    block = G.block("0").inverse(0.2, rtol=1e-12)
    k = block.shape[0]
    np.testing.assert_allclose(
        block.dense(), np.linalg.inv(G.dense()[:k, :k] + 0.2 * np.eye(k)), rtol=1e-8, atol=1e-9
    )
    np.testing.assert_array_equal(A @ np.zeros(n), np.zeros(n))


def test_solves_that_fail_say_so(parts):
    f, H, G, J = parts
    v = np.ones(f.num_params)
    with pytest.raises(hc.ConvergenceError, match="is above the tolerance") as caught:
        G.inverse(1e-6, rtol=1e-14, maxiter=2) @ v
    assert caught.value.report.status == "max_iterations" and caught.value.report.iterations == 2
    assert len(caught.value.report.history) == 3 and isinstance(caught.value, ArithmeticError)
    indefinite = H - 50.0 * hc.identity(f.num_params)
    with pytest.raises(hc.ConvergenceError, match="not positive definite"):
        indefinite.inverse() @ v
    solver = (H + G).inverse(5.0)
    with pytest.raises(hc.ConvergenceError):
        hc.cg(G + hc.identity(f.num_params), v, M=indefinite.inverse())
    assert np.isfinite(solver @ v).all()
    for options, error, message in (
        ({"method": "gmres"}, hc.OptionError, "method: expected one of cg, minres"),
        ({"damping": np.nan}, hc.OptionError, "damping: "),
        ({"rtol": -1}, hc.OptionError, "rtol: "), ({"maxiter": 0}, hc.OptionError, "maxiter: "),
        ({"M": "x"}, hc.DTypeError, "M: expected"),
        ({"M": np.ones((2, 2))}, hc.ShapeError, "M: expected"),
        ({"M": np.ones(f.num_params, "float32")}, hc.DTypeError, "preconditioner: expected"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            G.inverse(**options) @ v
    with pytest.raises(hc.DTypeError, match="A: expected a symmetric operator"):
        J.inverse()


def test_operators_that_do_not_fit(parts):
    f, H, _, J = parts
    w, x, y = problems.batch(f, 12, 4, classes=3, dtype="float32")
    single = f.hessian(w, x, y)
    with pytest.raises(hc.DTypeError, match="operators: expected float64, as the first one"):
        H + single
    with pytest.raises(hc.DTypeError, match="operators: expected float32"):
        single @ H
    with pytest.raises(hc.ShapeError, match="operators: expected"):
        J + H
    with pytest.raises(hc.ShapeError, match="operators: expected a second one with"):
        H @ J
    for bad in (np.ones(3), np.ones((3, 2))):
        with pytest.raises(hc.ShapeError):
            J.T @ bad
    with pytest.raises(hc.DTypeError, match="v: expected float64"):
        H @ np.ones(f.num_params, "float32")
    with pytest.raises(hc.NonFiniteError, match="v: "):
        (H @ H) @ np.full(f.num_params, np.nan)
    with pytest.raises(hc.ShapeError, match=r"operators: expected \(51, 51\)"):
        H + hc.identity(3)


def test_operators_that_know_themselves_are_collected():
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 12, 4, classes=3)
    before = sum(type(o).__name__ == "CurvatureOperator" for o in gc.get_objects())

    def knows_itself():
        known = []
        A = f.ggn(w, lambda: iter([(x, y)] if known is not None else known))
        known.append(A)
        A @ w

    knows_itself()
    gc.collect()
    after = sum(type(o).__name__ == "CurvatureOperator" for o in gc.get_objects())
    assert after == before
