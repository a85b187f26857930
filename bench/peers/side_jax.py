"""JAX under jit: what its user would write, parameters as a tree, everything compiled once."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from . import jax_diagonals, jax_krylov
from .cases import Case, has_batch_norm
from .jax_nets import cross_entropy, forward
from .problem import ADAM, Problem, join
from .rows import Row

COMPILES = True
wait = jax.block_until_ready


def set_threads(count: int) -> None:
    """Nothing to do: XLA takes the processors that the process may use."""


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"jax": jax.__version__, "jaxlib": version("jaxlib")}


def float64():
    """A context in which arrays are made in float64."""
    return jax.enable_x64(True)


def join_tree(tree):
    return join(jax.tree.leaves(tree))


def rows(problem: Problem) -> dict[str, Row]:
    layers = problem.case.layers
    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)
    w, v = ([jnp.asarray(a) for a in problem.views(u)] for u in (problem.w, problem.v))

    def loss(w):
        return cross_entropy(forward(layers, w, x), y)

    def call(function: Callable, *arguments):
        """A jitted function, called with arguments that are waited for."""
        jitted = jax.jit(function)
        return lambda: lambda: wait(jitted(*arguments))

    gradient = jax.value_and_grad(loss)
    found = {
        "gradient": Row(call(gradient, w), lambda r: join_tree(r[1])),
        "adam_step": Row(adam(gradient, w), lambda u: join_tree(u) - problem.w),
        "hvp": Row(call(lambda w, v: jax.jvp(jax.grad(loss), (w,), (v,))[1], w, v), join_tree),
        "hvp, linearised once": Row(linearised(jax.grad(loss), w, v), join_tree),
        "hutchinson": Row(hutchinson(gradient, w)),
    }
    found |= ggn_rows(layers, w, v, x, y)
    lanczos = jax_krylov.Lanczos(layers, x, y)
    found["cg50"] = Row(solving(jax_krylov.solver(layers, x, y), jax.grad(loss), w), join_tree)
    found["lanczos"] = Row(lambda: lambda: wait(lanczos.largest(w, v)), lambda r: join([r]))
    if not has_batch_norm(layers):
        found |= sample_rows(layers, call, w, x, y)
    if isinstance(problem.case, Case):
        found |= by_hand(problem.case.activation, call, w, x, y)
    return found


def by_hand(activation: str, call: Callable, w, x, y) -> dict[str, Row]:
    """Sweeps over the layers of a perceptron."""
    pairs, key = list(zip(w[::2], w[1::2], strict=True)), jax.random.key(0)
    ggn = jax_diagonals.ggn(activation)

    def diagonal(r):
        return join_tree(r[2])

    return {
        "hesscale": Row(call(jax_diagonals.hesscale(activation, True), pairs, x, y), diagonal),
        "hesscale_gn": Row(call(jax_diagonals.hesscale(activation, False), pairs, x, y), diagonal),
        "ggn": Row(call(ggn, pairs, x, y), diagonal),
        "ggn_mc": Row(call(ggn, pairs, x, y, key)),
    }


def adam(gradient: Callable, start):
    """Kingma & Ba's update of a tree, compiled with the gradient; buffers are given away."""
    beta1, beta2 = ADAM["beta1"], ADAM["beta2"]

    def update(k, w, m, s):
        _, g = gradient(w)
        k = k + 1
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
        s = jax.tree.map(lambda s, g: beta2 * s + (1 - beta2) * g * g, s, g)

        def moved(w, m, s):
            root = jnp.sqrt(s / (1 - beta2**k)) + ADAM["eps"]
            return w - ADAM["lr"] * m / (1 - beta1**k) / root

        return k, jax.tree.map(moved, w, m, s), m, s

    step = jax.jit(update, donate_argnums=(1, 2, 3))

    def prepare():
        zeros = [jnp.zeros_like(a) for a in start]
        state = [jnp.zeros(()), [a.copy() for a in start], zeros, [z.copy() for z in zeros]]

        def call():
            state[:] = wait(step(*state))
            return state[1]

        return call

    return prepare


def linearised(function: Callable, w, v):
    once = jax.jit(lambda w: jax.linearize(function, w)[1])
    apply = jax.jit(lambda tangent, v: tangent(v))

    def prepare():
        tangent = wait(once(w))
        return lambda: wait(apply(tangent, v))

    return prepare


def solving(solver: Callable, slope: Callable, w):
    solve, right_hand_side = jax.jit(solver), jax.jit(slope)

    def prepare():
        b = wait(right_hand_side(w))
        return lambda: wait(solve(w, b))

    return prepare


def hutchinson(gradient: Callable, w):
    def draw(key, w):
        keys = jax.random.split(key, len(w))
        z = [jax.random.rademacher(k, a.shape, a.dtype) for k, a in zip(keys, w, strict=True)]
        (_, grads), (_, products) = jax.jvp(gradient, (w,), (z,))
        return grads, jax.tree.map(jnp.multiply, z, products)

    drawn = jax.jit(draw)
    return lambda: lambda: wait(drawn(jax.random.key(0), w))


def ggn_rows(layers, w, v, x, y) -> dict[str, Row]:
    once = jax.jit(lambda w: jax_krylov.linearise(layers, w, x))
    product = jax.jit(jax_krylov.ggn)
    anew = jax.jit(lambda w, v: jax_krylov.ggn(*jax_krylov.linearise(layers, w, x), y, v))

    def prepare():
        z, tangent = wait(once(w))
        return lambda: wait(product(z, tangent, y, v))

    return {
        "ggnvp": Row(prepare, join_tree),
        "ggnvp, linearised anew": Row(lambda: lambda: wait(anew(w, v)), join_tree),
    }


def sample_rows(layers, call: Callable, w, x, y) -> dict[str, Row]:
    diagonals = jax_diagonals.Samples(layers, x, y)

    def flat(r):
        return join([jnp.concatenate([g.reshape(len(y), -1) for g in r], 1)])

    return {
        "per_sample_grads": Row(call(diagonals.gradients, w), flat),
        "ggn": Row(call(diagonals.exact, w), lambda r: join_tree(r[2])),
        "ggn_mc": Row(call(diagonals.sampled, w, jax.random.key(0))),
    }
