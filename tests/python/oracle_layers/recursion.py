"""HesScale, HesScale-GN and BL89 through any layer, from its Jacobian spelled out.

With ``g`` the adjoint of a node and ``h`` its diagonal curvature, of every sample: a layer
``y = f(x)`` gives ``g_x = J'g`` and ``h_x = (J*J)'h + sum_i g_i d2y_i/dx2`` (GN: without the sum),
and its parameters the same with the Jacobian in them, in which every layer is affine. J comes from
the layer's forward formula: of layers affine in x by applying it to every unit vector, of
norms by second-order arithmetic. Fan-out, uses, positions and samples add up. Batch norm on the
statistics of its batch has ``h_x = (w / sqrt(var + eps))^2 h``, its element-wise part.
"""

from __future__ import annotations

import numpy as np

from oracle import losses
from oracle.activations import derivatives
from oracle.jets import Jet

from . import plain
from .spec import AllData, Net, Spec, as_float64, make_data


def diagonal(spec: Spec, kind: str, data: AllData | None = None):
    """``(gradient, diagonal)`` of the reduced loss, kind hesscale, hesscale_gn or bl89."""
    net = Net(spec)
    data = as_float64(data or make_data(spec, net))
    values = plain.forward(net, data.w, data.x, data.buffers)
    seed = losses.evaluate(spec.loss, values[-1], data.y, data.sample_weight)
    top = seed.bl89 if kind == "bl89" else np.einsum("nkk->nk", seed.h)
    g = [np.zeros(v.shape) for v in values]
    h = [np.zeros(v.shape) for v in values]
    g[-1] += seed.g.reshape(values[-1].shape)
    h[-1] += top.reshape(values[-1].shape)
    grad, diag = np.zeros_like(data.w), np.zeros_like(data.w)
    for i in reversed(range(len(values))):
        node = net.nodes[i]
        if node.kind == "input":
            continue
        src = [values[s] for s in node.sources]
        p = net.views(data.w, node)
        stats = plain.statistics(net, node, src, data.buffers)
        for (at, _), jac in zip(node.parameters, _in_parameters(node, src, p, stats), strict=True):
            span = slice(at, at + jac.shape[1])
            grad[span] += g[i].ravel() @ jac
            diag[span] += h[i].ravel() @ jac**2
        if node.kind == "embedding":
            continue
        coupled = node in net.couples_samples()
        back = _through(node, src, p, stats, g[i], h[i], kind != "hesscale_gn", coupled)
        for s, (gs, hs) in zip(node.sources, back, strict=True):
            g[s] += gs
            h[s] += hs
    return grad, diag


def _in_parameters(node, src, p, stats):
    """The Jacobian (N * outputs, elements) in each parameter."""
    base = plain.layer(node, src, [np.zeros_like(q) for q in p], stats)
    for k, q in enumerate(p):
        columns = []
        for e in np.eye(q.size):
            changed = [np.zeros_like(r) for r in p]
            changed[k] = e.reshape(q.shape)
            columns.append((plain.layer(node, src, changed, stats) - base).ravel())
        jac = np.stack(columns, 1)
        if node.args.get("padding_idx") is not None:
            row = jac.reshape(len(jac), *q.shape)
            row[:, node.args["padding_idx"]] = 0
        yield jac


def _through(node, src, p, stats, g, h, second, coupled):
    if node.kind == "act":
        _, s1, s2 = derivatives(node.args["name"], node.args.get("args", ()), src[0])
        return [(s1 * g, s1**2 * h + (s2 * g if second else 0))]
    if node.kind in ("multiply", "inner_product"):
        a, b = src
        if node.kind == "inner_product":
            a = a if b.ndim == 2 else a[:, None]
            g, h = (t.reshape(*b.shape[:-1], 1) for t in (g, h))
        pairs = [(b * g, b**2 * h), (a * g, a**2 * h)]
        return [
            tuple(_sum_to(t, s.shape) for t in pair) for pair, s in zip(pairs, src, strict=True)
        ]
    if node.kind in ("max_pool", "adaptive_max_pool"):
        return [_to_the_largest(node, src[0], g, h)]
    if coupled:
        return [_batch_norm(node, src[0], p, stats, g, h)]
    if node.kind in ("layer_norm", "rms_norm", "group_norm", "instance_norm"):
        return [_norm(node, src[0], p, g, h, second)]
    return [_affine(node, src, i, p, stats, g, h) for i in range(len(src))]


def _sum_to(a, shape):
    """The transpose of repeating axes of size one."""
    if a.ndim > len(shape):
        a = a.sum(1)
    axes = tuple(i for i, (n, m) in enumerate(zip(a.shape, shape, strict=True)) if n != m)
    return a.sum(axes, keepdims=True)


def _affine(node, src, i, p, stats, g, h):
    """A layer that is affine in its i-th input, with the same Jacobian for every sample."""
    size = src[i][0].size
    zeros = [np.zeros((size, *s.shape[1:])) for s in src]
    base = plain.layer(node, zeros, p, stats)
    zeros[i] = np.eye(size).reshape(zeros[i].shape)
    jac = (plain.layer(node, zeros, p, stats) - base).reshape(size, -1)  # transposed
    n = len(g)
    return tuple((t.reshape(n, -1) @ m.T).reshape(src[i].shape) for t, m in ((g, jac), (h, jac**2)))


def _to_the_largest(node, x, g, h):
    at = plain.largest(node.args, node.shape, x)
    n, c, _ = at.shape
    rows, columns = np.ogrid[:n, :c]
    out = []
    for t in (g, h):
        back = np.zeros((n, c, x[0, 0].size))
        np.add.at(back, (rows[..., None], columns[..., None], at), t.reshape(at.shape))
        out.append(back.reshape(x.shape))
    return tuple(out)


def _norm(node, x, p, g, h, second):
    """Sample by sample and group by group, each with its Jacobian and second derivatives."""
    rows, factor = _rows(node, x, p)
    g, h = (t.reshape(rows.shape) * f for t, f in ((g, factor), (h, factor**2)))
    jet = _normalised(Jet.variables(rows), node.args["eps"], node.kind != "rms_norm")
    gx = np.einsum("nri,nrij->nrj", g, jet.d)
    hx = np.einsum("nri,nrij->nrj", h, jet.d**2)
    if second:
        hx = hx + np.einsum("nri,nrijj->nrj", g, jet.h)
    return gx.reshape(x.shape), hx.reshape(x.shape)


def _rows(node, x, p):
    """x as (N, rows, elements that share statistics), and the weight of each element."""
    n = len(x)
    if "shape" in node.args:
        size = int(np.prod(node.args["shape"]))
        rows = x.reshape(n, -1, size)
        return rows, np.broadcast_to(p[0].reshape(size) if p else 1.0, rows.shape)
    rows = x.reshape(n, node.args.get("groups", x.shape[1]), -1)
    weight = plain.wide(p[0], x) if p else np.ones((1, 1))
    return rows, np.broadcast_to(weight, x.shape).reshape(rows.shape) if p else np.ones(rows.shape)


def _normalised(x: Jet, eps: float, centred: bool) -> Jet:
    count = x.v.shape[-1]
    if centred:
        x = x - _repeated(x.sum(-1) * (1 / count))
    mean = (x * x).sum(-1) * (1 / count) + eps
    scale = mean.chain(mean.v**-0.5, -0.5 * mean.v**-1.5, 0.75 * mean.v**-2.5)
    return x * _repeated(scale)


def _repeated(x: Jet) -> Jet:
    return Jet(x.v[..., None], x.d[..., None, :], x.h[..., None, :, :])


def _batch_norm(node, x, p, stats, g, h):
    """Exact in the gradient, in which the samples meet; element-wise in the diagonal."""
    axes = (0, *range(2, x.ndim))
    r = plain.wide(1 / np.sqrt(stats[1] + node.args["eps"]), x)
    hat = (x - plain.wide(stats[0], x)) * r
    factor = plain.wide(p[0], x) if p else 1.0
    g, h = g * factor, h * factor**2
    centre = g.mean(axes, keepdims=True) + hat * (g * hat).mean(axes, keepdims=True)
    return r * (g - centre), r**2 * h
