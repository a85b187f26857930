"""HesScale in JAX, as a careful user writes it: one sweep over the layers, images channels last."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from networks import EPS, Layer, layers


def pack(case, arrays) -> list[tuple]:
    """The parameters of each layer, as the sweep wants them: kernels (h, w, in, out).

    The columns of a dense layer behind an image follow its positions, then its channels. A
    residual block has one list for each branch.
    """
    return _pack(layers(case), case.input_shape, iter(arrays))


def _pack(net, x, given) -> list[tuple]:
    parts, image = [], None
    for layer in net:
        if layer.kind == "residual":
            parts.append(tuple(_pack(branch, x, given) for branch in layer.branches))
        else:
            own = [next(given) for _ in range(layer.arrays)]
            if layer.kind == "conv":
                own[0] = own[0].transpose(2, 3, 1, 0)
            if layer.kind == "linear" and image is not None:
                own[0] = own[0].reshape(-1, *image).transpose(0, 2, 3, 1).reshape(own[0].shape)
            parts.append(tuple(map(jnp.asarray, own)))
        image = _image_before(layer, x, image)
        x = layer.shape(x)
    return parts


def unpack(case, parts) -> list:
    """The other way: the arrays in order, in PyTorch's layout."""
    return _unpack(layers(case), case.input_shape, parts)


def _unpack(net, x, parts) -> list:
    arrays, image = [], None
    for layer, part in zip(net, parts, strict=True):
        if layer.kind == "residual":
            for branch, own in zip(layer.branches, part, strict=True):
                arrays += _unpack(branch, x, own)
        else:
            own = list(part)
            if layer.kind == "conv":
                own[0] = own[0].transpose(3, 2, 0, 1)
            if layer.kind == "linear" and image is not None:
                c, h, w = image
                own[0] = own[0].reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(own[0].shape)
            arrays += own
        image = _image_before(layer, x, image)
        x = layer.shape(x)
    return arrays


def _image_before(layer: Layer, x, image):
    """The shape of the image whose elements a dense layer would get next, if any."""
    if layer.kind == "flatten":
        return x if len(x) == 3 else None
    return None if layer.kind == "linear" else image


def images(x):
    """The input with its channels last."""
    return jnp.asarray(x if x.ndim == 2 else x.transpose(0, 2, 3, 1))


def normalised(x):
    """Batch normalisation without scale and shift, and the reciprocal deviations."""
    r = lax.rsqrt(jnp.var(x, (0, 1, 2)) + EPS)
    return (x - jnp.mean(x, (0, 1, 2))) * r, r


def apply(layer: Layer, w, x):
    """The output of a layer."""
    window, strides = (1, layer.kernel, layer.kernel, 1), (1, layer.stride, layer.stride, 1)
    match layer.kind:
        case "linear":
            return x @ w[0].T + w[1]
        case "conv":
            rows = 2 * [(layer.padding, layer.padding)]
            order = ("NHWC", "HWIO", "NHWC")
            y = lax.conv_general_dilated(x, w[0], strides[1:3], rows, None, None, order)
            return y + w[1] if layer.arrays == 2 else y
        case "batch_norm":
            return normalised(x)[0] * w[0] + w[1]
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
    """The output, and the tape: input and output of each layer, tapes of a block's branches."""
    tape = []
    for layer, part in zip(net, w, strict=True):
        if layer.kind == "residual":
            ends = [forward(b, own, x) for b, own in zip(layer.branches, part, strict=True)]
            tape.append([inner for _, inner in ends])
            x = ends[0][0] + ends[1][0]
        else:
            y = apply(layer, part, x)
            tape.append((x, y))
            x = y
    return x, tape


def cross_entropy(z, y):
    return jnp.mean(jax.nn.logsumexp(z, 1) - jnp.take_along_axis(z, y[:, None], 1)[:, 0])


def loss(net, w, x, y):
    return cross_entropy(forward(net, w, x)[0], y)


def backward(layer: Layer, w, x, y, g, h):
    """Adjoint and curvature of the input, then of the parameters.

    Of a map linear in x and in w the curvatures are its transposes at squared x and w. Batch
    statistics count as constants for the curvatures.
    """
    if layer.kind == "tanh":
        slope = 1 - y * y
        return slope * g, slope * slope * h - 2 * y * slope * g, (), ()
    if layer.kind == "relu":
        return jnp.where(y > 0, g, 0), jnp.where(y > 0, h, 0), (), ()
    pull = jax.vjp(lambda w, x: apply(layer, w, x), w, x)[1]
    gw, gx = pull(g)
    if layer.kind == "batch_norm":
        unit, r = normalised(x)
        hw = jnp.sum(h * unit * unit, (0, 1, 2)), jnp.sum(h, (0, 1, 2))
        return gx, h * (w[0] * r) ** 2, gw, hw
    if w:
        squares = jax.tree.map(jnp.square, (w, x))
        hw, hx = jax.vjp(lambda w, x: apply(layer, w, x), *squares)[1](h)
        return gx, hx, gw, hw
    window = {"mean_pool": layer.kernel**2, "mean": x.size // y.size}.get(layer.kind, 1)
    return gx, pull(h)[1] / window, (), ()


def sweep(net, w, tape, g, h):
    """The same for layers in a row."""
    grads, diags = [], []
    for layer, part, record in zip(reversed(net), reversed(w), reversed(tape), strict=True):
        if layer.kind == "residual":
            ends = [
                sweep(*branch, g, h) for branch in zip(layer.branches, part, record, strict=True)
            ]
            g, h = ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]
            gw, hw = tuple(end[2] for end in ends), tuple(end[3] for end in ends)
        else:
            g, h, gw, hw = backward(layer, part, *record, g, h)
        grads.append(gw)
        diags.append(hw)
    return g, h, grads[::-1], diags[::-1]


def hesscale(net, w, x, y):
    """Loss, gradient and HesScale diagonal in one sweep."""
    z, tape = forward(net, w, x)
    p = jax.nn.softmax(z)
    g = (p - jax.nn.one_hot(y, z.shape[1])) / len(y)
    h = (p - p * p) / len(y)
    return cross_entropy(z, y), *sweep(net, w, tape, g, h)[2:]
