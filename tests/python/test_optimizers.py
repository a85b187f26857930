"""Optimizers against their formulas in NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import hesscore as hc
import problems
from optimizers import parts, trajectory


@pytest.fixture
def problem():
    f = problems.mlp(5, 8, 4)
    return f, *problems.batch(f, 20, 5, classes=4)


def sgd(f, w, x, y, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    m = None
    for t, (xb, yb) in enumerate(parts(x, y)):
        g = f.value_and_grad(w, xb, yb)[1] + weight_decay * w
        m = g if m is None else momentum * m + g
        step = g + momentum * m if nesterov else m
        w = w - (lr(t) if callable(lr) else lr) * step
    return w


def adam(f, w, x, y, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=False,
         diagonal=None, power=1.0, moment="square", frozen=False, delta=0.0,
         max_scale=1.0):  # fmt: skip
    m = u = np.zeros_like(w)
    for t, (xb, yb) in enumerate(parts(x, y)):
        rate = lr(t) if callable(lr) else lr
        g = f.value_and_grad(w, xb, yb)[1]
        d = g if diagonal is None else f.diag(w, xb, yb, kind=diagonal)
        if decoupled:
            w = w - rate * weight_decay * w
        else:
            d = d + weight_decay * w if diagonal is None else d
            g = g + weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        u = beta2 * u + (1 - beta2) * (np.abs(d) if moment == "abs" else d**2)
        age = 1 if frozen else t + 1
        m_hat, u_hat = m / (1 - beta1**age), u / (1 - beta2**age)
        step = m_hat / (u_hat ** (power if moment == "abs" else power / 2) + eps)
        if delta > 0:
            h = u if moment == "abs" else np.sqrt(u)
            rate *= min(max_scale, np.sqrt(2 * delta / (h @ step**2)))
        w = w - rate * step
    return w


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.1, "weight_decay": 0.01},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02},
        {"lr": lambda step: 0.1 / (1 + step), "momentum": 0.9},
    ],
    ids=["plain", "decay", "momentum", "nesterov", "schedule"],
)
def test_sgd(problem, options):
    f, w, x, y = problem
    expected = sgd(f, w, x, y, **options)
    got = trajectory(hc.Optimizer(f, "sgd", **options), w.copy(), x, y)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.02},
        {"lr": 0.02, "beta1": 0.7, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.05},
        {"lr": lambda step: 0.02 * 0.9**step},
    ],
    ids=["plain", "all", "schedule"],
)
def test_adam(problem, options):
    f, w, x, y = problem
    expected = adam(f, w, x, y, **options)
    got = trajectory(hc.Optimizer(f, "adam", **options), w.copy(), x, y)
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-13)


def test_adamw(problem):
    f, w, x, y = problem
    expected = adam(f, w, x, y, 0.02, weight_decay=0.3, decoupled=True)
    opt = hc.Optimizer(f, "adamw", lr=0.02, weight_decay=0.3)
    np.testing.assert_allclose(trajectory(opt, w.copy(), x, y), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("method", ["adahesscale", "adahesscale_gn", "bl89"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"power": 0.5},
        {"moment": "abs"},
        {"moment": "abs", "power": 0.5, "eps": 1e-3},
        {"beta1": 0.5, "beta2": 0.8},
        {"delta": 1e-4},
        {"delta": 1e-3, "max_scale": 0.1, "moment": "abs"},
        {"delta": 1e-5, "power": 0.5, "weight_decay": 0.1},
    ],
    ids=str,
)
def test_adahesscale(problem, method, options):
    f, w, x, y = problem
    diagonal = method.replace("ada", "")
    expected = adam(f, w, x, y, 0.02, diagonal=diagonal, **options)
    opt = hc.Optimizer(f, method, lr=0.02, **options)
    np.testing.assert_allclose(trajectory(opt, w.copy(), x, y), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("diagonal", ["ggn", "hesscale"])
@pytest.mark.parametrize("bias_correction", ["standard", "frozen"])
def test_chainrule_adam(problem, diagonal, bias_correction):
    f, w, x, y = problem
    frozen = bias_correction == "frozen"
    expected = adam(f, w, x, y, 0.02, eps=1e-4, diagonal=diagonal, frozen=frozen)
    opt = hc.Optimizer(f, "chainrule_adam", lr=0.02, diag=diagonal, bias_correction=bias_correction)
    np.testing.assert_allclose(trajectory(opt, w.copy(), x, y), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("diagonal", "other"), [("ggn_mc", "sophia_g"), ("hutchinson", "sophia_h")]
)
def test_chainrule_adam_draws_as_sophia_does(problem, diagonal, other):
    """After one step u = (1 - beta2) d^2, and h of Sophia, whose draws are unbiased, is that d."""
    f, w, x, y = problem
    opt = hc.Optimizer(f, "chainrule_adam", beta2=0.75, diag=diagonal, seed=3)
    sophia = hc.Optimizer(f, other, beta2=0.75, seed=3)
    for method in (opt, sophia):
        method.step(w.copy(), x, y)
    u, h = opt.state_dict()["u"], sophia.state_dict()["h"]
    np.testing.assert_allclose(u / 0.25, (h / 0.25) ** 2, rtol=1e-12)


@pytest.mark.parametrize("method", ["sophia_g", "sophia_h"])
def test_sophia_clips_each_element(problem, method):
    """The steps, from the mean curvatures that the state holds, which change every third step."""
    f, w, x, y = problem
    options = {"lr": 0.05, "beta1": 0.8, "gamma": 0.5, "weight_decay": 0.3, "eps": 1e-3}
    opt = hc.Optimizer(f, method, interval=3, **options)
    expected, m, h, clipped = w.copy(), np.zeros_like(w), np.zeros_like(w), 0
    for t, (xb, yb) in enumerate(parts(x, y)):
        m = 0.8 * m + 0.2 * f.value_and_grad(expected, xb, yb)[1]
        opt.step(w, xb, yb)
        before, h = h, opt.state_dict()["h"]
        assert (before != h).any() == (t % 3 == 0)
        ratio = m / np.maximum(0.5 * h, 1e-3)
        clipped += (np.abs(ratio) > 1).sum()
        expected = (1 - 0.05 * 0.3) * expected - 0.05 * np.clip(ratio, -1, 1)
        np.testing.assert_allclose(w, expected, rtol=1e-11, atol=1e-13)
    assert 0 < clipped < 8 * len(w)


@pytest.mark.parametrize("method", ["sophia_g", "sophia_h"])
def test_the_curvature_of_sophia_is_unbiased(problem, method):
    f, w, x, y = problem
    h = f.ggn(w, x, y).diagonal() if method == "sophia_g" else f.hessian(w, x, y).diagonal()
    draws = []
    for seed in range(400):
        opt = hc.Optimizer(f, method, beta2=0.75, seed=seed)
        opt.step(w.copy(), x, y)
        draws.append(opt.state_dict()["h"] / 0.25)
    draws = np.array(draws)
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - h) <= 5 * error + 1e-12).all()


def test_adahessian_uses_fresh_rademacher_products(problem):
    """After one step u = (1 - beta2) d^2, and E[(z * Hz)_i^2] = sum_j H_ij^2."""
    f, w, x, y = problem
    h = f.hessian(w, x, y).dense()
    draws = []
    for seed in range(400):
        opt = hc.Optimizer(f, "adahessian", beta2=0.75, seed=seed)
        opt.step(w.copy(), x, y)
        draws.append(opt.state_dict()["u"] / 0.25)
    draws, theory = np.array(draws), (h**2).sum(1)
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - theory) <= 5 * error + 1e-12).all()


def test_gauss_newton_is_the_dense_solution(problem):
    f, w, x, y = problem
    expected = w.copy()
    for _ in range(3):
        g = f.value_and_grad(expected, x, y)[1]
        a = f.ggn(expected, x, y).dense() + 0.7 * np.eye(len(w))
        expected = expected - np.linalg.solve(a, g)
    opt = hc.Optimizer(f, "gauss_newton", lr=1.0, damping=0.7, damping_rule="constant",
                       cg_iterations=500, cg_rtol=1e-13, martens_stop=False)  # fmt: skip
    got = w.copy()
    for _ in range(3):
        info = opt.step(got, x, y)
        assert info.accepted and info.damping == 0.7 and info.iterations > 0
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("preconditioner", ["none", "hesscale", "empirical_fisher"])
def test_gauss_newton_adapts_its_damping(problem, preconditioner):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "gauss_newton", damping=1.0, preconditioner=preconditioner)
    infos = [opt.step(w, x, y) for _ in range(15)]
    assert infos[-1].loss < 0.5 * infos[0].loss
    for a, b in pairwise(infos):
        factor = 2 / 3 if a.rho > 0.75 else 1.5 if a.rho < 0.25 else 1.0
        assert b.damping == pytest.approx(a.damping * factor, rel=1e-12)
        assert not a.accepted or b.loss <= a.loss
