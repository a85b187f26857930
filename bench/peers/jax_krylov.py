"""Products and Krylov methods in JAX, linearised once."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
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


class Solvers:
    """Methods of one network and batch."""

    def __init__(self, layers: nets.Layers, x, y) -> None:
        self.layers, self.x, self.y = layers, x, y

    def conjugate_gradients(self, w, b):
        z, tangent = linearise(self.layers, w, self.x)

        def damped(v):
            return jax.tree.map(lambda a, v: a + DAMPING * v, ggn(z, tangent, self.y, v), v)

        return cg(damped, b, tol=0.0, atol=0.0, maxiter=CG_ITERATIONS)[0]

    def lanczos(self, w, v):
        """The largest Ritz value; each vector is made orthogonal to all."""
        w, unravel = ravel_pytree(w)

        def gradient(w):
            leaves = unravel(w)
            return jax.grad(lambda u: cross_entropy(forward(self.layers, u, self.x), self.y))(
                leaves
            )

        product = jax.linearize(lambda w: ravel_pytree(gradient(w))[0], w)[1]
        v = ravel_pytree(v)[0]
        done, alphas, betas = [], [], []
        for _ in range(LANCZOS_STEPS // BLOCK):
            step = functools.partial(self._step, product, done)
            v, block, alpha, beta = lax.fori_loop(0, BLOCK, step, (v, *empty(BLOCK, v)))
            done.append(block)
            alphas.append(alpha)
            betas.append(beta)
        alphas, betas = jnp.concatenate(alphas), jnp.concatenate(betas)
        off = betas[:-1]
        return jnp.linalg.eigvalsh(jnp.diag(alphas) + jnp.diag(off, 1) + jnp.diag(off, -1))[-1:]

    def _step(self, product, done, k, state):
        """The next vector, orthogonal to the blocks that are done and to the one that fills."""
        v, block, alphas, betas = state
        q = v / jnp.linalg.norm(v)
        block, u = block.at[k].set(q), product(q)
        alphas = alphas.at[k].set(u @ q)
        for rows in (*done, block):
            u = u - (rows @ u) @ rows
        return u, block, alphas, betas.at[k].set(jnp.linalg.norm(u))


def empty(count: int, v):
    """A block of vectors, and its coefficients."""
    return jnp.zeros((count, len(v)), v.dtype), *jnp.zeros((2, count), v.dtype)
