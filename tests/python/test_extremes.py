"""Numbers at the edge: huge and tiny inputs stay finite, kinks follow the documented side."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
from oracle.activations import VARIANTS, derivatives

QUANTITIES = ("loss", "grad", "hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc", "hutchinson",
              "empirical_fisher")  # fmt: skip
INPUTS = np.array([0.0, 1e-300, -1e-300, 1e-30, 1e-5, -1e-5, 2.9, 30.0, -30.0, 90.0, -90.0, 710.0,
                   -710.0, 1e4, -1e4])  # fmt: skip


def elementwise(name, args=()):
    """x -> activation(w x) under a squared error."""
    net = hc.Sequential(hc.Linear(1, 1, bias=False), getattr(hc, name)(*args))
    return hc.Objective(net, hc.MSELoss(reduction="sum"), input_shape=(1,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "args"), [v for v in VARIANTS if v[0] not in ("Exp", "Square")])
def test_activations_stay_finite(name, args, dtype):
    f, w = elementwise(name, args), np.ones(1, dtype)
    tol = 1e-12 if dtype == "float64" else 1e-5
    with np.errstate(under="ignore", over="ignore"):
        points = INPUTS.astype(dtype)
    for value in points:
        x = np.full((1, 1), value, dtype)
        out = f.predict(w, x)
        slope = f.jvp(w, x, np.ones(1, dtype))
        results = f.evaluate(w, x, np.zeros((1, 1), dtype), QUANTITIES)
        assert all(np.isfinite(r).all() for r in results.values()), value
        with np.errstate(all="ignore"):
            s, s1, _ = (d[0, 0] for d in derivatives(name, args, x.astype(float)))
        assert out[0, 0] == pytest.approx(s, rel=tol, abs=1e-30), value
        if value != 0 and np.isfinite(s1):
            assert slope[0, 0] == pytest.approx(s1 * value, rel=10 * tol, abs=1e-12), value


KINKS = [
    ("ReLU", (), 0.0, 0.0),
    ("LeakyReLU", (0.2,), 0.0, 0.2),
    ("ReLU6", (), 0.0, 0.0),
    ("ReLU6", (), 6.0, 0.0),
    ("Hardtanh", (), 1.0, 0.0),
    ("Hardtanh", (), -1.0, 0.0),
    ("Hardsigmoid", (), 3.0, 0.0),
    ("Hardsigmoid", (), -3.0, 0.0),
    ("Hardswish", (), 3.0, 1.0),
    ("Hardswish", (), -3.0, 0.0),
    ("ELU", (), 0.0, 1.0),
    ("ELU", (0.5,), 0.0, 0.5),
    ("Softsign", (), 0.0, 1.0),
]


@pytest.mark.parametrize(("name", "args", "at", "slope"), KINKS)
def test_kinks(name, args, at, slope):
    net = hc.Sequential(hc.Linear(1, 1), getattr(hc, name)(*args))
    f = hc.Objective(net, hc.MSELoss(), input_shape=(1,))
    w = np.array([0.0, at])  # the bias is what the activation sees
    assert f.jvp(w, np.ones((1, 1)), np.array([0.0, 1.0]))[0, 0] == slope


LOSSES = {
    "cross_entropy": (hc.CrossEntropyLoss(), np.array([0, 1])),
    "smoothed": (hc.CrossEntropyLoss(label_smoothing=0.1), np.array([0, 1])),
    "bce": (hc.BCEWithLogitsLoss(), np.array([[0.0, 1.0], [1.0, 0.0]])),
    "huber": (hc.HuberLoss(), np.zeros((2, 2))),
    "gaussian": (hc.GaussianNLLLoss(), np.zeros((2, 1))),
    "poisson": (hc.PoissonNLLLoss(), np.ones((2, 2))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e-30, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_finite(name, size, dtype):
    if size > 100 and name in ("gaussian", "poisson"):
        pytest.skip("exp of that is infinite")
    loss, y = LOSSES[name]
    f = hc.Objective(hc.Linear(2, 2, bias=False), loss)
    w = np.array([1.0, 0.0, 0.0, -1.0], dtype)
    x = np.array([[size, size], [-size, size / 2]], dtype)
    y = y if y.dtype == np.int64 else y.astype(dtype)
    results = f.evaluate(w, x, y, QUANTITIES)
    for key, result in results.items():
        assert np.isfinite(result).all(), key


def test_cross_entropy_of_certain_logits():
    f = hc.Objective(hc.Linear(1, 2, bias=False), hc.CrossEntropyLoss())
    w, x = np.array([1.0, -1.0]), np.full((1, 1), 1e4)
    assert f.loss(w, x, np.array([0])) == 0.0
    assert f.loss(w, x, np.array([1])) == 2e4
    np.testing.assert_array_equal(f.value_and_grad(w, x, np.array([1]))[1], [1e4, -1e4])


def test_overflow_in_an_evaluation_is_told_or_infinite():
    """A forward pass that overflows may not quietly become a finite number."""
    f = hc.Objective(hc.Sequential(hc.Linear(1, 1, bias=False), hc.Exp()), hc.MSELoss(), (1,))
    w, x, y = np.ones(1), np.full((1, 1), 1e3), np.zeros((1, 1))
    try:
        value = f.loss(w, x, y)
    except hc.NonFiniteError:
        return
    assert not np.isfinite(value)
