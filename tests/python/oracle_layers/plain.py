"""Every layer forward in NumPy, written from its formula with loops over taps and windows."""

from __future__ import annotations

import itertools

import numpy as np

from oracle.activations import derivatives

from . import shapes
from .spec import Net


def forward(net: Net, w, x, buffers) -> list[np.ndarray]:
    """The value of every node."""
    values: list[np.ndarray] = []
    names = {i: name for name, i in net.inputs.items()}
    for i, node in enumerate(net.nodes):
        if node.kind == "input":
            values.append(x[names[i]])
        else:
            src = [values[s] for s in node.sources]
            values.append(layer(node, src, net.views(w, node), statistics(net, node, src, buffers)))
    return values


def statistics(net: Net, node, src, buffers):
    """Mean and variance of the channels that a batch norm works with; else nothing."""
    if node.kind != "batch_norm":
        return None
    if node.statistics >= 0 and not net.train:
        return buffers[node.statistics]
    axes = (0, *range(2, src[0].ndim))
    return src[0].mean(axes), src[0].var(axes)


def layer(node, src, p, stats=None):
    """One layer's output."""
    if node.kind == "batch_norm":
        return affine((src[0] - wide(stats[0], src[0])) / np.sqrt(
            wide(stats[1], src[0]) + node.args["eps"]), p, wide)  # fmt: skip
    return LAYERS[node.kind](node.args, node.shape, src, p)


def wide(a, like):
    """One number for each channel."""
    return np.reshape(a, (1, -1, *[1] * (like.ndim - 2)))


def affine(y, p, place):
    y = y * place(p[0], y) if p else y
    return y + place(p[1], y) if len(p) == 2 else y


def taps(args, shape, x, pads):
    """(index of the tap, what it sees (N, C, ...)) of a window that moves over x."""
    full = np.pad(x, [(0, 0), (0, 0), *pads])
    dilation = args.get("dilation", (1, 1))
    for tap in itertools.product(*map(range, args["kernel"])):
        cut = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, shape[1:], args["stride"], strict=False)
        ]
        yield tap, full[(slice(None), slice(None), *cut)]


def _grouped(x, weight, groups):
    """x (N, C, ...) times weight (out, C / groups) of each group."""
    n, out = len(x), len(weight)
    parts = x.reshape(n, groups, -1, *x.shape[2:])
    w = weight.reshape(groups, out // groups, -1)
    return np.einsum("goc,ngc...->ngo...", w, parts).reshape(n, out, *x.shape[2:])


def _bias(y, p):
    return y + wide(p[1], y) if len(p) == 2 else y


def _conv(args, shape, src, p):
    y = np.zeros((len(src[0]), *shape))
    for tap, seen in taps(args, shape, src[0], shapes.paddings(args)):
        y += _grouped(seen, p[0][(slice(None), slice(None), *tap)], args["groups"])
    return _bias(y, p)


def _conv_transpose(args, shape, src, p):
    x, weight, groups = src[0], p[0], args["groups"]
    full = np.zeros(
        (len(x), shape[0], *(n + 2 * q for n, q in zip(shape[1:], args["padding"], strict=True)))
    )
    for tap in itertools.product(*map(range, args["kernel"])):
        w = weight[(slice(None), slice(None), *tap)]  # (in, out / groups)
        w = w.reshape(groups, -1, w.shape[1]).swapaxes(1, 2).reshape(shape[0], -1)
        cut = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, args["dilation"], x.shape[2:], args["stride"], strict=True)
        ]
        full[(slice(None), slice(None), *cut)] += _grouped(x, w, groups)
    crop = [slice(q, q + n) for n, q in zip(shape[1:], args["padding"], strict=True)]
    return _bias(full[(slice(None), slice(None), *crop)], p)


def windows(args, shape, size):
    """(place in the output, slices of the input) for every window, clipped to the image."""
    for at in itertools.product(*map(range, shape[1:])):
        cut = []
        for axis, i in enumerate(at):
            k, s, q = (args[name][axis] for name in ("kernel", "stride", "padding"))
            d = args.get("dilation", (1, 1))[axis]
            start = i * s - q
            first = start if start >= 0 else start + -(start // d) * d
            cut.append(slice(first, min(start + d * (k - 1) + 1, size[axis]), d))
        yield at, cut


def largest(args, shape, x):
    """(N, C, windows) flat positions of the first largest elements under the windows."""
    rows = np.arange(np.prod(x.shape[2:])).reshape(x.shape[2:])
    flat = x.reshape(*x.shape[:2], -1)
    found = []
    for _, cut in args_windows(args, shape, x.shape[2:]):
        places = rows[tuple(cut)].ravel()
        found.append(places[flat[:, :, places].argmax(-1)])
    return np.stack(found, -1)


def args_windows(args, shape, size):
    """Windows of a pool, or of an adaptive one."""
    if "kernel" in args:
        yield from windows(args, shape, size)
        return
    for at in itertools.product(*map(range, shape[1:])):
        yield (
            at,
            [
                slice(i * n // out, -(-(i + 1) * n // out))
                for i, n, out in zip(at, size, shape[1:], strict=True)
            ],
        )


def _max_pool(args, shape, src, p):
    x = src[0]
    at = largest(args, shape, x)
    return np.take_along_axis(x.reshape(*x.shape[:2], -1), at, -1).reshape(len(x), *shape)


def _avg_pool(args, shape, src, p):
    x = src[0]
    y = np.zeros((len(x), *shape))
    for at, cut in args_windows(args, shape, x.shape[2:]):
        seen = x[(slice(None), slice(None), *cut)].reshape(*x.shape[:2], -1)
        y[(slice(None), slice(None), *at)] = seen.sum(-1) / _divisor(args, at, x.shape[2:], seen)
    return y


def _divisor(args, at, size, seen):
    if args.get("divisor_override"):
        return args["divisor_override"]
    if not args.get("count_include_pad", True) or "kernel" not in args:
        return seen.shape[-1]
    count = 1
    for axis, i in enumerate(at):
        k, s, q = (args[name][axis] for name in ("kernel", "stride", "padding"))
        count *= min(i * s + k, size[axis] + 2 * q) - i * s
    return count


def _standardize(x, axes, eps, centre=True):
    x = x - x.mean(axes, keepdims=True) if centre else x
    return x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)


def _layer_norm(args, shape, src, p):
    axes = tuple(range(-len(args["shape"]), 0))
    return affine(_standardize(src[0], axes, args["eps"]), p, lambda a, _: a)


def _rms_norm(args, shape, src, p):
    axes = tuple(range(-len(args["shape"]), 0))
    return affine(_standardize(src[0], axes, args["eps"], centre=False), p, lambda a, _: a)


def _group_norm(args, shape, src, p):
    x = src[0]
    parts = x.reshape(len(x), args.get("groups", shape[0]), -1)
    return affine(_standardize(parts, (-1,), args["eps"]).reshape(x.shape), p, wide)


def _linear(args, shape, src, p):
    y = src[0] @ p[0].T
    return y + p[1] if len(p) == 2 else y


def _slice(args, shape, src, p):
    cut = slice(args["start"], args["stop"], args["step"])
    return src[0][(slice(None),) * args["axis"] + (cut,)]


def _zero_pad(args, shape, src, p):
    sides = shapes.sides_of(args)
    y = np.pad(src[0], [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in sides)])
    ends = zip(y.shape[2:], sides, strict=True)
    kept = [slice(max(0, -a), size - max(0, -b)) for size, (a, b) in ends]
    return y[(slice(None), slice(None), *kept)]


def _upsample(args, shape, src, p):
    y = src[0]
    for axis, factor in enumerate(args["by"]):
        y = y[(slice(None),) * (axis + 2) + (np.arange(y.shape[axis + 2] * factor) // factor,)]
    return y


def _inner_product(args, shape, src, p):
    a, b = src
    y = np.einsum("nd,nd->n", a, b) if b.ndim == 2 else np.einsum("nd,nkd->nk", a, b)
    return y.reshape(len(a), *shape)


LAYERS = {
    "linear": _linear,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "adaptive_max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": _avg_pool,
    "global_avg_pool": _avg_pool,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _group_norm,
    "embedding": lambda args, shape, src, p: p[0][src[0]],
    "slice": _slice,
    "zero_pad": _zero_pad,
    "upsample": _upsample,
    "inner_product": _inner_product,
    "unflatten": lambda args, shape, src, p: src[0].reshape(len(src[0]), *shape),
    "reshape": lambda args, shape, src, p: src[0].reshape(len(src[0]), *shape),
    "flatten": lambda args, shape, src, p: src[0].reshape(len(src[0]), -1),
    "act": lambda args, shape, src, p: derivatives(args["name"], args.get("args", ()), src[0])[0],
    "add": lambda args, shape, src, p: sum(src),
    "multiply": lambda args, shape, src, p: src[0] * src[1],
    "concat": lambda args, shape, src, p: np.concatenate(src, args["axis"]),
    "identity": lambda args, shape, src, p: src[0],
    "dropout": lambda args, shape, src, p: src[0],  # in evaluation
}
