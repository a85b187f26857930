"""Normalisation layers against JAX in float64, and running statistics against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

N = 5


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def standard(x, axes, eps, centred=True):
    mean = x.mean(axes, keepdims=True) if centred else 0.0
    return (x - mean) / jnp.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)


def channels(p, ndim):
    """Weights of channels, axis 1, for arrays of `ndim` axes."""
    return p.reshape(-1, *[1] * (ndim - 2))


def group(x, groups, weight, bias, eps=1e-5):
    parts = x.reshape(x.shape[0], groups, -1)
    y = standard(parts, (2,), eps).reshape(x.shape)
    return y * channels(weight, x.ndim) + channels(bias, x.ndim)


def batch(x, p, train, eps=1e-5, name="1"):
    axes = (0, *range(2, x.ndim))
    if train:
        y = standard(x, axes, eps)
    else:
        mean, var = (channels(p[f"{name}.running_{k}"], x.ndim) for k in ("mean", "var"))
        y = (x - mean) / jnp.sqrt(var + eps)
    if f"{name}.weight" not in p:
        return y
    return y * channels(p[f"{name}.weight"], x.ndim) + channels(p[f"{name}.bias"], x.ndim)


def linear(x, p, name):
    return x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", 0.0)


# name -> layers, the same in JAX (parameters by name, x, train), shape of one sample
def layer_norm(p, x, train):
    h = standard(linear(x, p, "0"), (-1,), 1e-5) * p["1.weight"] + p["1.bias"]
    return linear(jnp.tanh(h), p, "3")


def layer_norm_two_axes(p, x, train):
    h = standard(linear(x, p, "0"), (-2, -1), 1e-2) * p["1.weight"]
    return linear(jnp.tanh(h), p, "3")


def rms_norm(p, x, train):
    h = standard(linear(x, p, "0"), (-1,), np.finfo(float).eps, centred=False) * p["1.weight"]
    return linear(jnp.tanh(h), p, "3")


def group_norm(p, x, train):
    h = group(linear(x, p, "0"), 2, p["1.weight"], p["1.bias"])
    return linear(jnp.tanh(h), p, "3")


def instance_norm(p, x, train):
    return linear(jnp.tanh(standard(linear(x, p, "0"), (2,), 1e-5)), p, "3")


def batch_norm(p, x, train):
    return linear(jnp.tanh(batch(linear(x, p, "0"), p, train)), p, "3")


def batch_norm_average(p, x, train):
    return linear(jnp.tanh(batch(linear(x, p, "0"), p, train, 1e-3)), p, "3")


NETS = {
    "LayerNorm": (lambda: [hc.Linear(3, 4), hc.LayerNorm(4), hc.Tanh(), hc.Linear(4, 2)],
                  layer_norm, (3,)),
    "LayerNorm over two axes": (
        lambda: [hc.Linear(3, 4), hc.LayerNorm((2, 4), eps=1e-2, bias=False), hc.Tanh(),
                 hc.Linear(4, 2)],
        layer_norm_two_axes, (2, 3)),
    "RMSNorm": (lambda: [hc.Linear(3, 4), hc.RMSNorm(4), hc.Tanh(), hc.Linear(4, 2)],
                rms_norm, (2, 3)),
    "GroupNorm": (lambda: [hc.Linear(3, 3), hc.GroupNorm(2, 4), hc.Tanh(), hc.Linear(3, 1)],
                  group_norm, (4, 2, 3)),
    "InstanceNorm": (lambda: [hc.Linear(3, 4), hc.InstanceNorm1d(2), hc.Tanh(), hc.Linear(4, 2)],
                     instance_norm, (2, 3)),
    "BatchNorm of vectors": (
        lambda: [hc.Linear(3, 4), hc.BatchNorm1d(4), hc.Tanh(), hc.Linear(4, 2)],
        batch_norm, (3,)),
    "BatchNorm of series": (
        lambda: [hc.Linear(3, 4), hc.BatchNorm1d(2, eps=1e-3, momentum=None), hc.Tanh(),
                 hc.Linear(4, 2)],
        batch_norm_average, (2, 3)),
    "BatchNorm of images": (
        lambda: [hc.Linear(3, 2), hc.BatchNorm2d(2, affine=False), hc.Tanh(), hc.Linear(2, 1)],
        batch_norm, (2, 3, 3)),
}  # fmt: skip
TRAINED = [name for name in NETS if name.startswith("BatchNorm")]


class Problem:
    """A net, its objective, data, and the same function in JAX."""

    def __init__(self, name, train=False, seed=0):
        layers, model, shape = NETS[name]
        rng = np.random.default_rng(seed)
        self.f = hc.Objective(hc.Sequential(*layers()), hc.MSELoss(), input_shape=shape)
        self.w = 0.7 * rng.normal(size=self.f.num_params)
        self.x = rng.normal(size=(N, *shape))
        self.y = rng.normal(size=(N, *self.f.output_shape))
        self.train = train
        if self.f.buffers:
            self.f.buffers = {
                k: np.abs(rng.normal(size=v.shape)) + 0.1
                for k, v in self.f.buffers.items()
                if k.endswith(("mean", "var"))
            }
        constants = self.f.buffers
        layout = self.f.layout

        def predict(w, x):
            p = dict(constants)
            for key, (offset, size) in layout.items():
                p[key] = w[offset : offset + int(np.prod(size))].reshape(size)
            return model(p, x, train)

        self.predict = lambda w: predict(w, self.x)
        self.loss = lambda w: ((self.predict(w) - self.y) ** 2).mean()

    def args(self):
        return self.w, self.x, self.y


def close(a, b, rtol=1e-10):
    a, b = np.asarray(a), np.asarray(b)
    assert np.linalg.norm(a - b) <= rtol * max(np.linalg.norm(b), 1e-3)


CASES = [(name, train) for name in NETS for train in (False, True)]


@pytest.mark.parametrize(("name", "train"), CASES)
def test_products_equal_jax(name, train):
    p = Problem(name, train)
    f, w = p.f, jnp.asarray(p.w)
    close(f.predict(p.w, p.x, train=train), p.predict(w), 1e-12)
    value, grad = f.value_and_grad(*p.args(), train=train)
    assert value == pytest.approx(float(p.loss(w)), rel=1e-12)
    close(grad, jax.jit(jax.grad(p.loss))(w))
    identity = np.eye(f.num_params)
    close(f.hvp(*p.args(), identity, train=train), jax.jit(jax.hessian(p.loss))(w))
    jac = jax.jit(jax.jacfwd(lambda v: p.predict(v).ravel()))(w)
    close(f.ggnvp(*p.args(), identity, train=train), 2 / p.y.size * jac.T @ jac)


@pytest.mark.parametrize("name", list(NETS))
def test_diagonals_equal_jax(name):
    p = Problem(name)
    f, w = p.f, jnp.asarray(p.w)
    jac = jax.jit(jax.jacfwd(lambda v: p.predict(v).ravel()))(w)
    close(f.diag(*p.args(), kind="ggn"), 2 / p.y.size * (jac**2).sum(0))

    def each(v):
        return ((p.predict(v) - p.y) ** 2).reshape(N, -1).mean(1)

    close(f.diag(*p.args(), kind="empirical_fisher"), (jax.jit(jax.jacfwd(each))(w) ** 2).mean(0))


@pytest.mark.parametrize("name", list(NETS))
def test_hesscale_is_exact_at_the_weights_of_a_last_norm(name):
    """Under a separable loss nothing is dropped before the weights of the last layer."""
    layers, _, shape = NETS[name]
    first, norm = layers()[:2]
    f = hc.Objective(hc.Sequential(first, norm), hc.MSELoss(), input_shape=shape)
    rng = np.random.default_rng(3)
    w, x = rng.normal(size=f.num_params), rng.normal(size=(N, *shape))
    y = rng.normal(size=(N, *f.output_shape))
    last = [k for k in f.layout if k.startswith("1.")]
    for train in (False, True):
        hessian = f.hvp(w, x, y, np.eye(f.num_params), train=train)
        diagonal = f.diag(w, x, y, kind="hesscale", train=train)
        for key in last:
            offset, size = f.layout[key]
            part = slice(offset, offset + int(np.prod(size)))
            close(diagonal[part], np.diag(hessian)[part], 1e-12)


@pytest.mark.parametrize("name", TRAINED)
def test_running_statistics(name):
    p = Problem(name)
    f = p.f
    average = "series" in name
    before = f.buffers
    for k in range(1, 4):
        x = np.random.default_rng(k).normal(size=p.x.shape) + k
        weight = dict(f.layout)["0.weight"]
        views = {key: p.w[o : o + int(np.prod(s))].reshape(s) for key, (o, s) in f.layout.items()}
        assert weight[1] == views["0.weight"].shape
        h = np.asarray(linear(x, views, "0"))
        axes = (0, *range(2, h.ndim))
        f.update_buffers(p.w, x)
        part = 1 / k if average else 0.1
        after = f.buffers
        for key, value in (("mean", h.mean(axes)), ("var", h.var(axes, ddof=1))):
            expected = (1 - part) * before[f"1.running_{key}"] + part * value
            np.testing.assert_allclose(after[f"1.running_{key}"], expected, rtol=1e-12)
        assert after["1.num_batches_tracked"] == k
        before = after


def test_buffers_are_copies_that_can_be_loaded():
    f = Problem("BatchNorm of vectors").f
    saved = f.buffers
    saved["1.running_mean"][0] = 9
    assert f.buffers["1.running_mean"][0] != 9
    f.buffers = {"1.running_mean": [1, 2, 3, 4]}
    np.testing.assert_array_equal(f.buffers["1.running_mean"], [1, 2, 3, 4])
    for bad, error, word in (
        ({"1.mean": [1.0]}, hc.errors.StateError, "1.mean"),
        ({"1.running_mean": [1.0]}, hc.errors.ShapeError, "1.running_mean"),
        ({"1.running_var": [-1.0, 1, 1, 1]}, hc.errors.StateError, "1.running_var"),
        ({"1.running_mean": [np.nan, 1, 1, 1]}, hc.errors.StateError, "1.running_mean"),
    ):
        with pytest.raises(error, match=word):
            f.buffers = bad
    assert hc.Objective(hc.Linear(3, 2), hc.MSELoss()).buffers == {}


@pytest.mark.parametrize("method", ["sgd", "adahesscale", "gauss_newton"])
def test_training_moves_the_statistics_once(method):
    p = Problem("BatchNorm of images")
    opt = hc.Optimizer(p.f, method)
    w = p.w.copy()
    count = p.f.buffers["1.num_batches_tracked"]
    for _ in range(3):
        opt.step(w, p.x, p.y)
    assert p.f.buffers["1.num_batches_tracked"] == count + 3
    before = p.f.buffers
    p.f.value_and_grad(w, p.x, p.y, train=True)
    p.f.hvp(w, p.x, p.y, w, train=True)
    for key, value in p.f.buffers.items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("kind", ["ggn", "ggn_mc", "empirical_fisher"])
def test_single_samples_are_refused_in_training(kind):
    p = Problem("BatchNorm of images")
    with pytest.raises(hc.errors.UnsupportedError, match="BatchNorm2d"):
        p.f.diag(*p.args(), kind=kind, train=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mean_far_from_zero(dtype):
    x = (np.random.default_rng(0).normal(size=(4000, 3)) + 1e4).astype(dtype)
    f = hc.Objective(hc.BatchNorm1d(3), hc.MSELoss(), input_shape=(3,))
    z = f.predict(f.init(dtype=dtype), x, train=True)
    exact = x.astype(np.longdouble)
    exact = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    assert np.abs(z - exact).max() < (2e-6 if dtype == "float32" else 1e-10)
