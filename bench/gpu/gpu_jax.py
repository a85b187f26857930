"""JAX under jit on the GPU: what a careful user writes by hand, compiled once for each row."""

from __future__ import annotations

import sys
from functools import partial

import jax
import jax.numpy as jnp
from common import BETA1, BETA2, CG_ITERATIONS, DAMPING, EPS, LR, PROBES, Clock, cases
from networks import NetCase, make
from networks import layers as layers_of
from sweep_jax import cross_entropy, forward, hesscale, images, loss, pack

PRECISIONS = {"fp32": "highest", "tf32": "tensorfloat32"}


def update(w, m, u, g, d, t):
    """Adam's, with the second moment of d."""
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
    u = jax.tree.map(lambda u, d: BETA2 * u + (1 - BETA2) * d * d, u, d)
    c1, c2 = 1 - BETA1**t, 1 - BETA2**t
    w = jax.tree.map(lambda w, m, u: w - LR * (m / c1) / (jnp.sqrt(u / c2) + EPS), w, m, u)
    return w, m, u


def gradient(layers, w, x, y):
    return jax.value_and_grad(partial(loss, layers))(w, x, y)


def adam_step(layers, state, x, y):
    w, m, u, t = state
    value, g = gradient(layers, w, x, y)
    return (*update(w, m, u, g, g, t), t + 1), value


def adahesscale_step(layers, state, x, y):
    w, m, u, t = state
    value, g, d = hesscale(layers, w, x, y)
    return (*update(w, m, u, g, d, t), t + 1), value


def ggn_product(layers, w, x, y, v):
    z, tangent = jax.linearize(lambda w: forward(layers, w, x)[0], w)
    dz = jax.jvp(jax.grad(lambda z: cross_entropy(z, y)), (z,), (tangent(v),))[1]
    return jax.linear_transpose(tangent, v)(dz)[0]


def hessian_product(layers, w, x, y, v):
    return jax.jvp(jax.grad(lambda w: loss(layers, w, x, y)), (w,), (v,))[1]


def hessian_products(layers, w, x, y, v):
    return jax.vmap(partial(hessian_product, layers, w, x, y))(v)


def solve(layers, w, x, y, b):
    """50 iterations of conjugate gradients on G + 0.1 I, linearised once."""
    z, tangent = jax.linearize(lambda w: forward(layers, w, x)[0], w)
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
    given, layers = make(case), layers_of(case)
    x, y = images(given.x), jnp.asarray(given.y)
    w, v = pack(case, given.parameters), pack(case, given.views(given.v))
    zeros = jax.tree.map(jnp.zeros_like, w)
    last = [None]
    clock = Clock("jax", case, precision, lambda: jax.block_until_ready(last[0]))

    def steps(name, step):
        compiled, state = jax.jit(partial(step, layers), donate_argnums=0), [None]
        state[0] = (*jax.tree.map(jnp.copy, (w, zeros, zeros)), jnp.float32(1))

        def call():
            state[0], last[0] = compiled(state[0], x, y)

        clock.row(name, call)

    def calls(name, function, *arguments, bundle=20):
        compiled = jax.jit(partial(function, layers))

        def call():
            last[0] = compiled(*arguments)

        clock.row(name, call, bundle)

    steps("adam step", adam_step)
    steps("adahesscale step", adahesscale_step)
    calls("gradient call", gradient, w, x, y)
    calls("hesscale call", hesscale, w, x, y)
    calls("ggnvp", ggn_product, w, x, y, v)
    if isinstance(case, NetCase):
        return
    calls("hvp", hessian_product, w, x, y, v)
    many = jax.tree.map(lambda a: jnp.stack(PROBES * [a]), v)
    calls("32 hvp at once", hessian_products, w, x, y, many, bundle=3)
    calls("50 CG iterations on the GGN", solve, w, x, y, v, bundle=3)


def main() -> None:
    for precision, name in PRECISIONS.items():
        jax.config.update("jax_default_matmul_precision", name)
        for case in cases():
            run(case, precision)
    print(f'{{"side": "jax", "version": "{jax.__version__}"}}')


if __name__ == "__main__":
    sys.exit(main())
