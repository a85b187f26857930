"""Blocks, quadratic forms and the approximate chain rule: linearisation term, exact block, gap."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hesscore as hc
import problems
from oracle.compare import relative_error
from test_operators import problem


def span(f, *names):
    """Indices of the named parameters, one after another."""
    layout = [f.layout[n] for n in names]
    return np.concatenate([np.arange(o, o + math.prod(s)) for o, s in layout])


@pytest.mark.parametrize("seed", range(43_000, 43_025))
def test_blocks_of_random_graphs(seed):
    f, point, kw, reference = problem(seed)
    names = list(f.layout)
    rng = np.random.default_rng(seed)
    rows = [str(n) for n in rng.permutation(names)[: rng.integers(1, 4)]]
    cols = [str(n) for n in rng.permutation(names)[: rng.integers(1, 4)]]
    h, g = reference.hessian, reference.ggn
    scale = float(np.abs(h).sum() + np.abs(g).sum())
    for kind, exact in (("hessian", h), ("ggn", g), ("gap", h - g)):
        for r, c in ((rows, cols), (rows[0], None), (rows, rows[::-1])):
            part = exact[np.ix_(span(f, *np.atleast_1d(r)), span(f, *np.atleast_1d(c or r)))]
            block = f.block(*point, r, c, kind, **kw)
            assert relative_error(block, part, scale) <= 1e-10
    a = f.hessian(*point, **kw).block(rows, cols)
    i, j = span(f, *rows), span(f, *cols)
    v, u = rng.normal(size=(len(j), 19)), rng.normal(size=(len(i), 2))
    assert relative_error(a @ v, h[np.ix_(i, j)] @ v, scale) <= 1e-10
    assert relative_error(a.T @ u, h[np.ix_(i, j)].T @ u, scale) <= 1e-10


@pytest.mark.parametrize("seed", range(43_100, 43_120))
def test_forms_of_random_graphs(seed):
    f, point, kw, reference = problem(seed)
    v = np.random.default_rng(seed).normal(size=(3, f.num_params))
    h, g = reference.hessian, reference.ggn
    scale = float(np.abs(h).sum() + np.abs(g).sum()) * 9
    for kind, exact in (("hessian", h), ("ggn", g), ("gap", h - g)):
        forms = f.quadratic_form(*point, v, kind, **kw)
        assert forms.shape == (3,) and forms.dtype == np.float64
        assert np.abs(forms - np.einsum("kp,pq,kq->k", v, exact, v)).max() <= 1e-10 * scale
        single = f.quadratic_form(*point, v[1], kind, **kw)
        assert isinstance(single, float) and single == pytest.approx(forms[1], abs=1e-13 * scale)
        by_layer = f.layer_forms(*point, kind=kind, **kw)
        assert list(by_layer) == list(f.layout)
        for name, form in by_layer.items():
            i = span(f, name)
            part = reference.grad[i] @ exact[np.ix_(i, i)] @ reference.grad[i]
            assert abs(form - part) <= 1e-10 * scale * max(
                1, float(reference.grad @ reference.grad)
            )


def net(activation):
    """A small convolutional network with names for its layers."""
    layers = [
        hc.Conv2d(1, 3, 3), activation(), hc.MaxPool2d(2), hc.Conv2d(3, 4, 2), activation(),
        hc.Flatten(), hc.Linear(16, 6), activation(), hc.Linear(6, 4),
    ]  # fmt: skip
    f = hc.Objective(hc.Sequential(*layers), hc.CrossEntropyLoss(), input_shape=(1, 8, 8))
    rng = np.random.default_rng(1)
    w = f.init(0, dtype="float64")
    return f, (w, rng.normal(size=(5, 1, 8, 8)), rng.integers(0, 4, 5))


def test_the_chain_rule_is_exact_within_layers_of_rectified_networks():
    f, point = net(hc.ReLU)
    for name in f.layout:
        h, g = (f.block(*point, name, kind=kind) for kind in ("hessian", "ggn"))
        assert np.abs(h).max() > 0
        np.testing.assert_allclose(g, h, rtol=0, atol=1e-12 * np.abs(h).max())
        np.testing.assert_array_equal(f.block(*point, name, kind="gap"), 0.0)
    assert set(f.layer_forms(*point, kind="gap").values()) == {0.0}
    between = ("3.weight", "6.weight")
    h, g, k = (f.block(*point, *between, kind) for kind in ("hessian", "ggn", "gap"))
    assert np.abs(h - g).max() > 1e-3 * np.abs(h).max()  # not between two layers
    np.testing.assert_allclose(k, h - g, atol=1e-15)


def test_the_chain_rule_is_exact_in_the_last_layer():
    f, point = net(hc.Tanh)
    last = ["8.weight", "8.bias"]
    h, g, k = (f.block(*point, last, kind=kind) for kind in ("hessian", "ggn", "gap"))
    np.testing.assert_allclose(g, h, rtol=0, atol=1e-12 * np.abs(h).max())
    np.testing.assert_array_equal(k, 0.0)
    np.testing.assert_array_equal(f.block(*point, "8", kind="gap"), 0.0)  # the layer's name
    gaps, forms = f.layer_forms(*point, kind="gap"), f.layer_forms(*point)
    assert gaps["8.weight"] == gaps["8.bias"] == 0.0
    assert abs(gaps["0.weight"]) > 1e-3 * abs(forms["0.weight"])


def test_the_gap_does_not_cancel_in_float32():
    f = problems.mlp(6, 20, 20, 3)
    w, x, y = problems.batch(f, 30, 6, classes=3)
    w *= 0.05  # nearly linear: the gap is a millionth of the forms
    v = np.random.default_rng(0).normal(size=f.num_params)
    v[: -3 * 21] = 0
    v[:120] = np.random.default_rng(1).normal(size=120) * 0.01
    exact = {k: f.quadratic_form(w, x, y, v, k) for k in ("hessian", "ggn", "gap")}
    assert exact["gap"] == pytest.approx(exact["hessian"] - exact["ggn"], rel=1e-6)
    assert abs(exact["gap"]) < 1e-2 * abs(exact["hessian"])
    single = [a.astype("float32") for a in (w, x)]
    got = f.quadratic_form(*single, y, v.astype("float32"), "gap")
    assert got == pytest.approx(exact["gap"], rel=1e-5)


def test_jax_agrees():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    f = problems.mlp(5, 7, 6, 3)
    w, x, y = problems.batch(f, 9, 5, classes=3)

    def logits(w):
        views = [w[o : o + math.prod(s)].reshape(s) for o, s in f.layout.values()]
        h = x
        for i in range(0, len(views), 2):
            h = h @ views[i].T + views[i + 1]
            h = jnp.tanh(h) if i + 2 < len(views) else h
        return h

    def loss(z):
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(y)), y])

    h = np.asarray(jax.jit(jax.hessian(lambda w: loss(logits(w))))(w))
    j = np.asarray(jax.jit(jax.jacobian(logits))(w)).reshape(-1, len(w))
    z = logits(w)
    hz = np.asarray(jax.jit(jax.hessian(lambda z: loss(z.reshape(y.size, -1))))(z.ravel()))
    g = j.T @ hz @ j
    np.testing.assert_allclose(f.jacobian(w, x).dense(), j, atol=1e-12)
    for kind, exact in (("hessian", h), ("ggn", g), ("gap", h - g)):
        for rows, cols in (("0", "4"), ("2.weight", "0.weight"), (None, None)):
            block = f.block(w, x, y, rows, cols, kind)
            i = np.arange(len(w)) if rows is None else span(f, *named(f, rows))
            k = np.arange(len(w)) if cols is None else span(f, *named(f, cols))
            np.testing.assert_allclose(block, exact[np.ix_(i, k)], atol=1e-12)


def named(f, name):
    return [n for n in f.layout if n == name or n.startswith(name + ".")]


@pytest.fixture(scope="module")
def small():
    f = problems.mlp(4, 6, 3)
    return f, problems.batch(f, 12, 4, classes=3)


def test_ways_to_name_rows(small):
    f, point = small
    H = f.hessian(*point)
    h, n = H.dense(), f.num_params
    for rows, i in (
        ("0", np.arange(30)), (slice(3, 9), np.arange(3, 9)), ([5, 2, 9], np.array([5, 2, 9])),
        (np.array([4]), np.array([4])), (7, np.array([7])), (slice(None), np.arange(n)),
        (None, np.arange(n)), (["2.bias", slice(0, 2), 10], np.array([48, 49, 50, 0, 1, 10])),
        (slice(-3, None), np.arange(n - 3, n)), ([], np.arange(0)),
    ):  # fmt: skip
        for cols, j in (("2.weight", np.arange(30, 48)), (None, i)):
            block = H.block(rows, cols)
            assert block.shape == (len(i), len(j)) and block.is_symmetric == (cols is None)
            np.testing.assert_allclose(block.dense(), h[np.ix_(i, j)], rtol=1e-12, atol=1e-16)
    J = f.jacobian(*point[:2])
    j = J.dense()
    np.testing.assert_array_equal(J.block(None, "2").dense(), j[:, 30:])
    np.testing.assert_array_equal(J.block(slice(0, 3), "0.bias").dense(), j[:3, 24:30])
    inner = (2.0 * H + hc.identity(n)).block("2", "0").block(slice(0, 4), [1, 3])
    np.testing.assert_allclose(inner.dense(), 2 * h[30:34][:, [1, 3]], rtol=1e-12, atol=1e-16)


class Counting:
    """Counts the products that an operator of the engine makes."""

    def __init__(self, core):
        self.core, self.device, self.products = core, core.device, 0

    def apply(self, v):
        self.products += len(v)
        return self.core.apply(v)

    def apply_adjoint(self, u):
        self.products += len(u)
        return self.core.apply_adjoint(u)


def test_a_block_costs_its_columns(small):
    f, point = small
    for rows, cols in (("2.bias", "0.weight"), ("0.weight", "2.bias")):
        block = f.hessian(*point).block(rows, cols)
        block._core = Counting(block._core)
        assert block.dense().shape == block.shape
        assert block._core.products == 3


def test_blocks_serve_solvers(small):
    f, point = small
    G = f.ggn(*point).block("0")
    damped = G + 0.1 * hc.identity(G.shape[0])
    b = np.ones(G.shape[0])
    x, report = hc.cg(damped, b, rtol=1e-12)
    assert report.converged
    np.testing.assert_allclose(damped.dense() @ x, b, atol=1e-10)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (
            "0.wieght",
            hc.OptionError,
            r"rows: expected a layer or one of .*; did you mean '0.weight'",
        ),
        ("", hc.OptionError, "rows: expected a layer"),
        (["0", "0.bias"], hc.ShapeError, "rows: expected each row or column once"),
        (slice(0, 9, 2), hc.OptionError, "rows: expected a slice of step 1"),
        (slice("a"), hc.OptionError, "rows: expected a slice of integers"),
        ([99], hc.ShapeError, r"rows: expected indices in 0..50, got 99"),
        (-1, hc.ShapeError, "rows: expected indices"),
        (1.5, hc.OptionError, "rows: expected names, slices or integers"),
        ([True], hc.OptionError, "rows: expected names"),
    ],
)
def test_bad_rows(small, rows, error, message):
    f, point = small
    with pytest.raises(error, match=message):
        f.block(*point, rows)
    with pytest.raises(error, match=message):
        f.hessian(*point).block(rows)


def test_other_bad_arguments(small):
    f, point = small
    with pytest.raises(hc.UnsupportedError, match="no names"):
        f.jacobian(*point[:2]).block("0")
    for call in (f.block, f.quadratic_form, f.layer_forms):
        arguments = {"v": np.ones(f.num_params)} if call != f.block else {}
        with pytest.raises(hc.OptionError, match="kind: expected one of hessian, ggn, gap"):
            call(*point, **arguments, kind="hesian")
    for v in (None, np.ones(3), np.ones((2, 2, f.num_params)), np.ones(()), "v"):
        with pytest.raises(hc.ShapeError, match="v: expected"):
            f.quadratic_form(*point, v)
    with pytest.raises(hc.ShapeError, match="v: expected"):
        f.layer_forms(*point, np.ones(3))
    with pytest.raises(hc.DTypeError, match="v: expected float64"):
        f.quadratic_form(*point, np.ones(f.num_params, "float32"))
