"""The engine's network from a spec: every node by the layer class of its kind."""

from __future__ import annotations

import hesscore as hc
from oracle.build import loss

from .shapes import Shape
from .spec import AllData, Net, Spec


def objective(spec: Spec, data: AllData | None = None) -> hc.Objective:
    """The problem as an ``hc.Objective``, with the running statistics of the data."""
    g = hc.Graph()
    ends = {name: g.input(shape, name=name) for name, shape in spec.inputs.items()}
    made, shared = [], {}
    for kind, sources, args in spec.nodes:
        src = [ends[s] if isinstance(s, str) else made[s] for s in sources]
        if kind in JOINTS:
            made.append(JOINTS[kind](g, src, args))
            continue
        new = shared.get(args.get("layer")) or layer(kind, args, _input_shape(spec, len(made)))
        shared[args.get("layer", object())] = new
        made.append(g(new, src[0]))
    g.output(made[-1])
    f = hc.Objective(g, loss(spec.loss))
    if data is not None and data.buffers:
        set_statistics(f, data.buffers)
    return f


def set_statistics(f, statistics) -> None:
    """Fill the running means and variances, in the order of the layers."""
    names = [n[: -len("mean")] for n in f.buffers if n.endswith("running_mean")]
    values = {}
    for name, (mean, var) in zip(names, statistics, strict=True):
        values |= {name + "mean": mean, name + "var": var}
    f.buffers = values


JOINTS = {
    "add": lambda g, src, args: g.add(*src),
    "multiply": lambda g, src, args: g.multiply(*src),
    "concat": lambda g, src, args: g.concat(*src, axis=args["axis"]),
    "inner_product": lambda g, src, args: g.inner(*src),
}


def _input_shape(spec: Spec, at: int) -> Shape:
    """The shape that node ``at`` reads."""
    source = spec.nodes[at][1][0]
    if isinstance(source, str):
        return spec.inputs[source]
    cut = Spec(0, 1, spec.inputs, {}, spec.nodes[: source + 1])
    return Net(cut).output.shape


def layer(kind: str, args: dict, x: Shape) -> hc.Layer:
    """One layer or container that reads the shape x."""
    if "branches" in args:
        branches = [hc.Sequential(*_chain(branch, x)) for branch in args["branches"]]
        if kind == "parallel":
            return hc.Parallel(*branches)
        return hc.Concat(*branches, axis=args["axis"])
    if kind in ("sequential", "residual", "gate"):
        return _container(kind, args, x)
    return LAYERS[kind](args, x)


def _container(kind, args, x):
    body = _chain(args["body"], x)
    if kind == "sequential":
        return hc.Sequential(*body)
    if kind == "gate":
        return hc.Gate(*body)
    shortcut = _chain(args.get("shortcut", ()), x)
    return hc.Residual(*body, shortcut=hc.Sequential(*shortcut)) if shortcut else hc.Residual(*body)


def _chain(layers, x: Shape) -> list:
    made = []
    for kind, args in layers:
        made.append(layer(kind, args, x))
        x = Net(Spec(0, 1, {"x": x}, {}, ((kind, ("x",), args),))).output.shape
    return made


def _sized(name, args):
    return getattr(hc, f"{name}{len(args['kernel'])}d")


def _plain(value):
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _conv(args, x):
    names = ("stride", "padding", "dilation", "groups", "bias")
    options = {n: _plain(args[n]) for n in names}
    return _sized("Conv", args)(x[0], args["out"], _plain(args["kernel"]), **options)


def _conv_transpose(args, x):
    names = ("stride", "padding", "output_padding", "groups", "bias", "dilation")
    options = {n: _plain(args[n]) for n in names}
    return _sized("ConvTranspose", args)(x[0], args["out"], _plain(args["kernel"]), **options)


def _pool(name, *options):
    def make(args, x):
        names = ("stride", "padding", "ceil_mode", *options)
        chosen = {n: _plain(args[n]) for n in names if n in args}
        return _sized(name, args)(_plain(args["kernel"]), **chosen)

    return make


def _adaptive(name):
    return lambda a, x: getattr(hc, f"{name}{len(a['size'])}d")(_plain(a["size"]))


def _batch_norm(args, x):
    make = hc.BatchNorm2d if len(x) == 3 else hc.BatchNorm1d
    track = args.get("track", True)
    return make(x[0], eps=args["eps"], affine=args["affine"], track_running_stats=track)


def _instance_norm(args, x):
    make = hc.InstanceNorm2d if len(x) == 3 else hc.InstanceNorm1d
    return make(x[0], eps=args["eps"], affine=args["affine"])


LAYERS = {
    "linear": lambda a, x: hc.Linear(x[-1], a["out"], bias=a.get("bias", True)),
    "act": lambda a, x: getattr(hc, a["name"])(*a.get("args", ())),
    "dropout": lambda a, x: hc.Dropout(a["p"]),
    "identity": lambda a, x: hc.Identity(),
    "flatten": lambda a, x: hc.Flatten(),
    "reshape": lambda a, x: hc.Reshape(*a["shape"]),
    "unflatten": lambda a, x: hc.Unflatten(a["axis"], tuple(a["sizes"])),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _pool("MaxPool", "dilation"),
    "avg_pool": _pool("AvgPool", "count_include_pad", "divisor_override"),
    "adaptive_avg_pool": _adaptive("AdaptiveAvgPool"),
    "adaptive_max_pool": _adaptive("AdaptiveMaxPool"),
    "global_avg_pool": lambda a, x: getattr(hc, f"GlobalAvgPool{len(x) - 1}d")(),
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": lambda a, x: hc.LayerNorm(
        a["shape"], eps=a["eps"], elementwise_affine=a["affine"], bias=a["bias"]
    ),
    "rms_norm": lambda a, x: hc.RMSNorm(a["shape"], eps=a["eps"], elementwise_affine=a["affine"]),
    "group_norm": lambda a, x: hc.GroupNorm(a["groups"], x[0], eps=a["eps"], affine=a["affine"]),
    "embedding": lambda a, x: hc.Embedding(a["rows"], a["out"], padding_idx=a.get("padding_idx")),
    "zero_pad": lambda a, x: getattr(hc, f"ZeroPad{len(x) - 1}d")(tuple(a["padding"])),
    "upsample": lambda a, x: hc.Upsample(scale_factor=tuple(a["by"])),
    "slice": lambda a, x: hc.Slice(a["axis"], a["start"], a["stop"], a["step"]),
    "squeeze_excite": lambda a, x: hc.SqueezeExcite(x[0], a["squeeze"]),
}
