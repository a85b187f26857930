"""HesScale in PyTorch, by hand: one sweep over the layers, for eager runs and torch.compile."""

from __future__ import annotations

import torch
from networks import EPS, Layer
from torch.nn import functional

aten = torch.ops.aten


def parts(layers, given):
    """The parameters of each layer, from an iterator; of a residual block, of each branch."""
    return [
        [parts(branch, given) for branch in layer.branches]
        if layer.branches
        else [next(given) for _ in range(layer.arrays)]
        for layer in layers
    ]


def apply(layer: Layer, w, x):
    """The output of a layer, and what its backward pass wants besides."""
    match layer.kind:
        case "linear":
            return torch.addmm(w[1], x, w[0].T), None
        case "conv":
            bias = w[1] if layer.arrays == 2 else None
            return functional.conv2d(x, w[0], bias, layer.stride, layer.padding), None
        case "batch_norm":
            y, *statistics = aten.native_batch_norm(x, *w, None, None, True, 0.1, EPS)
            return y, statistics
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


def forward(layers, w, x):
    """The output, and the tape: (input, output, besides) of each layer, tapes of branches."""
    tape = []
    for layer, own in zip(layers, w, strict=True):
        if layer.branches:
            ends = [forward(b, part, x) for b, part in zip(layer.branches, own, strict=True)]
            tape.append([inner for _, inner in ends])
            x = ends[0][0] + ends[1][0]
        else:
            y, besides = apply(layer, own, x)
            tape.append((x, y, besides))
            x = y
    return x, tape


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
    """Adjoint and curvature of x, if deeper layers want them, and of the parameters."""
    if layer.kind == "linear":
        below = (g @ w[0], h @ (w[0] * w[0])) if deeper else (None, None)
        return *below, [g.T @ x, g.sum(0)], [h.T @ (x * x), h.sum(0)]
    bias, square = layer.arrays == 2, w[0] * w[0]
    gx, *gw = conv_backward(layer, w[0], x, g, [deeper, True, bias])
    if unfold:
        hx = conv_backward(layer, square, x, h, [deeper, False, False])[0] if deeper else None
        hw = [unfolded_squares(layer, x, h).view_as(w[0]), h.sum((0, 2, 3))]
    else:
        hx, *hw = conv_backward(layer, square, x * x, h, [deeper, True, bias])
    return gx, hx, gw[: layer.arrays], hw[: layer.arrays]


def backward_norm(w, x, statistics, g, h):
    """Batch statistics count as constants for the curvatures."""
    mean, r = statistics
    gx, *gw = aten.native_batch_norm_backward(
        g, x, w[0], None, None, mean, r, True, EPS, [True, True, True]
    )
    unit = (x - mean[:, None, None]) * r[:, None, None]
    hw = [(h * unit * unit).sum((0, 2, 3)), h.sum((0, 2, 3))]
    return gx, h * ((w[0] * r) ** 2)[:, None, None], gw, hw


def backward(layer: Layer, w, record, g, h, deeper: bool, unfold: bool):
    """Adjoint and curvature of the input, and of the parameters."""
    x, y, besides = record
    if layer.kind == "batch_norm":
        return backward_norm(w, x, besides, g, h)
    if w:
        return backward_affine(layer, w, x, g, h, deeper, unfold)
    if layer.kind == "tanh":
        slope = 1 - y * y
        return slope * g, slope * slope * h - 2 * y * slope * g, [], []
    if layer.kind == "relu":
        return g * (y > 0), h * (y > 0), [], []
    share = {"mean_pool": layer.kernel**2, "mean": x.numel() / y.numel()}.get(layer.kind, 1)
    g, h = (transpose(layer, x, y, besides, a) for a in (g, h))
    return g, h / share, [], []


def sweep(layers, w, tape, g, h, first: bool, unfold: bool):
    """The same for layers in a row; `first`: nobody wants the adjoint of the input."""
    grads, diags = [], []
    for i in reversed(range(len(layers))):
        layer, deeper = layers[i], i > 0 or not first
        if layer.branches:
            ends = [
                sweep(*branch, g, h, not deeper, unfold)
                for branch in zip(layer.branches, w[i], tape[i], strict=True)
            ]
            g, h = ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]
            gw, hw = ([*ends[0][k], *ends[1][k]] for k in (2, 3))
        else:
            g, h, gw, hw = backward(layer, w[i], tape[i], g, h, deeper, unfold)
        grads, diags = [*gw, *grads], [*hw, *diags]
    return g, h, grads, diags


def hesscale(layers, w, x, y, unfold: bool = False):
    """Loss, gradient and HesScale diagonal in one sweep; w: all parameters in a list."""
    nested = parts(layers, iter(w))
    z, tape = forward(layers, nested, x)
    p = torch.softmax(z, 1)
    g = (p - functional.one_hot(y, z.shape[1])) / len(y)
    h = (p - p * p) / len(y)
    grads, diags = sweep(layers, nested, tape, g, h, True, unfold)[2:]
    return functional.cross_entropy(z, y), grads, diags
