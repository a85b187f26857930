"""Products and Krylov methods in JAX, linearised once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg

from . import nets
from .jax_nets import cross_entropy, forward
from .problem import CG_ITERATIONS, DAMPING, LANCZOS_STEPS

BLOCK = 10  # Lanczos vectors that are kept in one array


def linearise(layers: nets.Layers, w, x):
    return jax.linearize(lambda w: forward(layers, w, x), w)


def ggn(z, tangent, y, v):
    u = jax.jvp(jax.grad(lambda z: cross_entropy(z, y)), (z,), (tangent(v),))[1]
    return jax.linear_transpose(tangent, v)(u)[0]


def solver(layers: nets.Layers, x, y):
    """Conjugate gradients on the Gauss-Newton matrix, a function of w and b."""

    def solve(w, b):
        z, tangent = linearise(layers, w, x)

        def damped(v):
            return jax.tree.map(lambda a, v: a + DAMPING * v, ggn(z, tangent, y, v), v)

        return cg(damped, b, tol=0.0, atol=0.0, maxiter=CG_ITERATIONS)[0]

    return solve


class Lanczos:
    """Steps on the Hessian, each vector made orthogonal to all: a loop over compiled pieces."""

    def __init__(self, layers: nets.Layers, x, y) -> None:
        def loss(w):
            return cross_entropy(forward(layers, w, x), y)

        self._linearise = jax.jit(lambda w: jax.linearize(jax.grad(loss), w)[1])
        self._product = jax.jit(self._times)
        self._orthogonal = jax.jit(self._to_all, donate_argnums=1)

    def largest(self, w, v):
        """The largest Ritz value of as many steps, from v."""
        product, unravel = self._linearise(w), ravel_pytree(w)[1]
        u, done, numbers = ravel_pytree(v)[0], [], []
        for k in range(LANCZOS_STEPS):
            if k % BLOCK == 0:
                done.append(jnp.zeros((BLOCK, len(u)), u.dtype))
            q, u, alpha = self._product(product, unravel(u))
            done[-1], u, beta = self._orthogonal(tuple(done[:-1]), done[-1], k % BLOCK, q, u)
            numbers.append((alpha, beta))
        alphas, betas = map(jnp.stack, zip(*numbers, strict=True))
        off = betas[:-1]
        return jnp.linalg.eigvalsh(jnp.diag(alphas) + jnp.diag(off, 1) + jnp.diag(off, -1))[-1:]

    @staticmethod
    def _times(product, v):
        """The direction q of v, H q and q'H q."""
        q, unravel = ravel_pytree(v)
        q = q / jnp.linalg.norm(q)
        u = ravel_pytree(product(unravel(q)))[0]
        return q, u, u @ q

    @staticmethod
    def _to_all(done, block, k, q, u):
        """Keep q in the block that fills, and make u orthogonal to all."""
        block = block.at[k].set(q)
        for rows in (*done, block):
            u = u - (rows @ u) @ rows
        return block, u, jnp.linalg.norm(u)
