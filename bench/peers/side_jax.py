"""JAX under jit: what its user would write, parameters as a tree, everything compiled once."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.sparse.linalg import cg
from problem import CG_ITERATIONS, DAMPING, Case, Problem, join


def set_threads(count: int) -> None:
    """Nothing to do: XLA takes the processors that the process may use."""


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"jax": jax.__version__, "jaxlib": version("jaxlib")}


def cross_entropy(z, y):
    return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])


def forward(layers, w, x):
    """The network's output; images are (N, C, H, W) outside, channels last inside."""
    w = list(w)
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    for kind, *numbers in layers:
        if kind == "linear":
            x = x @ w.pop(0).T + w.pop(0)
        elif kind == "conv":
            x = convolution(x, w.pop(0), *numbers[3:5]) + (w.pop(0) if numbers[5] else 0)
        elif kind == "max_pool":
            x = max_pool(x, *numbers)
        elif kind == "flatten":
            x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        else:
            x = {"tanh": jnp.tanh, "relu": jax.nn.relu}[kind](x)
    return x


def convolution(x, weight, stride: int, padding: int):
    order = ("NHWC", "OIHW", "NHWC")
    sides = [(padding, padding)] * 2
    return lax.conv_general_dilated(x, weight, (stride, stride), sides, dimension_numbers=order)


def max_pool(x, size: int, stride: int):
    """With a partial window at the end."""
    sides = [(0, 0), *((0, -(n - size) % stride) for n in x.shape[1:3]), (0, 0)]
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), sides
    )


def hesscale(name: str, w, x, y):
    """Loss, gradient and HesScale diagonal by hand, in one sweep."""
    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[name]
    inputs = [x]
    for weight, bias in w[:-1]:
        inputs.append(activation(inputs[-1] @ weight.T + bias))
    z = inputs[-1] @ w[-1][0].T + w[-1][1]
    p = jax.nn.softmax(z)
    g = (p - jax.nn.one_hot(y, z.shape[1])) / len(y)
    h = (p - p * p) / len(y)
    grads, diags = [], []
    for (weight, _), a in zip(reversed(w), reversed(inputs), strict=True):
        grads.append((g.T @ a, g.sum(0)))
        diags.append((h.T @ (a * a), h.sum(0)))
        slope = 1 - a * a if name == "tanh" else (a > 0).astype(a.dtype)
        bend = -2 * a * slope if name == "tanh" else 0
        r = g @ weight
        g, h = slope * r, slope * slope * (h @ (weight * weight)) + bend * r
    return cross_entropy(z, y), grads[::-1], diags[::-1]


def rows(problem: Problem) -> dict:
    case = problem.case
    if not case.has_products:
        return {}
    layers = case.layers
    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)
    w, v = ([jnp.asarray(a) for a in problem.views(u)] for u in (problem.w, problem.v))

    def loss(w, x, y):
        return cross_entropy(forward(layers, w, x), y)

    gradient = jax.jit(jax.value_and_grad(loss))
    hvp = jax.jit(lambda w, x, y, v: jax.jvp(lambda w: jax.grad(loss)(w, x, y), (w,), (v,))[1])
    anew = jax.jit(lambda w, x, y: jax.linearize(lambda w: jax.grad(loss)(w, x, y), w)[1])
    linear_hvp, apply = anew(w, x, y), jax.jit(lambda f, v: f(v))
    z, tangent = jax.jit(functools.partial(linearise, layers))(w, x)
    product = jax.jit(ggn)
    wait = jax.block_until_ready
    rows = {
        "gradient": (lambda: wait(gradient(w, x, y)), lambda r: join_tree(r[1])),
        "hvp": (lambda: wait(hvp(w, x, y, v)), join_tree),
        "hvp, linearised once": (lambda: wait(apply(linear_hvp, v)), join_tree),
        "ggnvp": (lambda: wait(product(tangent, z, y, v)), join_tree),
    }
    if not isinstance(case, Case):
        return rows
    solve = jax.jit(functools.partial(conjugate_gradients, layers))
    b = gradient(w, x, y)[1]
    by_hand = jax.jit(hesscale, static_argnums=0)
    pairs = list(zip(w[::2], w[1::2], strict=True))
    return rows | {
        "hesscale": (
            lambda: wait(by_hand(case.activation, pairs, x, y)),
            lambda r: join_tree(r[2]),
        ),
        "cg50": (lambda: wait(solve(w, x, y, b)), join_tree),
    }


def linearise(layers, w, x):
    return jax.linearize(lambda w: forward(layers, w, x), w)


def ggn(tangent, z, y, v):
    u = jax.jvp(jax.grad(lambda z: cross_entropy(z, y)), (z,), (tangent(v),))[1]
    return jax.linear_transpose(tangent, v)(u)[0]


def conjugate_gradients(layers, w, x, y, b):
    z, tangent = linearise(layers, w, x)

    def damped(v):
        return jax.tree.map(lambda a, v: a + DAMPING * v, ggn(tangent, z, y, v), v)

    return cg(damped, b, tol=0.0, atol=0.0, maxiter=CG_ITERATIONS)[0]


def join_tree(tree):
    return join(jax.tree.leaves(tree))
