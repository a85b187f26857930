"""HesScale in JAX, as a careful user writes it: one sweep over the layers, images channels last."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from networks import Layer, layers, shapes


def pack(case, pairs) -> list[tuple]:
    """The (weight, bias) of each layer or (), as the sweep wants them: kernels (h, w, in, out).

    The columns of a dense layer behind an image follow its positions, then its channels.
    """
    parts, given, image = [], iter(pairs), None
    for layer, x in zip(layers(case), shapes(case), strict=False):
        if not layer.has_weight:
            parts.append(())
            image = x if layer.kind == "flatten" and len(x) == 3 else image
            continue
        weight, bias = next(given)
        if layer.kind == "conv":
            weight = weight.transpose(2, 3, 1, 0)
        elif image is not None:
            weight = weight.reshape(-1, *image).transpose(0, 2, 3, 1).reshape(weight.shape)
            image = None
        parts.append((jnp.asarray(weight), jnp.asarray(bias)))
    return parts


def unpack(case, parts) -> list:
    """The other way: weight, bias, weight, bias, ... in PyTorch's layout."""
    arrays, image = [], None
    for layer, x, part in zip(layers(case), shapes(case), parts, strict=False):
        if not part:
            image = x if layer.kind == "flatten" and len(x) == 3 else image
            continue
        weight, bias = part
        if layer.kind == "conv":
            weight = weight.transpose(3, 2, 0, 1)
        elif image is not None:
            c, h, w = image
            weight = weight.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(weight.shape)
            image = None
        arrays += [weight, bias]
    return arrays


def images(x):
    """The input with its channels last."""
    return jnp.asarray(x if x.ndim == 2 else x.transpose(0, 2, 3, 1))


def apply(layer: Layer, w, x):
    """The output of a layer."""
    window, strides = (1, layer.kernel, layer.kernel, 1), (1, layer.stride, layer.stride, 1)
    match layer.kind:
        case "linear":
            return x @ w[0].T + w[1]
        case "conv":
            rows = 2 * [(layer.padding, layer.padding)]
            order = ("NHWC", "HWIO", "NHWC")
            return lax.conv_general_dilated(x, w[0], strides[1:3], rows, None, None, order) + w[1]
        case "mean_pool":
            return lax.reduce_window(x, 0.0, lax.add, window, strides, "VALID") / layer.kernel**2
        case "max_pool":
            beyond = [-(n - layer.kernel) % layer.stride for n in x.shape[1:3]]
            padding = [(0, 0), *((0, n) for n in beyond), (0, 0)]
            return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)
        case "tanh":
            return jnp.tanh(x)
        case "relu":
            return jax.nn.relu(x)
        case "mean":
            return x.mean((1, 2))
    return x.reshape(len(x), -1)


def forward(net, w, x):
    """The input, and the output of each layer."""
    values = [x]
    for layer, part in zip(net, w, strict=True):
        values.append(apply(layer, part, values[-1]))
    return values


def cross_entropy(z, y):
    return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])


def loss(net, w, x, y):
    return cross_entropy(forward(net, w, x)[-1], y)


def backward(layer: Layer, w, x, y, g, h):
    """Adjoint and curvature of the input, then of the parameters.

    Of a map linear in x and in w the curvatures are its transposes at squared x and w.
    """
    if layer.kind == "tanh":
        slope = 1 - y * y
        return slope * g, slope * slope * h - 2 * y * slope * g, (), ()
    if layer.kind == "relu":
        return jnp.where(y > 0, g, 0), jnp.where(y > 0, h, 0), (), ()
    pull = jax.vjp(lambda w, x: apply(layer, w, x), w, x)[1]
    gw, gx = pull(g)
    if w:
        squares = jax.tree.map(jnp.square, (w, x))
        hw, hx = jax.vjp(lambda w, x: apply(layer, w, x), *squares)[1](h)
        return gx, hx, gw, hw
    window = {"mean_pool": layer.kernel**2, "mean": x.size // y.size}.get(layer.kind, 1)
    return gx, pull(h)[1] / window, (), ()


def hesscale(net, w, x, y):
    """Loss, gradient and HesScale diagonal in one sweep."""
    values = forward(net, w, x)
    z = values[-1]
    p = jax.nn.softmax(z)
    g = (p - jax.nn.one_hot(y, z.shape[1])) / len(y)
    h = (p - p * p) / len(y)
    grads, diags = [], []
    for i in reversed(range(len(net))):
        g, h, gw, hw = backward(net[i], w[i], values[i], values[i + 1], g, h)
        grads.append(gw)
        diags.append(hw)
    return cross_entropy(z, y), grads[::-1], diags[::-1]
