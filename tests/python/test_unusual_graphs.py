"""Graphs with very many inputs, or without parameters."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

INPUTS = 100  # more than there are arrays of other kinds


@pytest.fixture
def many():
    """A layer that reads many inputs side by side, and the same layer on one wide input."""
    rng = np.random.default_rng(0)
    g = hc.Graph()
    names = [f"x{k}" for k in range(INPUTS)]
    g.output(g(hc.Linear(INPUTS, 2), g.concat(*(g.input((1,), name=n) for n in names))))
    wide = rng.normal(size=(6, INPUTS))
    y = rng.normal(size=(6, 2))
    apart = {n: np.ascontiguousarray(wide[:, k : k + 1]) for k, n in enumerate(names)}
    f, one = hc.Objective(g, hc.MSELoss()), hc.Objective(hc.Linear(INPUTS, 2), hc.MSELoss())
    return (f, apart), (one, wide), rng.normal(size=f.num_params), y


def test_many_inputs(many):
    (f, xs), (one, x), w, y = many
    kinds = ("loss", "grad", "hesscale", "ggn", "bl89", "empirical_fisher", "hessian")
    got, expected = f.evaluate(w, xs, y, kinds), one.evaluate(w, x, y, kinds)
    for kind in kinds:
        np.testing.assert_allclose(got[kind], expected[kind], rtol=1e-12, err_msg=kind)
    np.testing.assert_allclose(f.hvp(w, xs, y, w), one.hvp(w, x, y, w), rtol=1e-10)
    solutions = [
        hc.cg(p.ggn(w, inputs, y) + 0.1 * hc.identity(p.num_params), w, M=np.ones_like(w))[0]
        for p, inputs in ((f, xs), (one, x))
    ]
    np.testing.assert_allclose(*solutions, rtol=1e-6)


def test_many_inputs_of_a_run(many):
    (f, xs), (one, x), w, y = many
    v = w.copy()
    options = {"batch_size": 2, "epochs": 2, "progress": False}
    losses = hc.Optimizer(f, "adahesscale").run(w, xs, y, **options)
    expected = hc.Optimizer(one, "adahesscale").run(v, x, y, **options)
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    np.testing.assert_allclose(w, v, rtol=1e-10)


def without_parameters():
    return hc.Objective(hc.Tanh(), hc.MSELoss(), input_shape=(50,))


KINDS = ("hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc", "hutchinson", "empirical_fisher",
         "hessian")  # fmt: skip


def test_a_network_without_parameters():
    f = without_parameters()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 50)), rng.normal(size=(3, 50))
    w, v = rng.normal(size=f.num_params), rng.normal(size=f.num_params)
    zero = np.zeros_like(w)
    got = f.evaluate(w, x, y, ("loss", "grad", *KINDS))
    assert got["loss"] == pytest.approx(np.mean((np.tanh(x) - y) ** 2), rel=1e-12)
    for kind in ("grad", *KINDS):
        np.testing.assert_array_equal(got[kind], zero, err_msg=kind)
    for product in (f.hvp, f.ggnvp, f.fishervp):
        np.testing.assert_array_equal(product(w, x, y, v), zero)
        np.testing.assert_array_equal(product(w, x, y, np.stack([v, v])), [zero, zero])
    np.testing.assert_array_equal(f.fishervp(w, x, y, v, "mc"), zero)
    np.testing.assert_array_equal(f.jvp(w, x, v), np.zeros((3, 50)))
    np.testing.assert_array_equal(f.vjp(w, x, y), zero)
    for A in (f.hessian(w, x, y), f.ggn(w, x, y), f.fisher(w, x, y)):
        np.testing.assert_array_equal(A @ v, zero)
        solution, report = hc.cg(A + 2.0 * hc.identity(f.num_params), v)
        np.testing.assert_allclose(solution, v / 2, rtol=1e-12)
        assert report.converged


@pytest.mark.parametrize("method", hc.optim.methods)
def test_steps_without_parameters(method):
    f = without_parameters()
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(3, 50)), rng.normal(size=(3, 50)), rng.normal(size=f.num_params)
    before = w.copy()
    decays = method in ("adamw", "sophia_g", "sophia_h")  # by default
    opt = hc.Optimizer(f, method, **({"weight_decay": 0.0} if decays else {}))
    assert opt.step(w, x, y).loss == pytest.approx(f.loss(w, x, y))
    np.testing.assert_array_equal(w, before)
