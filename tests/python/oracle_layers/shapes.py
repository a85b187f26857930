"""Shapes of outputs and parameters of every kind of layer, by PyTorch's documentation."""

from __future__ import annotations

import math
from typing import Any

Shape = tuple[int, ...]
Args = dict[str, Any]

NORMS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")


def paddings(args: Args) -> list[tuple[int, int]]:
    """Zeros before and behind each axis; "same" puts an odd one behind."""
    if args["padding"] == "valid":
        return [(0, 0)] * len(args["kernel"])
    if args["padding"] == "same":
        reach = [d * (k - 1) for d, k in zip(args["dilation"], args["kernel"], strict=True)]
        return [(r // 2, r - r // 2) for r in reach]
    return [(p, p) for p in args["padding"]]


def pooled(args: Args, size: int, axis: int) -> int:
    """Windows along one axis; the last one starts inside the image or its left padding."""
    k, p, s = args["kernel"][axis], args["padding"][axis], args["stride"][axis]
    room = size + 2 * p - args.get("dilation", (1, 1))[axis] * (k - 1) - 1
    if room < 0:
        return 0
    if not args.get("ceil_mode"):
        return room // s + 1
    count = -(-room // s) + 1
    return count - 1 if (count - 1) * s >= size + p else count


def output(kind: str, args: Args, shapes: list[Shape]) -> Shape:
    """Shape without the batch; ValueError where the layer does not fit."""
    x = shapes[0]
    if kind in SHAPES:
        y = tuple(SHAPES[kind](args, shapes))
    elif kind in ("layer_norm", "rms_norm") and x[-len(args["shape"]) :] != tuple(args["shape"]):
        raise ValueError("shape of a norm")
    elif kind in NORMS or kind in ("act", "identity", "dropout"):
        y = x
    else:
        raise ValueError(f"unknown kind {kind}")
    if not y or min(y) < 1:
        raise ValueError(f"{kind} does not fit {shapes}")
    return y


def _conv(args, shapes):
    c, *space = _image(args, shapes)
    if c % args["groups"] or args["out"] % args["groups"]:
        raise ValueError("groups")
    y = [args["out"]]
    axes = zip(space, args["kernel"], args["stride"], args["dilation"], paddings(args), strict=True)
    for size, k, s, d, (before, behind) in axes:
        room = size + before + behind - d * (k - 1) - 1
        y.append(room // s + 1 if room >= 0 else 0)
    return y


def _conv_transpose(args, shapes):
    c, *space = _image(args, shapes)
    if c % args["groups"] or args["out"] % args["groups"]:
        raise ValueError("groups")
    y = [args["out"]]
    names = ("kernel", "stride", "dilation", "padding", "output_padding")
    for size, k, s, d, p, more in zip(space, *(args[n] for n in names), strict=True):
        if more >= max(s, d):
            raise ValueError("output_padding")
        y.append((size - 1) * s - 2 * p + d * (k - 1) + more + 1)
    return y


def _image(args, shapes):
    x = shapes[0]
    if len(x) != len(args["kernel"]) + 1:
        raise ValueError("not an image")
    return x


def _pool(args, shapes):
    c, *space = _image(args, shapes)
    if any(2 * p > k for p, k in zip(args["padding"], args["kernel"], strict=True)):
        raise ValueError("padding of a pool")
    counts = [pooled(args, size, a) for a, size in enumerate(space)]
    if not all(
        _sees(args, size, a, i)
        for a, (size, n) in enumerate(zip(space, counts, strict=True))
        for i in range(n)
    ):
        raise ValueError("a window over padding alone: its maximum is -inf")
    return [c, *counts]


def _sees(args, size, axis, i):
    start = i * args["stride"][axis] - args["padding"][axis]
    step = args.get("dilation", (1, 1))[axis]
    return any(0 <= start + t * step < size for t in range(args["kernel"][axis]))


def _concat(args, shapes):
    axis = args["axis"] - 1
    if axis >= len(shapes[0]) or len({s[:axis] + s[axis + 1 :] for s in shapes}) != 1:
        raise ValueError("concat of shapes that differ elsewhere")
    return shapes[0][:axis] + (sum(s[axis] for s in shapes),) + shapes[0][axis + 1 :]


def _same(args, shapes):
    if len(set(shapes)) != 1:
        raise ValueError("shapes differ")
    return shapes[0]


def _multiply(args, shapes):
    a, b = shapes
    if len(a) != len(b) or any(i != j and 1 not in (i, j) for i, j in zip(a, b, strict=True)):
        raise ValueError("shapes cannot be repeated to one")
    return [max(i, j) for i, j in zip(a, b, strict=True)]


def _inner(args, shapes):
    a, b = shapes
    if a[-1] != b[-1] or len(a) != 1 or len(b) not in (1, 2):
        raise ValueError("inner product")
    return b[:-1] or (1,)


def _slice(args, shapes):
    x, axis = shapes[0], args["axis"] - 1
    if axis >= len(x):
        raise ValueError("axis")
    size = len(range(*slice(args["start"], args["stop"], args["step"]).indices(x[axis])))
    return x[:axis] + (size,) + x[axis + 1 :]


def _unflatten(args, shapes):
    x, axis = shapes[0], args["axis"] - 1
    if axis >= len(x) or math.prod(args["sizes"]) != x[axis]:
        raise ValueError("sizes")
    return x[:axis] + tuple(args["sizes"]) + x[axis + 1 :]


def _zero_pad(args, shapes):
    c, *space = _of_rank(shapes[0], len(args["padding"]) // 2 + 1)
    sides = list(zip(space, sides_of(args), strict=True))
    if min(size + min(a, 0) + min(b, 0) for size, (a, b) in sides) < 1:
        raise ValueError("cropped to nothing")
    return [c, *(size + a + b for size, (a, b) in sides)]


def sides_of(args: Args) -> list[tuple[int, int]]:
    """Zeros before and behind each axis; the arguments begin with the last axis."""
    p = args["padding"]
    return [(p[i], p[i + 1]) for i in reversed(range(0, len(p), 2))]


def _reshape(args, shapes):
    if math.prod(args["shape"]) != math.prod(shapes[0]):
        raise ValueError("sizes")
    return args["shape"]


def _of_rank(x, *ranks):
    if len(x) not in ranks:
        raise ValueError("rank")
    return x


SHAPES = {
    "linear": lambda a, s: (*s[0][:-1], a["out"]),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _pool,
    "avg_pool": _pool,
    "adaptive_avg_pool": lambda a, s: (_of_rank(s[0], len(a["size"]) + 1)[0], *a["size"]),
    "adaptive_max_pool": lambda a, s: (_of_rank(s[0], len(a["size"]) + 1)[0], *a["size"]),
    "global_avg_pool": lambda a, s: (_of_rank(s[0], 2, 3)[0], *[1] * (len(s[0]) - 1)),
    "embedding": lambda a, s: (*s[0], a["out"]),
    "zero_pad": _zero_pad,
    "upsample": lambda a, s: (s[0][0], *(n * f for n, f in zip(s[0][1:], a["by"], strict=True))),
    "slice": _slice,
    "unflatten": _unflatten,
    "reshape": _reshape,
    "flatten": lambda a, s: (math.prod(s[0]),),
    "add": _same,
    "multiply": _multiply,
    "concat": _concat,
    "inner_product": _inner,
}


def parameters(kind: str, args: Args, shapes: list[Shape]) -> list[Shape]:
    """Shapes of the parameters, in order."""
    x = shapes[0]
    if kind == "linear":
        return _with_bias(args, (args["out"], x[-1]), args["out"])
    if kind == "conv":
        return _with_bias(args, (args["out"], x[0] // args["groups"], *args["kernel"]), args["out"])
    if kind == "conv_transpose":
        return _with_bias(args, (x[0], args["out"] // args["groups"], *args["kernel"]), args["out"])
    if kind == "embedding":
        return [(args["rows"], args["out"])]
    if kind not in NORMS or not args.get("affine", True):
        return []
    size = tuple(args["shape"]) if "shape" in args else (x[0],)
    return [size] if kind == "rms_norm" or not args.get("bias", True) else [size, size]


def _with_bias(args, weight, out):
    return [weight, (out,)] if args.get("bias", True) else [weight]
