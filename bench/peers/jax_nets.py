"""The networks as JAX functions of a list of arrays; images are (N, H, W, C) inside."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from . import nets

EPS = 1e-5  # of batch normalisation


def forward(layers: nets.Layers, w, x):
    """The network's output for x (N, C, H, W) or (N, features)."""
    return _apply(layers, iter(w), x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)


def cross_entropy(z, y):
    return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])


def _apply(layers: nets.Layers, w, x):
    for kind, *numbers in layers:
        x = _layer(kind, numbers, w, x)
    return x


def _layer(kind: str, numbers: list, w, x):
    if kind == "linear":
        return x @ next(w).T + next(w)
    if kind == "conv":
        _, _, _, stride, padding, bias = numbers
        x = _convolution(x, next(w), stride, padding)
        return x + next(w) if bias else x
    if kind == "batch_norm":
        mean, variance = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
        return (x - mean) * lax.rsqrt(variance + EPS) * next(w) + next(w)
    if kind == "residual":
        branch = _apply(numbers[0], w, x)
        return branch + _apply(numbers[1], w, x)
    if kind == "mean_pool":
        size, stride = numbers
        return _windows(x, 0.0, lax.add, size, stride, 0) / size**2
    if kind == "max_pool":
        size, stride = numbers
        return _windows(x, -jnp.inf, lax.max, size, stride, stride)
    if kind == "mean":
        return jnp.mean(x, (1, 2), keepdims=True)
    if kind == "flatten":
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return {"tanh": jnp.tanh, "relu": jax.nn.relu}[kind](x)


def _convolution(x, weight, stride: int, padding: int):
    order = ("NHWC", "OIHW", "NHWC")
    sides = [(padding, padding)] * 2
    return lax.conv_general_dilated(x, weight, (stride, stride), sides, dimension_numbers=order)


def _windows(x, start, combine, size: int, stride: int, part: int):
    """Pooling; with `part` there is a partial window at the end."""
    ends = [(0, -(n - size) % stride if part else 0) for n in x.shape[1:3]]
    sides = [(0, 0), *ends, (0, 0)]
    return lax.reduce_window(x, start, combine, (1, size, size, 1), (1, stride, stride, 1), sides)
