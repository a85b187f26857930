"""Gradients of single samples and their moments: what they are, whatever the loss and the layers.

Random networks of all layers are compared with JAX in test_random_networks.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import entries
import hesscore as hc

N = 5


def conv_net():
    return hc.Sequential(
        hc.Conv2d(2, 4, 3, padding=1), hc.Tanh(), hc.Conv2d(4, 4, 3, groups=2),
        hc.GroupNorm(2, 4), hc.ReLU(), hc.ConvTranspose2d(4, 2, 2, stride=2), hc.Flatten(),
        hc.Linear(2 * 6 * 8, 3),
    )  # fmt: skip


def shared_net():
    layer, table = hc.Linear(4, 4), hc.Embedding(6, 4, padding_idx=1)
    g = hc.Graph()
    x, t = g.input((4,), name="x"), g.input((3,), name="t")
    h = g(hc.Tanh(), g(layer, g(hc.Tanh(), g(layer, x))))
    words = g(hc.Flatten(), g(layer, g(table, t)))
    g.output(g(hc.Linear(16, 3), g(hc.Flatten(), g.concat(h, words))))
    return g


def images(rng):
    return rng.normal(size=(N, 2, 5, 6))


def vectors_and_words(rng):
    return {"x": rng.normal(size=(N, 4)), "t": rng.integers(0, 6, size=(N, 3))}


NETS = {"conv": (conv_net, (2, 5, 6), images), "shared": (shared_net, None, vectors_and_words)}
LABELS = np.array([0, 2, 1, 2, 2])
LOSSES = {
    "plain": (hc.CrossEntropyLoss(), LABELS),
    "weighted": (hc.CrossEntropyLoss(weight=[0.5, 2.0, 1.5]), LABELS),
    "ignored": (hc.CrossEntropyLoss(ignore_index=2, label_smoothing=0.1), LABELS),
    "soft": (hc.CrossEntropyLoss(), np.random.default_rng(3).dirichlet([1, 1, 1], N)),
    "mse": (hc.MSELoss(), np.random.default_rng(4).normal(size=(N, 3))),
}


def point(net, loss, reduction="mean"):
    make, shape, data = NETS[net]
    rng = np.random.default_rng(1)
    function, y = LOSSES[loss]
    f = hc.Objective(make(), function, input_shape=shape, reduction=reduction)
    w = f.init(seed=2, dtype="float64") + 0.1 * rng.normal(size=f.num_params)
    return f, w, data(rng), y


def part(x, n):
    return {k: v[n : n + 1] for k, v in x.items()} if isinstance(x, dict) else x[n : n + 1]


def check_moments(moments, rows):
    expected = {
        "mean": rows.mean(0),
        "second_moment": (rows**2).mean(0),
        "variance": rows.var(0),
        "norms": np.linalg.norm(rows, axis=1),
    }
    assert list(moments) == list(expected)
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(moments[name], value, rtol=1e-10, atol=1e-13 * scale)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("net", NETS)
def test_rows_add_up_to_the_gradient(net, loss, reduction, weighted):
    f, w, x, y = point(net, loss, reduction)
    kw = {"sample_weight": np.array([1.0, 0.5, 0.0, 2.0, 3.0])} if weighted else {}
    rows = f.per_sample_grads(w, x, y, **kw)
    total = rows.mean(0) if reduction == "mean" else rows.sum(0)
    grad = f.value_and_grad(w, x, y, **kw)[1]
    np.testing.assert_allclose(total, grad, atol=1e-13 * np.abs(rows).max())
    check_moments(f.grad_moments(w, x, y, **kw), rows)


@pytest.mark.parametrize("loss", ["plain", "soft", "mse"])
@pytest.mark.parametrize("net", NETS)
def test_a_row_is_the_gradient_of_the_samples_own_loss(net, loss):
    f, w, x, y = point(net, loss)
    rows = f.per_sample_grads(w, x, y)
    for n in range(N):
        own = f.value_and_grad(w, part(x, n), y[n : n + 1])[1]
        np.testing.assert_allclose(rows[n], own, atol=1e-13 * np.abs(own).max())


def test_parts_of_a_mean_with_weights():
    """Class weights and ignored labels: N times a sample's part of the quotient."""
    f, w, x, _ = point("conv", "ignored")
    y = np.array([0, 2, 1, 1, 0])  # two is ignored
    rows = f.per_sample_grads(w, x, y)
    assert not rows[1].any()
    own = f.value_and_grad(w, x[:1], y[:1])[1]
    np.testing.assert_allclose(rows[0], N / 4 * own, atol=1e-13 * np.abs(own).max())
    assert f.grad_moments(w, x, y)["norms"][1] == 0


def test_more_than_is_formed_at_a_time():
    net = hc.Sequential(hc.Conv2d(64, 160, 3), hc.Tanh(), hc.Flatten(), hc.Linear(160, 2))
    f = hc.Objective(net, hc.MSELoss(), input_shape=(64, 3, 3))
    rng = np.random.default_rng(0)
    w, x, y = f.init(dtype="float64"), rng.normal(size=(90, 64, 3, 3)), rng.normal(size=(90, 2))
    rows = f.per_sample_grads(w, x, y)
    own = f.value_and_grad(w, x[77:78], y[77:78])[1]
    np.testing.assert_allclose(rows[77], own, atol=1e-13 * np.abs(own).max())
    check_moments(f.grad_moments(w, x, y), rows)
    assert f.memory(90, "grad_moments", dtype="float64") < rows.nbytes


def test_long_sentences_and_shared_layers_are_formed_too():
    net = hc.Sequential(hc.Embedding(40, 8), hc.Linear(8, 24), hc.Tanh(), hc.Linear(24, 2))
    f = hc.Objective(net, hc.MSELoss(), input_shape=(70,))
    rng = np.random.default_rng(0)
    w, x, y = f.init(dtype="float64"), rng.integers(0, 40, (6, 70)), rng.normal(size=(6, 70, 2))
    rows = f.per_sample_grads(w, x, y)
    for n in range(6):
        own = f.value_and_grad(w, x[n : n + 1], y[n : n + 1])[1]
        np.testing.assert_allclose(rows[n], own, atol=1e-13 * np.abs(own).max())
    check_moments(f.grad_moments(w, x, y), rows)


def test_all_together_is_each_alone():
    f, w, x, y = point("shared", "plain")
    names = ("loss", "grad", "hesscale", "hutchinson", "empirical_fisher", "per_sample_grads",
             "grad_moments", "predict")  # fmt: skip
    together = f.evaluate(w, x, y, names)
    assert tuple(together) == names
    for name in names:
        alone = f.evaluate(w, x, y, name)[name]
        assert entries.flat(alone) == entries.flat(together[name]), name
    both = f.evaluate(w, x, y, ("grad", "per_sample_grads", "grad_moments"))
    np.testing.assert_allclose(both["grad"], together["grad"], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(both["per_sample_grads"], together["per_sample_grads"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_variance_of_equal_rows(dtype):
    f = hc.Objective(hc.Sequential(hc.Linear(3, 4), hc.Tanh(), hc.Linear(4, 2)), hc.MSELoss())
    w = f.init(dtype=dtype)
    x, y = np.full((7, 3), 0.3, dtype), np.full((7, 2), 0.7, dtype)
    moments = f.grad_moments(w, x, y)
    assert (moments["variance"] >= 0).all()
    assert (moments["variance"] <= 16 * np.finfo(dtype).eps * moments["second_moment"]).all()


def test_the_second_moment_is_the_empirical_fishers_diagonal():
    f, w, x, y = point("conv", "plain")
    fisher = f.diag(w, x, y, kind="empirical_fisher")
    np.testing.assert_allclose(f.grad_moments(w, x, y)["second_moment"], fisher, rtol=1e-11)


# ---- out and errors ------------------------------------------------------------------------------


def test_rows_can_be_written_where_the_caller_says():
    f, w, x, y = point("conv", "plain")
    rows = f.per_sample_grads(w, x, y)
    out = np.full_like(rows, np.nan)
    assert f.per_sample_grads(w, x, y, out=out) is out
    assert out.tobytes() == rows.tobytes()


def frozen(rows):
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


BAD_OUTS = {
    "shape": lambda rows: np.zeros(rows.shape[::-1]),
    "dtype": lambda rows: rows.astype(np.float32),
    "order": np.asfortranarray,
    "read-only": frozen,
    "a list": lambda rows: rows.tolist(),
}


@pytest.mark.parametrize("bad", BAD_OUTS)
def test_a_bad_out_is_refused(bad):
    f, w, x, y = point("conv", "plain")
    out = BAD_OUTS[bad](np.zeros((N, f.num_params)))
    with pytest.raises(hc.OutputError, match="out"):
        f.per_sample_grads(w, x, y, out=out)
    assert not np.any(out)


def test_an_out_that_overlaps_is_refused():
    f, w, x, y = point("conv", "plain")
    room = np.concatenate([w, np.zeros((N - 1) * len(w))])
    with pytest.raises(hc.OutputError, match="overlaps"):
        f.per_sample_grads(room[: len(w)], x, y, out=room.reshape(N, -1))
    np.testing.assert_array_equal(room[: len(w)], w)


@pytest.mark.parametrize("name", ["per_sample_grads", "grad_moments"])
def test_an_empty_batch_is_refused(name):
    f, w, x, y = point("conv", "plain")
    with pytest.raises(hc.ShapeError, match="x"):
        getattr(f, name)(w, x[:0], y[:0])


@pytest.mark.parametrize("name", ["per_sample_grads", "grad_moments"])
def test_shared_statistics_are_refused_with_all_names(name):
    net = hc.Sequential(hc.Linear(3, 3), hc.BatchNorm1d(3), hc.Tanh(), hc.BatchNorm1d(3))
    f = hc.Objective(net, hc.MSELoss())
    w, x, y = f.init(dtype="float64"), np.ones((4, 3)), np.ones((4, 3))
    call = getattr(f, name)
    with pytest.raises(hc.UnsupportedError, match=rf"{name}.*'1'.*'3'"):
        call(w, x, y, train=True)
    call(w, x, y)


def test_dropout_draws_one_mask_for_all():
    f = hc.Objective(hc.Sequential(hc.Linear(3, 8), hc.Dropout(0.5), hc.Linear(8, 2)), hc.MSELoss())
    rng = np.random.default_rng(0)
    w, x, y = f.init(dtype="float64"), rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    rows = f.per_sample_grads(w, x, y, train=(3, 4))
    grad = f.value_and_grad(w, x, y, train=(3, 4))[1]
    np.testing.assert_allclose(rows.mean(0), grad, atol=1e-14)
    check_moments(f.grad_moments(w, x, y, train=(3, 4)), rows)
