"""JAX under jit on the GPU: what a careful user writes by hand, compiled once for each row."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
from common import (
    BETA1,
    BETA2,
    CG_ITERATIONS,
    DAMPING,
    EPS,
    LR,
    Clock,
    cases,
    problem,
)

PRECISIONS = {"fp32": "highest", "tf32": "tensorfloat32"}


def forward(w, x):
    """The logits, and the input of each layer."""
    inputs = [x]
    for weight, bias in w[:-1]:
        inputs.append(jnp.tanh(inputs[-1] @ weight.T + bias))
    return inputs[-1] @ w[-1][0].T + w[-1][1], inputs


def cross_entropy(z, y):
    return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])


def loss(w, x, y):
    return cross_entropy(forward(w, x)[0], y)


def hesscale(w, x, y):
    """Loss, gradient and HesScale diagonal in one sweep."""
    z, inputs = forward(w, x)
    p = jax.nn.softmax(z)
    g = (p - jax.nn.one_hot(y, z.shape[1])) / len(y)
    h = (p - p * p) / len(y)
    grads, diags = [], []
    for (weight, _), a in zip(reversed(w), reversed(inputs), strict=True):
        grads.append((g.T @ a, g.sum(0)))
        diags.append((h.T @ (a * a), h.sum(0)))
        slope = 1 - a * a
        r = g @ weight
        g, h = slope * r, slope * slope * (h @ (weight * weight)) - 2 * a * slope * r
    return cross_entropy(z, y), grads[::-1], diags[::-1]


def update(w, m, u, g, d, t):
    """Adam's, with the second moment of d."""
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
    u = jax.tree.map(lambda u, d: BETA2 * u + (1 - BETA2) * d * d, u, d)
    c1, c2 = 1 - BETA1**t, 1 - BETA2**t
    w = jax.tree.map(lambda w, m, u: w - LR * (m / c1) / (jnp.sqrt(u / c2) + EPS), w, m, u)
    return w, m, u


def adam_step(state, x, y):
    w, m, u, t = state
    value, g = jax.value_and_grad(loss)(w, x, y)
    return (*update(w, m, u, g, g, t), t + 1), value


def adahesscale_step(state, x, y):
    w, m, u, t = state
    value, g, d = hesscale(w, x, y)
    return (*update(w, m, u, g, d, t), t + 1), value


def ggn_product(w, x, y, v):
    z, tangent = jax.linearize(lambda w: forward(w, x)[0], w)
    dz = jax.jvp(jax.grad(lambda z: cross_entropy(z, y)), (z,), (tangent(v),))[1]
    return jax.linear_transpose(tangent, v)(dz)[0]


def solve(w, x, y, b):
    """50 iterations of conjugate gradients on G + 0.1 I, linearised once."""
    z, tangent = jax.linearize(lambda w: forward(w, x)[0], w)
    transpose = jax.linear_transpose(tangent, w)

    def matvec(v):
        dz = jax.jvp(jax.grad(lambda z: cross_entropy(z, y)), (z,), (tangent(v),))[1]
        return jax.tree.map(lambda a, v: a + DAMPING * v, transpose(dz)[0], v)

    def dot(a, b):
        return sum(
            jnp.vdot(p, q) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        )

    def body(_, state):
        s, r, p, rr = state
        q = matvec(p)
        alpha = rr / dot(p, q)
        s = jax.tree.map(lambda s, p: s + alpha * p, s, p)
        r = jax.tree.map(lambda r, q: r - alpha * q, r, q)
        new = dot(r, r)
        return s, r, jax.tree.map(lambda r, p: r + new / rr * p, r, p), new

    start = (jax.tree.map(jnp.zeros_like, b), b, b, dot(b, b))
    return jax.lax.fori_loop(0, CG_ITERATIONS, body, start)[0]


def run(case, precision: str) -> None:
    given = problem(case)
    x, y = jnp.asarray(given.x), jnp.asarray(given.y)
    w = jax.tree.map(jnp.asarray, given.layers)
    v = jax.tree.map(jnp.asarray, given.split(given.v))
    zeros = jax.tree.map(jnp.zeros_like, w)
    last = [None]
    clock = Clock("jax", case, precision, lambda: jax.block_until_ready(last[0]))

    def steps(name, step):
        compiled, state = jax.jit(step, donate_argnums=0), [None]
        state[0] = (*jax.tree.map(jnp.copy, (w, zeros, zeros)), jnp.float32(1))

        def call():
            state[0], last[0] = compiled(state[0], x, y)

        clock.row(name, call)

    def calls(name, function, *arguments, bundle=20):
        compiled = jax.jit(function)

        def call():
            last[0] = compiled(*arguments)

        clock.row(name, call, bundle)

    steps("adam step", adam_step)
    steps("adahesscale step", adahesscale_step)
    calls("gradient call", jax.value_and_grad(loss), w, x, y)
    calls("hesscale call", hesscale, w, x, y)
    calls("ggnvp", ggn_product, w, x, y, v)
    calls("50 CG iterations on the GGN", solve, w, x, y, v, bundle=3)


def main() -> None:
    for precision, name in PRECISIONS.items():
        jax.config.update("jax_default_matmul_precision", name)
        for case in cases():
            run(case, precision)
    print(f'{{"side": "jax", "version": "{jax.__version__}"}}')


if __name__ == "__main__":
    sys.exit(main())
