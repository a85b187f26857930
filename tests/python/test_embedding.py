"""Embeddings: against JAX in float64, integer inputs and their errors, training."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hesscore as hc

jax.config.update("jax_enable_x64", True)

ROWS, WIDTH, CLASSES, N, T = 7, 3, 4, 9, 5


def text_net(padding_idx=None):
    table = hc.Embedding(ROWS, WIDTH, padding_idx)
    return hc.Sequential(table, hc.Flatten(), hc.Linear(T * WIDTH, CLASSES), hc.Tanh())


def their_logits(w, x, padding_idx=None):
    w = jnp.asarray(w)
    table = w[: ROWS * WIDTH].reshape(ROWS, WIDTH)
    if padding_idx is not None:
        table = table.at[padding_idx].set(jax.lax.stop_gradient(table[padding_idx]))
    weight, bias = w[ROWS * WIDTH : -CLASSES].reshape(CLASSES, -1), w[-CLASSES:]
    return jnp.tanh(table[x].reshape(len(x), -1) @ weight.T + bias)


def their_losses(w, x, y, padding_idx=None):
    z = their_logits(w, x, padding_idx)
    return jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0]


@pytest.fixture
def tokens(rng):
    return rng.integers(0, ROWS, size=(N, T)), rng.integers(0, CLASSES, size=N)


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_quantities_equal_those_of_jax(tokens, padding_idx, rng):
    x, y = tokens
    f = hc.Objective(text_net(padding_idx), hc.CrossEntropyLoss(), input_shape=(T,))
    w = rng.normal(size=f.num_params)
    v = rng.normal(size=(2, f.num_params))

    def mean(p):
        return their_losses(p, x, y, padding_idx).mean()

    value, grad = f.value_and_grad(w, x, y)
    assert value == pytest.approx(float(mean(w)), rel=1e-13)
    np.testing.assert_allclose(grad, jax.grad(mean)(w), rtol=1e-11, atol=1e-14)
    hessian = jax.hessian(mean)(w)
    np.testing.assert_allclose(f.hvp(w, x, y, v), v @ hessian, rtol=1e-9, atol=1e-13)

    jacobian = jax.jacobian(lambda p: their_logits(p, x, padding_idx))(w)  # (N, C, P)
    p = jax.nn.softmax(their_logits(w, x), axis=1)
    inner = jnp.einsum("nc,cd->ncd", p, jnp.eye(CLASSES)) - jnp.einsum("nc,nd->ncd", p, p)
    ggn = jnp.einsum("ncp,ncd,ndq->pq", jacobian, inner, jacobian) / N
    np.testing.assert_allclose(f.ggnvp(w, x, y, v), v @ ggn, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(f.diag(w, x, y, kind="ggn"), np.diag(ggn), rtol=1e-10, atol=1e-15)
    grads = jax.jacobian(lambda p: their_losses(p, x, y, padding_idx))(w)
    fisher = (grads**2).mean(0)
    ours = f.diag(w, x, y, kind="empirical_fisher")
    np.testing.assert_allclose(ours, fisher, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(f.jvp(w, x, v[0]), jacobian @ v[0], rtol=1e-10, atol=1e-13)


def test_hesscale_adds_up_the_uses_of_a_row(tokens, rng):
    x, y = tokens
    f = hc.Objective(text_net(), hc.CrossEntropyLoss(), input_shape=(T,))
    w = rng.normal(size=f.num_params)
    dense = hc.Sequential(hc.Linear(T * WIDTH, CLASSES), hc.Tanh())
    g = hc.Objective(hc.Sequential(hc.Linear(T * WIDTH, T * WIDTH), *dense.layers), f.loss_function)
    looked_up = f.views(w)["0.weight"][x].reshape(N, -1)
    identity = np.concatenate([np.eye(T * WIDTH).ravel(), np.zeros(T * WIDTH)])
    ours = f.views(f.diag(w, x, y, kind="hesscale"))["0.weight"]
    # one sample at a time, the curvature of an identity's bias is that of its output
    expected = np.zeros((ROWS, WIDTH))
    for n in range(N):
        at = np.concatenate([identity, w[ROWS * WIDTH :]])
        d = g.diag(at, looked_up[n : n + 1], y[n : n + 1], kind="hesscale")
        np.add.at(expected, x[n], g.views(d)["0.bias"].reshape(T, WIDTH) / N)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "int64"])
def test_any_integer_dtype(tokens, dtype):
    x, y = tokens
    f = hc.Objective(text_net(), hc.CrossEntropyLoss(), input_shape=(T,))
    w = f.init()
    assert f.loss(w, x.astype(dtype), y) == f.loss(w, x, y)


def test_one_index_for_each_sample():
    f = hc.Objective(hc.Embedding(5, 2), hc.MSELoss(), input_shape=())
    w = f.init(dtype="float64")
    np.testing.assert_array_equal(f.predict(w, np.array([3, 0, 3])), w.reshape(5, 2)[[3, 0, 3]])
    assert f.predict(w, np.zeros(0, np.int64)).shape == (0, 2)


def test_bad_inputs(tokens):
    x, y = tokens
    f = hc.Objective(text_net(), hc.CrossEntropyLoss(), input_shape=(T,))
    w = f.init()
    with pytest.raises(hc.DTypeError, match="x: expected integers"):
        f.loss(w, x.astype(np.float32), y)
    for bad in (-1, ROWS):
        wrong = x.copy()
        wrong[4, 2] = bad
        with pytest.raises(hc.IndexRangeError, match=rf"0..6, got {bad} at position \(4, 2\)"):
            f.loss(w, wrong, y)
        with pytest.raises(IndexError):
            f.predict(w, wrong)
        with pytest.raises(IndexError):
            hc.Optimizer(f, "adam").step(w, wrong, y)
    with pytest.raises(hc.ShapeError):
        f.loss(w, x[:, :2], y)


def test_bad_graphs():
    net = hc.Sequential(hc.Linear(2, 3), hc.Embedding(4, 2))
    with pytest.raises(hc.GraphError, match="an input of the graph"):
        hc.Objective(net, hc.MSELoss())
    g = hc.Graph()
    x = g.input((3,))
    g(hc.Embedding(4, 2), x)
    with pytest.raises(hc.GraphError, match="the integers of an embedding"):
        g(hc.Linear(3, 2), x)
    g = hc.Graph()
    x = g.input((3,))
    g(hc.Tanh(), x)
    with pytest.raises(hc.GraphError, match="which tanh reads, too"):
        g(hc.Embedding(4, 2), x)
    for bad in (4, -5):
        with pytest.raises(hc.OptionError, match="padding_idx"):
            hc.Embedding(4, 2, padding_idx=bad)


def test_two_tables_on_one_input_take_the_smaller_range():
    g = hc.Graph()
    x = g.input(())
    g.output(g(hc.Embedding(4, 2), x) + g(hc.Embedding(3, 2), x))
    f = hc.Objective(g, hc.MSELoss())
    with pytest.raises(hc.IndexRangeError, match=r"0..2, got 3 at position 0"):
        f.predict(f.init(), np.array([3]))


@pytest.mark.parametrize("method", ["sgd", "adamw", "adahesscale", "gauss_newton"])
def test_padding_row_stays_zero_in_training(tokens, method):
    x, y = tokens
    f = hc.Objective(text_net(padding_idx=-1), hc.CrossEntropyLoss(), input_shape=(T,))
    w = f.init()
    table = f.views(w)["0.weight"]
    assert not table[-1].any() and table[:-1].all()
    before = f.loss(w, x, y)
    hc.Optimizer(f, method, lr=0.05).run(w, x, y, batch_size=4, epochs=10)
    assert not table[-1].any()
    assert f.loss(w, x, y) < before
    v = np.zeros_like(w)
    f.views(v)["0.weight"][-1] = 1
    assert not f.hvp(w, x, y, v).any() and not f.jvp(w, x, v).any()


def test_skipgram_learns_and_checks():
    f = hc.Objective(hc.models.skipgram(20, 4, contexts=3), hc.BCEWithLogitsLoss())
    rng = np.random.default_rng(0)
    x = {"word": rng.integers(0, 20, 50), "context": rng.integers(0, 20, (50, 3))}
    y = rng.integers(0, 2, (50, 3)).astype(np.float64)
    w = f.init(dtype="float64")
    assert f.num_params == 2 * 20 * 4
    assert max(hc.testing.check_derivatives(f, w, x, y).values()) < 1e-6
    words, contexts = f.views(w).values()
    logits = (words[x["word"]][:, None] * contexts[x["context"]]).sum(-1)
    np.testing.assert_allclose(f.predict(w, x), logits, rtol=1e-12)
    with pytest.raises(hc.DTypeError, match=r"x\['context'\]: expected integers"):
        f.loss(w, x | {"context": y}, y)
    with pytest.raises(hc.IndexRangeError, match=r"x\['word'\]"):
        f.loss(w, x | {"word": x["word"] + 5}, y)
