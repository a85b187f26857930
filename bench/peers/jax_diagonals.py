"""Curvature diagonals in JAX: HesScale by hand, and those made of gradients of single samples."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from . import nets
from .jax_nets import cross_entropy, forward

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


def forward_by_hand(name: str, w, x):
    """The input of each layer of a perceptron, and the output."""
    inputs = [x]
    for weight, bias in w[:-1]:
        inputs.append(ACTIVATIONS[name](inputs[-1] @ weight.T + bias))
    return inputs, inputs[-1] @ w[-1][0].T + w[-1][1]


def slope_of(name: str, a):
    """The derivative of an activation, by its value."""
    return 1 - a * a if name == "tanh" else (a > 0).astype(a.dtype)


def hesscale(name: str, bends: bool):
    """Loss, gradient and diagonal of a perceptron in one sweep; without `bends`, HesScale-GN's."""

    def sweep(w, x, y):
        inputs, z = forward_by_hand(name, w, x)
        p = jax.nn.softmax(z)
        g = (p - jax.nn.one_hot(y, z.shape[1])) / len(y)
        h = (p - p * p) / len(y)
        grads, diags = [], []
        for (weight, _), a in zip(reversed(w), reversed(inputs), strict=True):
            grads.append((g.T @ a, g.sum(0)))
            diags.append((h.T @ (a * a), h.sum(0)))
            slope = slope_of(name, a)
            bend = -2 * a * slope if name == "tanh" and bends else 0
            r = g @ weight
            g, h = slope * r, slope * slope * (h @ (weight * weight)) + bend * r
        return cross_entropy(z, y), grads[::-1], diags[::-1]

    return sweep


def ggn(name: str):
    """Loss, gradient and Gauss-Newton diagonal of a perceptron; with a key, from drawn labels."""

    def sweep(w, x, y, key=None):
        inputs, z = forward_by_hand(name, w, x)
        p, one = jax.nn.softmax(z), jnp.eye(z.shape[1], dtype=z.dtype)
        g = (p - one[y]) / len(y)
        if key is None:  # columns sqrt(p_c) (e_c - p), one after another
            s = jnp.sqrt(p).T[:, :, None] * (one[:, None] - p)
        else:
            s = (one[jax.random.categorical(key, z)] - p)[None]
        s, grads, diags = s / len(y) ** 0.5, [], []
        for (weight, _), a in zip(reversed(w), reversed(inputs), strict=True):
            squares = jnp.sum(s * s, 0)
            grads.append((g.T @ a, g.sum(0)))
            diags.append((squares.T @ (a * a), squares.sum(0)))
            slope = slope_of(name, a)
            g, s = slope * (g @ weight), slope * (s @ weight)
        return cross_entropy(z, y), grads[::-1], diags[::-1]

    return sweep


class Samples:
    """Functions of one network and batch that look at single samples."""

    def __init__(self, layers: nets.Layers, x, y) -> None:
        self.layers, self.x, self.y = layers, x, y

    def gradients(self, w):
        return self._at(w, self.y)

    def sampled(self, w, key):
        """Loss, gradient, and mean squares of gradients at drawn labels."""
        found = self._gradient(w)
        drawn = jax.random.categorical(key, forward(self.layers, w, self.x))
        return *found, [jnp.mean(g * g, 0) for g in self._at(w, drawn)]

    def exact(self, w):
        """Gradient, and the sum over columns sqrt(p_c) (e_c - p) of squared Jacobian products."""
        value, grads = self._gradient(w)

        def one(x, c):
            z, pull = jax.vjp(lambda w: forward(self.layers, w, x[None])[0], w)
            p = jax.nn.softmax(z)
            return pull(jnp.sqrt(p[c]) * (jax.nn.one_hot(c, len(p), dtype=p.dtype) - p))[0]

        def column(total, c):
            found = jax.vmap(lambda x: one(x, c))(self.x)
            return jax.tree.map(lambda t, g: t + jnp.mean(g * g, 0), total, found), None

        zeros = jax.tree.map(jnp.zeros_like, w)
        classes = jax.eval_shape(lambda w: forward(self.layers, w, self.x), w).shape[1]
        return value, grads, lax.scan(column, zeros, jnp.arange(classes))[0]

    def _gradient(self, w):
        return jax.value_and_grad(lambda w: cross_entropy(forward(self.layers, w, self.x), self.y))(
            w
        )

    def _at(self, w, labels):
        def one(w, x, y):
            return cross_entropy(forward(self.layers, w, x[None]), y[None])

        return jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(w, self.x, labels)
