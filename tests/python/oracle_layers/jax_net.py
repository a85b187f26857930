"""Networks of any layers in JAX float64, differentiated by JAX: the reference we did not write."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from oracle import losses
from oracle.jax_net import ACTIVATIONS, reduced_loss

from . import shapes
from .spec import AllData, Net, Spec, as_float64, make_data

# Programs run once: what XLA's optimizer takes is more than it gives.
COMPILER = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def apply(net: Net, w, x, buffers):
    """Network output at the flat parameter vector ``w``."""
    values: list = []
    names = {i: name for name, i in net.inputs.items()}
    for i, node in enumerate(net.nodes):
        src = [values[s] for s in node.sources]
        if node.kind == "input":
            values.append(jnp.asarray(x[names[i]]))
        elif node.kind == "batch_norm":
            values.append(_batch_norm(net, node, src[0], net.views(w, node), buffers))
        else:
            values.append(LAYERS[node.kind](node, src, net.views(w, node)))
    return values[-1]


# ---- convolutions ----


def _conv(node, src, p):
    a, axes = node.args, len(node.args["kernel"])
    y = lax.conv_general_dilated(
        src[0], p[0], a["stride"], shapes.paddings(a), rhs_dilation=a["dilation"],
        dimension_numbers=_layout(axes), feature_group_count=a["groups"],
    )  # fmt: skip
    return _bias(y, p)


def _conv_transpose(node, src, p):
    """The convolution of x with zeros between its elements and the turned kernel."""
    a, axes, g = node.args, len(node.args["kernel"]), node.args["groups"]
    c, o = p[0].shape[:2]
    turned = jnp.flip(p[0], tuple(range(2, 2 + axes))).reshape(g, c // g, *p[0].shape[1:])
    turned = jnp.swapaxes(turned, 1, 2).reshape(g * o, c // g, *a["kernel"])
    sizes = zip(a["kernel"], a["dilation"], a["padding"], a["output_padding"], strict=True)
    pads = [(d * (k - 1) - p, d * (k - 1) - p + more) for k, d, p, more in sizes]
    y = lax.conv_general_dilated(
        src[0], turned, (1,) * axes, pads, lhs_dilation=a["stride"], rhs_dilation=a["dilation"],
        dimension_numbers=_layout(axes), feature_group_count=g,
    )  # fmt: skip
    return _bias(y, p)


def _layout(axes):
    return ("NCHW", "OIHW", "NCHW") if axes == 2 else ("NCH", "OIH", "NCH")


def _bias(y, p):
    return y if len(p) == 1 else y + p[1].reshape(-1, *[1] * (y.ndim - 2))


# ---- pooling ----


def _pool_pads(node, x):
    """Padding with the rows that ceil_mode adds behind."""
    a = node.args
    rows = zip(x.shape[2:], node.shape[1:], a["kernel"], a["stride"], a["padding"],
               a.get("dilation", (1, 1)), strict=False)  # fmt: skip
    return [(p, max(0, (n - 1) * s + d * (k - 1) + 1 - size - p)) for size, n, k, s, p, d in rows]


def _max_pool(node, src, p):
    """The first largest element under each window, as in PyTorch."""
    a, x = node.args, src[0]
    pads = _pool_pads(node, x)
    full = jnp.pad(x, [(0, 0), (0, 0), *pads], constant_values=-np.inf)
    rows = [
        np.arange(n)[:, None] * s + np.arange(k) * d
        for n, k, s, d in zip(node.shape[1:], a["kernel"], a["stride"], a["dilation"], strict=True)
    ]
    index = rows[0]
    if len(rows) == 2:
        index = rows[0][:, None, :, None] * full.shape[-1] + rows[1][None, :, None, :]
    index = index.reshape(*node.shape[1:], -1)
    return _largest(full.reshape(*x.shape[:2], -1)[:, :, index])


def _largest(windows):
    at = lax.stop_gradient(windows).argmax(-1, keepdims=True)
    return jnp.take_along_axis(windows, at, -1)[..., 0]


def _avg_pool(node, src, p):
    a, axes = node.args, len(node.args["kernel"])
    total = _window_sums(node, src[0])
    if a.get("divisor_override"):
        return total / a["divisor_override"]
    pads = [(p, p) for p in a["padding"]]
    ones = np.pad(np.ones((1, 1, *src[0].shape[2:])), [(0, 0), (0, 0), *pads],
                  constant_values=float(a.get("count_include_pad", True)))  # fmt: skip
    rest = [(0, max(0, q[1] - r[1])) for q, r in zip(_pool_pads(node, src[0]), pads, strict=True)]
    window = (1, 1, *a["kernel"]), (1, 1, *a["stride"])
    counts = lax.reduce_window(ones, 0.0, lax.add, *window, [(0, 0), (0, 0), *rest])
    return total / counts[(slice(None),) * 2 + tuple(slice(n) for n in node.shape[-axes:])]


def _window_sums(node, x):
    a = node.args
    window = (1, 1, *a["kernel"]), (1, 1, *a["stride"])
    pads = [(0, 0), (0, 0), *_pool_pads(node, x)]
    y = lax.reduce_window(x, 0.0, lax.add, *window, pads)
    return y[(slice(None),) * 2 + tuple(slice(n) for n in node.shape[1:])]


def _adaptive_avg_pool(node, src, p):
    y = src[0]
    for axis, out in enumerate(node.shape[1:]):
        y = jnp.stack([_cut(y, axis + 2, i, out).mean(axis + 2) for i in range(out)], axis + 2)
    return y


def _adaptive_max_pool(node, src, p):
    x, axes = src[0], len(node.args["size"])
    n, c = x.shape[:2]
    if axes == 1:
        rows = [_largest(_cut(x, 2, i, node.shape[1])) for i in range(node.shape[1])]
        return jnp.stack(rows, 2)
    cells = [
        _largest(_cut(_cut(x, 2, i, node.shape[1]), 3, j, node.shape[2]).reshape(n, c, -1))
        for i in range(node.shape[1])
        for j in range(node.shape[2])
    ]
    return jnp.stack(cells, 2).reshape(n, c, *node.shape[1:])


def _cut(x, axis, i, out):
    size = x.shape[axis]
    return lax.slice_in_dim(x, i * size // out, -(-(i + 1) * size // out), axis=axis)


# ---- normalisation ----


def _batch_norm(net, node, x, p, buffers):
    axes = (0, *range(2, x.ndim))
    wide = (1, -1, *[1] * (x.ndim - 2))
    if net.train or node.statistics < 0:
        mean, var = x.mean(axes), x.var(axes)
    else:
        mean, var = buffers[node.statistics]
    y = (x - mean.reshape(wide)) / jnp.sqrt(var.reshape(wide) + node.args["eps"])
    return _affine(y, p, wide)


def _affine(y, p, shape):
    y = y * p[0].reshape(shape) if p else y
    return y + p[1].reshape(shape) if len(p) == 2 else y


def _layer_norm(node, src, p):
    axes = tuple(range(-len(node.args["shape"]), 0))
    return _affine(_standardize(src[0], axes, node.args["eps"]), p, node.args["shape"])


def _standardize(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + eps)


def _rms_norm(node, src, p):
    axes = tuple(range(-len(node.args["shape"]), 0))
    scale = lax.rsqrt(jnp.square(src[0]).mean(axes, keepdims=True) + node.args["eps"])
    return _affine(src[0] * scale, p, node.args["shape"])


def _group_norm(node, src, p):
    x = src[0]
    groups = node.args.get("groups", x.shape[1])
    y = x.reshape(x.shape[0], groups, -1)
    y = _standardize(y, (-1,), node.args["eps"]).reshape(x.shape)
    return _affine(y, p, (1, -1, *[1] * (x.ndim - 2)))


# ---- the others ----


def _linear(node, src, p):
    y = src[0] @ p[0].T
    return y + p[1] if len(p) == 2 else y


def _embedding(node, src, p):
    table, row = p[0], node.args.get("padding_idx")
    if row is not None:
        still = (np.arange(len(table)) == row)[:, None]
        table = jnp.where(still, lax.stop_gradient(table), table)
    return table[src[0]]


def _slice(node, src, p):
    cut = slice(node.args["start"], node.args["stop"], node.args["step"])
    return src[0][(slice(None),) * node.args["axis"] + (cut,)]


def _zero_pad(node, src, p):
    sides = [(before, behind, 0) for before, behind in shapes.sides_of(node.args)]
    return lax.pad(src[0], 0.0, [(0, 0, 0), (0, 0, 0), *sides])


def _global_avg_pool(node, src, p):
    return src[0].mean(tuple(range(2, src[0].ndim)), keepdims=True)


def _upsample(node, src, p):
    y = src[0]
    for axis, factor in enumerate(node.args["by"]):
        y = jnp.repeat(y, factor, axis + 2)
    return y


def _inner_product(node, src, p):
    a, b = src
    y = (a.reshape(len(a), *[1] * (b.ndim - a.ndim), -1) * b).sum(-1)
    return y.reshape(len(a), *node.shape)


LAYERS = {
    "linear": _linear,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": _adaptive_avg_pool,
    "adaptive_max_pool": _adaptive_max_pool,
    "global_avg_pool": _global_avg_pool,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _group_norm,
    "embedding": _embedding,
    "slice": _slice,
    "zero_pad": _zero_pad,
    "upsample": _upsample,
    "inner_product": _inner_product,
    "unflatten": lambda node, src, p: src[0].reshape(len(src[0]), *node.shape),
    "reshape": lambda node, src, p: src[0].reshape(len(src[0]), *node.shape),
    "flatten": lambda node, src, p: src[0].reshape(len(src[0]), -1),
    "act": lambda node, src, p: ACTIVATIONS[node.args["name"]](src[0], *node.args.get("args", ())),
    "add": lambda node, src, p: sum(src[1:], start=src[0]),
    "multiply": lambda node, src, p: src[0] * src[1],
    "concat": lambda node, src, p: jnp.concatenate(src, node.args["axis"]),
    "identity": lambda node, src, p: src[0],
    "dropout": lambda node, src, p: src[0],  # in evaluation
}


class JaxReference:
    """Outputs, their Jacobian and second derivatives by JAX; from these all quantities.

    Attributes: ``loss``, ``z (N, ...)``, ``grad (P,)``, ``jacobian (N, K, P)``,
    ``hessian (P, P)``, ``ggn (P, P)``, ``fisher (P, P)`` (empirical), ``seed``: the loss in z,
    ``rows (N, P)``: N times, of a sum once, the gradients of the samples' parts of the loss.
    """

    def __init__(self, spec: Spec, data: AllData | None = None):
        net = Net(spec)
        data = as_float64(data or make_data(spec, net))
        n, k, p = spec.batch, math.prod(net.output.shape), net.num_params

        def outputs(w):
            return apply(net, w, data.x, data.buffers)

        def pulled(w, u):
            z, pull = jax.vjp(outputs, w)
            return pull(u.reshape(z.shape))[0]

        def loss_of(z):
            return reduced_loss(spec.loss, z, data.y, data.sample_weight)

        def everything(w, dw, du):
            z = outputs(w)
            loss, g = jax.value_and_grad(loss_of)(z)
            columns = jax.vmap(lambda a, b: jax.jvp(pulled, (w, g.ravel()), (a, b))[1])(dw, du)
            return z, loss, columns

        basis = np.eye(p + n * k)
        run = jax.jit(everything).lower(data.w, basis[:, :p], basis[:, p:])
        result = _compiled(run)(data.w, basis[:, :p], basis[:, p:])
        self.z, loss, columns = (np.array(r) for r in result)
        self.loss, self.curved = float(loss), columns[:p]
        self.jacobian = jac = columns[p:].reshape(n, k, p)
        self.seed = seed = losses.evaluate(spec.loss, self.z, data.y, data.sample_weight)
        parts = np.einsum("nk,nkp->np", seed.g, jac)
        self.grad = parts.sum(0)
        mean = spec.loss.get("reduction", "mean") == "mean"
        self.rows = parts * n if mean else parts
        self.ggn = np.einsum("nkp,nkl,nlq->pq", jac, seed.h, jac, optimize=True)
        self.hessian = self.ggn + self.curved
        share = seed.share[:, None]
        self.sample_grads = np.divide(parts, share, out=np.zeros_like(parts), where=share > 0)
        scaled = self.sample_grads * np.sqrt(share)
        self.fisher = scaled.T @ scaled

    def jvp(self, v):
        return (self.jacobian @ v).reshape(self.z.shape)

    def vjp(self, u):
        return np.einsum("nk,nkp->p", u.reshape(len(u), -1), self.jacobian)


def _compiled(lowered):
    try:
        return lowered.compile(compiler_options=COMPILER)
    except jax.errors.JaxRuntimeError:  # a version that lacks an option
        return lowered.compile()
