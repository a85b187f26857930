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
         diagonal=None, power=1.0, moment="square"):  # fmt: skip
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
        m_hat, u_hat = m / (1 - beta1 ** (t + 1)), u / (1 - beta2 ** (t + 1))
        w = w - rate * m_hat / (u_hat ** (power if moment == "abs" else power / 2) + eps)
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


@pytest.mark.parametrize("method", ["adahesscale", "adahesscale_gn"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"power": 0.5},
        {"moment": "abs"},
        {"moment": "abs", "power": 0.5, "eps": 1e-3},
        {"beta1": 0.5, "beta2": 0.8},
    ],
    ids=str,
)
def test_adahesscale(problem, method, options):
    f, w, x, y = problem
    diagonal = method.replace("ada", "")
    expected = adam(f, w, x, y, 0.02, diagonal=diagonal, **options)
    opt = hc.Optimizer(f, method, lr=0.02, **options)
    np.testing.assert_allclose(trajectory(opt, w.copy(), x, y), expected, rtol=1e-10, atol=1e-12)


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
