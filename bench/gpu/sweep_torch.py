"""HesScale in PyTorch, by hand: one sweep over the layers, for eager runs and torch.compile."""

from __future__ import annotations

import torch
from networks import Layer
from torch.nn import functional

aten = torch.ops.aten


def parts(layers, w):
    """The [weight, bias] of each layer, or [], from [weight, bias, weight, bias, ...]."""
    given = iter(w)
    return [[next(given), next(given)] if layer.has_weight else [] for layer in layers]


def apply(layer: Layer, w, x):
    """The output of a layer, and what its backward pass wants besides."""
    match layer.kind:
        case "linear":
            return torch.addmm(w[1], x, w[0].T), None
        case "conv":
            return functional.conv2d(x, w[0], w[1], layer.stride, layer.padding), None
        case "mean_pool":
            return functional.avg_pool2d(x, layer.kernel), None
        case "max_pool":
            return functional.max_pool2d(
                x, layer.kernel, layer.stride, ceil_mode=True, return_indices=True
            )
        case "tanh":
            return torch.tanh(x), None
        case "relu":
            return torch.relu(x), None
        case "mean":
            return x.mean((2, 3)), None
    return x.flatten(1), None


def transpose(layer: Layer, x, y, chosen, g):
    """The transpose of a pooling layer, of mean or of flatten."""
    window = 2 * [layer.kernel], 2 * [layer.stride], [0, 0]
    match layer.kind:
        case "mean_pool":
            return aten.avg_pool2d_backward(g, x, *window, False, True, None)
        case "max_pool":
            return aten.max_pool2d_with_indices_backward(g, x, *window, [1, 1], True, chosen)
        case "mean":
            return (g * (y.numel() / x.numel()))[:, :, None, None].expand_as(x)
    return g.reshape(x.shape)


def conv_backward(layer: Layer, w, x, g, wanted):
    """Of the input, the weight and the bias, where wanted."""
    pair = 2 * [layer.stride], 2 * [layer.padding], [1, 1], False, [0, 0], 1
    return aten.convolution_backward(g, x, w, [layer.out], *pair, wanted)


def unfolded_squares(layer: Layer, x, h):
    """The diagonal of a kernel as published tools compute it, a sample at a time."""
    patches = functional.unfold(x * x, layer.kernel, 1, layer.padding, layer.stride)
    return torch.einsum("nol,nkl->nok", h.flatten(2), patches).sum(0)


def backward_affine(layer: Layer, w, x, g, h, deeper: bool, unfold: bool):
    """Adjoint and curvature of x, if deeper layers want them, and of the weight and bias."""
    if layer.kind == "linear":
        below = (g @ w, h @ (w * w)) if deeper else (None, None)
        return *below, [g.T @ x, g.sum(0)], [h.T @ (x * x), h.sum(0)]
    gx, gw, gb = conv_backward(layer, w, x, g, [deeper, True, True])
    if unfold:
        hx = conv_backward(layer, w * w, x, h, [deeper, False, False])[0] if deeper else None
        return gx, hx, [gw, gb], [unfolded_squares(layer, x, h).view_as(w), h.sum((0, 2, 3))]
    hx, hw, hb = conv_backward(layer, w * w, x * x, h, [deeper, True, True])
    return gx, hx, [gw, gb], [hw, hb]


def hesscale(layers, w, x, y, unfold: bool = False):
    """Loss, gradient and HesScale diagonal in one sweep; w = [weight, bias, weight, bias, ...]."""
    values, chosen, pairs = [x], [], parts(layers, w)
    for layer, pair in zip(layers, pairs, strict=True):
        value, index = apply(layer, pair, values[-1])
        values.append(value)
        chosen.append(index)
    z = values[-1]
    p = torch.softmax(z, 1)
    g = (p - functional.one_hot(y, z.shape[1])) / len(y)
    h = (p - p * p) / len(y)
    grads, diags = [], []
    for i in reversed(range(len(layers))):
        layer, below, above = layers[i], values[i], values[i + 1]
        if pairs[i]:
            g, h, gw, hw = backward_affine(layer, pairs[i][0], below, g, h, i > 0, unfold)
            grads, diags = gw + grads, hw + diags
        elif layer.kind == "tanh":
            slope = 1 - above * above
            g, h = slope * g, slope * slope * h - 2 * above * slope * g
        elif layer.kind == "relu":
            g, h = g * (above > 0), h * (above > 0)
        else:
            share = {"mean_pool": layer.kernel**2, "mean": below.numel() / above.numel()}
            g = transpose(layer, below, above, chosen[i], g)
            h = transpose(layer, below, above, chosen[i], h) / share.get(layer.kind, 1)
    return functional.cross_entropy(z, y), grads, diags
