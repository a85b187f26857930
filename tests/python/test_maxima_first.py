"""Activations that never decrease are evaluated after the maximum that reads them: same answers.

An `Identity` between the two keeps them in their order.
"""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

GROWING = (
    *(hc.ReLU(), hc.LeakyReLU(0.2), hc.ELU(0.5), hc.SELU(), hc.CELU(2.0), hc.Tanh(), hc.Sigmoid()),
    *(hc.Softplus(), hc.LogSigmoid(), hc.Hardtanh(), hc.ReLU6(), hc.Hardsigmoid(), hc.Softsign()),
    hc.Exp(),
)
OTHERS = (hc.GELU(), hc.SiLU(), hc.Mish(), hc.Hardswish(), hc.Sin(), hc.Square(), hc.ELU(-0.5))
QUANTITIES = ("loss", "grad", "predict", "hesscale", "bl89", "ggn", "hessian", "empirical_fisher")


def objectives(activation: hc.Layer, pool: hc.Layer) -> list[hc.Objective]:
    """The network as it is and with its order kept."""
    found = []
    for between in ((), (hc.Identity(),)):
        layers = hc.Conv2d(2, 5, 3), activation, *between, pool, hc.Flatten()
        rest = hc.Linear(45, 4), hc.Tanh(), hc.Linear(4, 3)
        net = hc.Sequential(*layers, *rest)
        found.append(hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(2, 8, 8)))
    return found


@pytest.mark.parametrize("activation", [*GROWING, *OTHERS], ids=repr)
def test_same_answers_in_either_order(activation):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, 2, 8, 8)), rng.integers(0, 3, 6)
    first, kept = objectives(activation, hc.MaxPool2d(2))
    w = first.init(3, dtype="float64")
    v = rng.standard_normal(first.num_params)
    found, expected = (f.evaluate(w, x, y, QUANTITIES) for f in (first, kept))
    for name in QUANTITIES:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-13)
    for product in ("hvp", "ggnvp"):
        a, b = (getattr(f, product)(w, x, y, v) for f in (first, kept))
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_it_takes_less_memory_where_it_applies():
    for activation in (*GROWING, *OTHERS):
        pair = objectives(activation, hc.MaxPool2d(2))
        first, kept = (f.memory(64, ("loss", "grad")) for f in pair)
        assert (first < kept) == (activation in GROWING)


def test_an_activation_read_elsewhere_stays_first():
    g = hc.Graph()
    x = g.input((3, 6, 6))
    h = g(hc.Tanh(), g(hc.Conv2d(3, 4, 3), x))
    flat = [g(hc.Flatten(), g(pool, h)) for pool in (hc.MaxPool2d(2), hc.AvgPool2d(2))]
    g.output(g(hc.Linear(16, 2), g.add(*flat)))
    f = hc.Objective(g, hc.MSELoss())
    rng = np.random.default_rng(0)
    images, y = rng.standard_normal((5, 3, 6, 6)), rng.standard_normal((5, 2))
    w = f.init(0, dtype="float64")
    assert hc.testing.check_derivatives(f, w, images, y)


def test_the_summary_keeps_the_order_that_was_given(capsys):
    objectives(hc.ReLU(), hc.MaxPool2d(2))[0].summary()
    text = capsys.readouterr().out
    assert text.index("relu") < text.index("MaxPool2d")
