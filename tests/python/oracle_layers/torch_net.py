"""The same networks in PyTorch float64, layer by layer through torch.nn.functional."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .spec import Net

# PyTorch's own CELU and Hardsigmoid take constants that are rounded to float32.
ACTIVATIONS = {
    "ReLU": F.relu,
    "LeakyReLU": lambda x, slope=0.01: F.leaky_relu(x, slope),
    "ELU": F.elu,
    "SELU": F.selu,
    "CELU": lambda x, a=1.0: torch.where(x > 0, x, a * torch.expm1(torch.clamp(x, max=0) / a)),
    "GELU": lambda x, approximate="none": F.gelu(x, approximate=approximate),
    "SiLU": F.silu,
    "Mish": F.mish,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus,
    "LogSigmoid": F.logsigmoid,
    "Hardtanh": F.hardtanh,
    "ReLU6": F.relu6,
    "Hardswish": F.hardswish,
    "Hardsigmoid": lambda x: F.relu6(x + 3) / 6,
    "Softsign": F.softsign,
    "Sin": torch.sin,
    "Square": torch.square,
    "Exp": torch.exp,
}


def output_and_vjp(net: Net, w, x, buffers, u=None):
    """The output, and the vjp with ``u`` (ones if there is none) in the parameters."""
    p = torch.tensor(w, requires_grad=True)
    z = _apply(net, p, x, buffers)
    u = torch.ones_like(z) if u is None else torch.tensor(u)
    (z * u).sum().backward()
    return z.detach().numpy(), p.grad.numpy()


def _apply(net, w, x, buffers):
    values: list = []
    names = {i: name for name, i in net.inputs.items()}
    for i, node in enumerate(net.nodes):
        src = [values[s] for s in node.sources]
        p = [w[at : at + math.prod(s)].reshape(s) for at, s in node.parameters]
        if node.kind == "input":
            values.append(torch.tensor(x[names[i]]))
        elif node.kind == "batch_norm":
            running = node.statistics >= 0 and not net.train
            stats = [torch.tensor(b) for b in buffers[node.statistics]] if running else [None, None]
            values.append(
                F.batch_norm(src[0], *stats, *_two(p), training=not running, eps=node.args["eps"])
            )
        else:
            values.append(LAYERS[node.kind](node.args, node.shape, src, p))
    return values[-1]


def _two(p):
    return [*p, None, None][:2]


def _conv(a, shape, src, p):
    call = F.conv2d if len(a["kernel"]) == 2 else F.conv1d
    return call(src[0], *_two(p), a["stride"], a["padding"], a["dilation"], a["groups"])


def _conv_transpose(a, shape, src, p):
    call = F.conv_transpose2d if len(a["kernel"]) == 2 else F.conv_transpose1d
    return call(src[0], *_two(p), a["stride"], a["padding"], a["output_padding"], a["groups"],
                a["dilation"])  # fmt: skip


def _max_pool(a, shape, src, p):
    call = F.max_pool2d if len(a["kernel"]) == 2 else F.max_pool1d
    return call(src[0], a["kernel"], a["stride"], a["padding"], a["dilation"], a["ceil_mode"])


def _avg_pool(a, shape, src, p):
    options = a["ceil_mode"], a["count_include_pad"]
    if len(a["kernel"]) == 1:
        return F.avg_pool1d(src[0], a["kernel"], a["stride"], a["padding"], *options)
    return F.avg_pool2d(src[0], a["kernel"], a["stride"], a["padding"], *options,
                        a.get("divisor_override"))  # fmt: skip


def _adaptive(flat, square):
    return lambda a, shape, src, p: (square if len(a["size"]) == 2 else flat)(src[0], a["size"])


def _layer_norm(a, shape, src, p):
    return F.layer_norm(src[0], a["shape"], *_two(p), a["eps"])


def _rms_norm(a, shape, src, p):
    return F.rms_norm(src[0], a["shape"], p[0] if p else None, a["eps"])


def _group_norm(a, shape, src, p):
    return F.group_norm(src[0], a.get("groups", shape[0]), *_two(p), a["eps"])


def _slice(a, shape, src, p):
    cut = slice(a["start"], a["stop"], a["step"])
    return src[0][(slice(None),) * a["axis"] + (cut,)]


def _inner_product(a, shape, src, p):
    x, y = src
    x = x if y.ndim == 2 else x[:, None]
    return (x * y).sum(-1).reshape(len(y), *shape)


def _upsample(a, shape, src, p):
    return F.interpolate(src[0], scale_factor=tuple(map(float, a["by"])), mode="nearest")


LAYERS = {
    "linear": lambda a, shape, src, p: F.linear(src[0], *_two(p)),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": _adaptive(F.adaptive_avg_pool1d, F.adaptive_avg_pool2d),
    "adaptive_max_pool": _adaptive(F.adaptive_max_pool1d, F.adaptive_max_pool2d),
    "global_avg_pool": lambda a, shape, src, p: src[0].mean(
        tuple(range(2, src[0].ndim)), keepdim=True
    ),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _group_norm,
    "embedding": lambda a, shape, src, p: F.embedding(src[0], p[0], a.get("padding_idx")),
    "slice": _slice,
    "zero_pad": lambda a, shape, src, p: F.pad(src[0], a["padding"]),
    "upsample": _upsample,
    "inner_product": _inner_product,
    "unflatten": lambda a, shape, src, p: src[0].reshape(-1, *shape),
    "reshape": lambda a, shape, src, p: src[0].reshape(-1, *shape),
    "flatten": lambda a, shape, src, p: src[0].flatten(1),
    "act": lambda a, shape, src, p: ACTIVATIONS[a["name"]](src[0], *a.get("args", ())),
    "add": lambda a, shape, src, p: sum(src[1:], start=src[0]),
    "multiply": lambda a, shape, src, p: src[0] * src[1],
    "concat": lambda a, shape, src, p: torch.cat(src, a["axis"]),
    "identity": lambda a, shape, src, p: src[0],
    "dropout": lambda a, shape, src, p: src[0],  # in evaluation
}
