"""Graphs with very many inputs, without parameters, or with parameters that nothing reads."""

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
    kinds = ("loss", "grad", "hesscale", "ggn", "bl89", "empirical_fisher")
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
