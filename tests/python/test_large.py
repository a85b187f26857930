"""Sizes beyond the blocks of the kernels, with ragged ends, against NumPy and JAX in float64."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems

SIZES = [
    ((67, 131, 259, 17), 130),
    ((1, 513, 5), 3),
    ((300, 9, 300, 2), 65),
    ((16, 32, 48, 10), 1025),
]


def forward(f, w, x, tensors):
    """Inputs of the linear layers, and the logits."""
    inputs = [x]
    for i in range(0, len(tensors), 2):
        weight, bias = tensors[i], tensors[i + 1]
        a = inputs[-1] @ weight.T + bias
        inputs.append(np.tanh(a) if i + 2 < len(tensors) else a)
    return inputs[:-1], inputs[-1]


def square_sums(f, w, x, seeds):
    """sum_k sum_n (d seeds_kn' z_n / dw)^2: exact diagonals from columns of the logits' curvature.

    A weight's derivative is delta_i h_j for each sample, so that its square factors.
    """
    tensors = list(f.views(w).values())
    inputs, _ = forward(f, w, x, tensors)
    parts = [np.zeros_like(t) for t in tensors]
    for delta in seeds:
        for i in reversed(range(len(inputs))):
            parts[2 * i] += (delta**2).T @ inputs[i] ** 2
            parts[2 * i + 1] += (delta**2).sum(0)
            delta = (delta @ tensors[2 * i]) * (1 - inputs[i] ** 2)
    return np.concatenate([p.ravel() for p in parts])


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def close(got, expected, rtol=1e-11):
    assert np.linalg.norm(got - expected) <= rtol * np.linalg.norm(expected)


@pytest.fixture(params=SIZES, ids=str)
def problem(request):
    widths, n = request.param
    f = problems.mlp(*widths)
    w, x, y = problems.batch(f, n, widths[0], classes=widths[-1])
    return f, w / np.sqrt(max(widths) / 8), x, y


def test_exact_diagonals(problem):
    f, w, x, y = problem
    n = len(x)
    z = f.predict(w, x)
    p, labels = softmax(z), np.eye(z.shape[1])[y]
    columns = [
        np.sqrt(p[:, [c]] / n) * (np.eye(z.shape[1])[c] - p) for c in range(z.shape[1])
    ]  # sum over c of their outer products: (diag p - p p') / n
    close(f.diag(w, x, y, kind="ggn"), square_sums(f, w, x, columns))
    fisher = square_sums(f, w, x, [(p - labels) / np.sqrt(n)])
    close(f.diag(w, x, y, kind="empirical_fisher"), fisher)


def test_products_equal_jax(problem):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    f, w, x, y = problem
    rng = np.random.default_rng(0)
    v = rng.normal(size=(3, w.size))
    spots = [(offset, shape) for offset, shape in f.layout.values()]

    def net(w):
        h = x
        for i in range(0, len(spots), 2):
            weight, bias = (w[o : o + int(np.prod(s))].reshape(s) for o, s in spots[i : i + 2])
            h = h @ weight.T + bias
            h = jax.numpy.tanh(h) if i + 2 < len(spots) else h
        return h

    def ce(z):
        picked = jax.numpy.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1)
        return -picked.mean()

    def gv(w, v):
        z, dz = jax.jvp(net, (w,), (v,))
        hdz = jax.jvp(jax.grad(ce), (z,), (dz,))[1]
        return jax.vjp(net, w)[1](hdz)[0]

    def hv(w, v):
        return jax.jvp(jax.grad(lambda w: ce(net(w))), (w,), (v,))[1]

    def everything(w, v):
        return jax.value_and_grad(lambda w: ce(net(w)))(w), hv(w, v), gv(w, v)

    many = jax.jit(jax.vmap(everything, in_axes=(None, 0)))
    (loss, grad), hvp, ggnvp = jax.tree.map(np.asarray, many(w, v))
    value, gradient = f.value_and_grad(w, x, y)
    assert value == pytest.approx(loss[0], rel=1e-13)
    close(gradient, grad[0])
    close(f.hvp(w, x, y, v), hvp)
    close(f.ggnvp(w, x, y, v), ggnvp)
    close(f.hessian(w, x, y) @ v.T, hvp.T)
    close(f.ggn(w, x, y).matvec(v[1]), ggnvp[1])


def test_hesscale(problem):
    f, w, x, y = problem
    n = len(x)
    tensors = list(f.views(w).values())
    inputs, z = forward(f, w, x, tensors)
    p = softmax(z)
    g, d = (p - np.eye(z.shape[1])[y]) / n, (p - p * p) / n
    parts = []
    for i in reversed(range(len(inputs))):
        parts[:0] = [(d.T @ inputs[i] ** 2).ravel(), d.sum(0)]
        h = inputs[i]
        r, c = g @ tensors[2 * i], d @ tensors[2 * i] ** 2
        g, d = (1 - h**2) * r, (1 - h**2) ** 2 * c - 2 * h * (1 - h**2) * r
    close(f.diag(w, x, y, kind="hesscale"), np.concatenate(parts))


@pytest.mark.parametrize("kind", ["hesscale", "hesscale_gn", "bl89", "ggn", "empirical_fisher"])
def test_float32_follows_float64(problem, kind):
    f, w, x, y = problem
    low, high = (
        f.diag(w.astype("float32").astype(t), x.astype("float32").astype(t), y, kind=kind)
        for t in ("float32", "float64")
    )
    assert low.dtype == np.float32
    close(low, high, rtol=32 * np.finfo(np.float32).eps * np.sqrt(max(w.size**0.5, len(x))))


def test_a_real_data_set(data_folder):
    """Digits of MNIST, float32: products and diagonals follow float64, and training learns."""
    with np.load(data_folder / "mnist.npz") as data:
        x = (data["x_train"][:512].reshape(512, -1) / 255).astype(np.float32)
        y = data["y_train"][:512].astype(np.int64)
    f = problems.mlp(784, 32, 10)
    w = f.init(seed=1)
    v = f.init(seed=2)
    low = f.hvp(w, x, y, v)
    high = f.hvp(*(a.astype(float) for a in (w, x)), y, v.astype(float))
    close(low, high, rtol=1e-4)
    for method in ("adahesscale", "gauss_newton"):
        trained = w.copy()
        losses = hc.Optimizer(f, method, lr=0.005 if method == "adahesscale" else 1.0).run(
            trained, x, y, batch_size=128, epochs=8, progress=False
        )
        assert losses[-1] < 0.5 * losses[0], method
