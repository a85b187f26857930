"""Newton, Hessian-free, trust region and L-BFGS against dense linear algebra in float64."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems


@pytest.fixture
def problem():
    f = problems.mlp(5, 8, 4)
    return f, *problems.batch(f, 20, 5, classes=4)


def inverse(values, form):
    size = np.abs(values)
    kept = size > len(values) * np.finfo(float).eps * size.max()
    kept &= (values > 0) | (form != "truncated")
    chosen = values if form == "plain" else size
    return np.divide(1.0, chosen, where=kept, out=np.zeros_like(values))


@pytest.mark.parametrize("form", ["absolute", "truncated", "plain"])
@pytest.mark.parametrize("damping", [0.0, 0.05, 3.0])
def test_newton(problem, form, damping):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "newton", lr=0.2, damping=damping, indefinite=form)
    for _ in range(3):
        g = f.value_and_grad(w, x, y)[1]
        values, vectors = np.linalg.eigh(f.hessian(w, x, y).dense() + damping * np.eye(len(w)))
        step = vectors @ (inverse(values, form) * (vectors.T @ g))
        expected = w - 0.2 * step
        info = opt.step(w, x, y)
        scale = np.abs(0.2 * step).max() + 1
        np.testing.assert_allclose(w, expected, rtol=0, atol=1e-7 * scale)
        assert info.damping == damping
        # values that rounding alone tells from zero may be on either side
        sure = np.abs(values) > 1e-12 * np.abs(values).max()
        assert info.negative_eigenvalues >= (values[sure] < 0).sum()
        assert (info.negative_eigenvalues == 0) or (values.min() <= 1e-12)


def test_newton_refuses_matrices_beyond_all_bounds():
    with pytest.raises(hc.OptionError, match="20000 parameters"):
        hc.Optimizer(hc.Objective(hc.Linear(300, 100), hc.MSELoss()), "newton")


@pytest.mark.parametrize("product", ["hessian", "ggn"])
def test_hessian_free_is_the_dense_solution(problem, product):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "hessian_free", lr=1.0, damping=2.0, damping_rule="constant",
                       product=product, cg_iterations=500, cg_rtol=1e-13,
                       martens_stop=False)  # fmt: skip
    for _ in range(3):
        g = f.value_and_grad(w, x, y)[1]
        a = getattr(f, product)(w, x, y).dense() + 2.0 * np.eye(len(w))
        assert np.linalg.eigvalsh(a).min() > 0
        expected = w - np.linalg.solve(a, g)
        assert opt.step(w, x, y).accepted
        np.testing.assert_allclose(w, expected, rtol=1e-7, atol=1e-9)


def test_hessian_free_descends_where_the_hessian_is_indefinite(problem):
    f, w, x, y = problem
    assert np.linalg.eigvalsh(f.hessian(w, x, y).dense()).min() < -1e-3
    opt = hc.Optimizer(f, "hessian_free", damping=1e-3)
    losses = [opt.step(w, x, y).loss for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0] and (np.diff(losses) <= 1e-12).all()


def dense_trust_region(h, g, radius):
    """The shortest minimum of g's + s'Hs/2 within the radius, by bisection for the multiplier."""
    values, vectors = np.linalg.eigh(h)
    c = vectors.T @ g
    if values[0] > -1e-10 * values[-1]:  # g has no part where h is zero
        flat = values < 1e-10 * values[-1]
        values, c = np.where(flat, 1.0, values), np.where(flat, 0.0, c)

    def length(shift):
        return np.linalg.norm(c / (values + shift))

    if values[0] > 0 and length(0) <= radius:
        return -vectors @ (c / values)
    low, high = max(0.0, -values[0]), max(0.0, -values[0]) + np.linalg.norm(g) / radius + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) > radius else (low, middle)
    return -vectors @ (c / (values + high))


@pytest.mark.parametrize("product", ["hessian", "ggn"])
def test_trust_region(problem, product):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "trust_region", radius=0.3, product=product, iterations=len(w),
                       rtol=1e-12)  # fmt: skip
    radius, seen = 0.3, set()
    for _ in range(12):
        loss, g = f.value_and_grad(w, x, y)
        h = getattr(f, product)(w, x, y).dense()
        s = dense_trust_region(h, g, radius)
        rho = (loss - f.loss(w + s, x, y)) / -(g @ s + s @ h @ s / 2)
        before = w.copy()
        info = opt.step(w, x, y)
        assert info.radius == pytest.approx(radius, rel=1e-6)
        assert info.rho == pytest.approx(rho, rel=1e-5, abs=1e-5)
        assert info.accepted == (rho > 1e-4)
        np.testing.assert_allclose(w, before + s * info.accepted, rtol=0, atol=2e-6)
        length = np.linalg.norm(s)
        if rho < 0.25:
            radius = 0.25 * length
        elif rho > 0.75 and length > 0.99 * radius:
            radius = min(2 * radius, 1e3)
        seen.add((rho < 0.25, length > 0.99 * radius))
    assert len(seen) > 1


def bfgs_inverse(pairs, n):
    """The dense inverse that the pairs, oldest first, make of a multiple of the identity."""
    s, y = pairs[-1]
    h = (s @ y) / (y @ y) * np.eye(n)
    for s, y in pairs:
        rho = 1 / (s @ y)
        v = np.eye(n) - rho * np.outer(y, s)
        h = v.T @ h @ v + rho * np.outer(s, s)
    return h


def test_lbfgs_steps_along_the_dense_direction_to_a_wolfe_point(problem):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "lbfgs", history=4)
    pairs = []
    for _ in range(20):
        before = w.copy()
        loss, g = f.value_and_grad(w, x, y)
        d = -bfgs_inverse(pairs[-4:], len(w)) @ g if pairs else -g
        info = opt.step(w, x, y)
        assert info.accepted and info.iterations >= 1
        after, moved = f.value_and_grad(w, x, y)
        s = w - before
        t = np.linalg.norm(s) / np.linalg.norm(d)
        np.testing.assert_allclose(s, t * d, rtol=1e-6, atol=1e-9 * np.abs(s).max())
        assert after <= loss + 1e-4 * t * (g @ d)
        assert abs(moved @ d) <= 0.9 * abs(g @ d)
        pairs.append((s, moved - g))
    assert after < 0.2 * f.loss(problem[1] * 0, x, y)


def test_lbfgs_minimises_a_quadratic():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    y = x @ rng.normal(size=(6, 1))
    f = hc.Objective(hc.Linear(6, 1, bias=False), hc.MSELoss())
    w = f.init(dtype="float64")
    opt = hc.Optimizer(f, "lbfgs")
    for _ in range(15):
        opt.step(w, x, y)
    np.testing.assert_allclose(w, np.linalg.lstsq(x, y, rcond=None)[0][:, 0], rtol=1e-6, atol=1e-9)


def test_lbfgs_stays_where_its_search_fails(problem):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "lbfgs", lr=1e6, max_evaluations=1)
    before = w.copy()
    info = opt.step(w, x, y)
    assert not info.accepted and (w == before).all()


def test_lbfgs_refuses_a_state_of_another_history(problem):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "lbfgs", history=3)
    opt.step(w, x, y)
    state = opt.state_dict()
    with pytest.raises(hc.StateError):
        opt.load_state_dict({**state, "next": 7.0})
    with pytest.raises(hc.StateError):
        hc.Optimizer(f, "lbfgs", history=2).load_state_dict(state)
