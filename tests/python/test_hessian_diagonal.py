"""The exact Hessian diagonal: what is particular to the ways it is found."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems


def dense(f, *point, **kw):
    return np.diag(f.hessian(*point, **kw).dense())


NETWORKS = {
    "dense, curved": ((5,), lambda: [hc.Linear(5, 9), hc.Tanh(), hc.Linear(9, 6), hc.Sigmoid(),
                                     hc.Linear(6, 4)]),
    "straight": ((5,), lambda: [hc.Linear(5, 9), hc.ReLU(), hc.Linear(9, 6), hc.LeakyReLU(),
                                hc.Linear(6, 4)]),
    "wider than deep": ((2,), lambda: [hc.Linear(2, 3), hc.ReLU(), hc.Linear(3, 40)]),
    "activation under the loss": ((5,), lambda: [hc.Linear(5, 4), hc.GELU(), hc.Softplus()]),
    "residual": ((5,), lambda: [hc.Linear(5, 6), hc.Residual(hc.Linear(6, 6), hc.Tanh()),
                                hc.Linear(6, 4)]),
    "norm between": ((5,), lambda: [hc.Linear(5, 6), hc.LayerNorm(6), hc.Tanh(), hc.Linear(6, 4)]),
    "gate": ((5,), lambda: [hc.Linear(5, 6), hc.Gate(hc.Linear(6, 6), hc.Sigmoid()),
                            hc.Linear(6, 4)]),
    "convolutions": ((2, 6, 7), lambda: [
        hc.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), hc.Tanh(),
        hc.AvgPool2d(2, ceil_mode=True), hc.ConvTranspose2d(4, 3, 2, stride=2), hc.Sigmoid(),
        hc.MaxPool2d(2), hc.Flatten(),
        hc.Linear(12, 4)]),
    "positions": ((3, 5), lambda: [hc.Linear(5, 4), hc.Tanh(), hc.Linear(4, 2), hc.Flatten(),
                                   hc.Linear(6, 4)]),
}  # fmt: skip


@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("limit", [None, 1, 3000, 30000])
def test_any_number_of_columns_travels_together(net, limit, rng):
    shape, layers = net
    f = hc.Objective(hc.Sequential(*layers()), hc.CrossEntropyLoss(), input_shape=shape)
    w = f.init(dtype="float64") + 0.1 * rng.normal(size=f.num_params)
    x, y = rng.normal(size=(7, *shape)), rng.integers(0, 4, size=7)
    exact = dense(f, w, x, y)
    out = f.evaluate(w, x, y, ("grad", "hessian", "ggn", "hesscale"), max_memory=limit)
    np.testing.assert_allclose(out["hessian"], exact, rtol=1e-10, atol=1e-12 * abs(exact).max())
    np.testing.assert_allclose(out["ggn"], f.ggn(w, x, y).diagonal(), rtol=1e-10, atol=1e-16)
    operator = f.hessian(w, x, y).diagonal()
    np.testing.assert_allclose(operator, exact, rtol=1e-10, atol=1e-12 * abs(exact).max())
    again = f.diag(w, x, y, kind="hessian", max_memory=limit)
    np.testing.assert_array_equal(again, out["hessian"])


def test_batch_norm_in_training(rng):
    """Samples depend on each other: a column for each parameter."""
    net = hc.Sequential(hc.Linear(5, 6), hc.BatchNorm1d(6), hc.Tanh(), hc.Linear(6, 4))
    f = hc.Objective(net, hc.CrossEntropyLoss())
    w = f.init(dtype="float64") + 0.1 * rng.normal(size=f.num_params)
    x, y = rng.normal(size=(7, 5)), rng.integers(0, 4, size=7)
    exact = dense(f, w, x, y, train=True)
    got = f.diag(w, x, y, kind="hessian", train=True)
    np.testing.assert_allclose(got, exact, rtol=1e-9, atol=1e-13)


def test_dropout_masks_are_those_of_the_step(rng):
    net = hc.Sequential(hc.Linear(5, 16), hc.Tanh(), hc.Dropout(0.4), hc.Linear(16, 4))
    f = hc.Objective(net, hc.CrossEntropyLoss())
    w = f.init(dtype="float64")
    x, y = rng.normal(size=(7, 5)), rng.integers(0, 4, size=7)
    exact = dense(f, w, x, y, train=(3, 9))
    got = f.diag(w, x, y, kind="hessian", train=(3, 9))
    np.testing.assert_allclose(got, exact, rtol=1e-9, atol=1e-14)
    assert not np.allclose(got, f.diag(w, x, y, kind="hessian", train=(3, 10)))


def test_rectified_networks_have_the_diagonal_of_gauss_and_newton():
    f = problems.mlp(6, 12, 12, 4, activation=hc.ReLU)
    w, x, y = problems.batch(f, 20, 6, classes=4)
    ggn = f.diag(w, x, y, kind="ggn")
    np.testing.assert_allclose(f.diag(w, x, y, kind="hessian"), ggn, rtol=1e-13)


@pytest.mark.parametrize("kind", ["hessian", "ggn"])
def test_a_thousand_classes_run_in_the_memory_they_are_given(kind):
    net = hc.Sequential(hc.Linear(20, 64), hc.Tanh(), hc.Linear(64, 1000))
    f = hc.Objective(net, hc.CrossEntropyLoss())
    batch, column = 64, 4 * 64 * 1000
    needed = f.memory(batch, ("grad",)) + 8 * f.num_params
    for columns in (8, 20):
        limit = columns * column
        assert f.memory(batch, (kind,), max_memory=limit) < needed + limit + 4 * column
    assert f.memory(batch, (kind,), max_memory=1) < needed + 12 * column
    rng = np.random.default_rng(0)
    w, x, y = f.init(), rng.normal(size=(batch, 20)).astype("f4"), rng.integers(0, 1000, size=batch)
    some = f.diag(w, x, y, kind, max_memory=4 * column)
    np.testing.assert_allclose(some, f.diag(w, x, y, kind), rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("bad", [0, -5, 1.5, "all", True])
def test_the_limit_is_a_number_of_bytes(bad):
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 5, 4, classes=3)
    with pytest.raises(hc.OptionError, match="max_memory"):
        f.diag(w, x, y, kind="hessian", max_memory=bad)
