"""JAX under jit: what its user would write, parameters as a tree, everything compiled once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from problem import CG_ITERATIONS, DAMPING, Case, Problem, join


def set_threads(count: int) -> None:
    """Nothing to do: XLA takes the processors that the process may use."""


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"jax": jax.__version__, "jaxlib": version("jaxlib")}


def cross_entropy(z, y):
    return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])


def forward(activation, w, x):
    for weight, bias in w[:-1]:
        x = activation(x @ weight.T + bias)
    weight, bias = w[-1]
    return x @ weight.T + bias


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
    if not isinstance(problem.case, Case):
        return {}
    name = problem.case.activation
    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[name]
    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)
    w = jax.tree.map(jnp.asarray, problem.layers)
    v = jax.tree.map(jnp.asarray, problem.split(problem.v))

    def loss(w, x, y):
        return cross_entropy(forward(activation, w, x), y)

    def linearise(w, x, y):
        z, tangent = jax.linearize(lambda w: forward(activation, w, x), w)
        return z, tangent

    def ggn(tangent, z, y, v):
        u = jax.jvp(jax.grad(lambda z: cross_entropy(z, y)), (z,), (tangent(v),))[1]
        return jax.linear_transpose(tangent, v)(u)[0]

    @jax.jit
    def solve(w, x, y, b):
        z, tangent = linearise(w, x, y)

        def damped(v):
            return jax.tree.map(lambda a, v: a + DAMPING * v, ggn(tangent, z, y, v), v)

        return cg(damped, b, tol=0.0, atol=0.0, maxiter=CG_ITERATIONS)[0]

    gradient = jax.jit(jax.value_and_grad(loss))
    by_hand = jax.jit(hesscale, static_argnums=0)
    hvp = jax.jit(lambda w, x, y, v: jax.jvp(lambda w: jax.grad(loss)(w, x, y), (w,), (v,))[1])
    product = jax.jit(ggn)
    z, tangent = jax.jit(linearise)(w, x, y)
    b = gradient(w, x, y)[1]
    wait = jax.block_until_ready
    return {
        "gradient": (lambda: wait(gradient(w, x, y)), lambda r: join_tree(r[1])),
        "hesscale": (lambda: wait(by_hand(name, w, x, y)), lambda r: join_tree(r[2])),
        "hvp": (lambda: wait(hvp(w, x, y, v)), join_tree),
        "ggnvp": (lambda: wait(product(tangent, z, y, v)), join_tree),
        "cg50": (lambda: wait(solve(w, x, y, b)), join_tree),
    }


def join_tree(tree):
    return join(jax.tree.leaves(tree))
