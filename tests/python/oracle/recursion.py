"""HesScale, HesScale-GN and BL89 by the recursion written out node by node in NumPy.

With ``g`` the adjoint of a node and ``h`` its diagonal curvature, per sample:
linear ``a = W x + b``: ``g_x = W'g``, ``h_x = (W*W)'h``, ``h_W = h x'*x'``; activation
``g_a = s' g``, ``h_a = s'^2 h + s'' g``; product ``h_a = b^2 h``; add and concat copy, and
fan-out sums.
"""

from __future__ import annotations

import numpy as np

from . import losses
from .activations import derivatives
from .spec import Data, Net, Spec, make_data


def forward(net: Net, w, x) -> list[np.ndarray]:
    """The value of every node, by the plain formulas."""
    values: list[np.ndarray] = []
    names = {i: name for name, i in net.inputs.items()}
    for i, node in enumerate(net.nodes):
        src = [values[s] for s in node.sources]
        if node.kind == "input":
            values.append(x[names[i]])
        elif node.kind == "linear":
            weight, bias = net.views(w, node)
            values.append(src[0] @ weight.T + (0 if bias is None else bias))
        elif node.kind == "act":
            values.append(derivatives(node.args["name"], node.args.get("args", ()), src[0])[0])
        elif node.kind == "add":
            values.append(sum(src))
        elif node.kind == "multiply":
            values.append(src[0] * src[1])
        elif node.kind == "concat":
            values.append(np.concatenate(src, node.args["axis"]))
        elif node.kind == "flatten":
            values.append(src[0].reshape(len(src[0]), -1))
        else:
            values.append(src[0])
    return values


def diagonal(spec: Spec, kind: str, data: Data | None = None):
    """``(gradient, diagonal)`` of the reduced loss, kind hesscale, hesscale_gn or bl89."""
    net = Net(spec)
    data = data or make_data(spec, net)
    w, values = data.w, forward(net, data.w, data.x)
    seed = losses.evaluate(spec.loss, values[-1], data.y, data.sample_weight)
    top = seed.bl89 if kind == "bl89" else np.einsum("nkk->nk", seed.h)
    g = [np.zeros_like(v) for v in values]
    h = [np.zeros_like(v) for v in values]
    g[-1] += seed.g.reshape(values[-1].shape)
    h[-1] += top.reshape(values[-1].shape)
    grad, diag = np.zeros_like(w), np.zeros_like(w)
    for i in reversed(range(len(values))):
        node = net.nodes[i]
        if node.kind == "linear":
            _linear(net, node, w, values, g, h, g[i], h[i], grad, diag)
            continue
        for s, (gs, hs) in zip(node.sources, _back(node, values, g[i], h[i], kind), strict=True):
            g[s] += gs
            h[s] += hs
    return grad, diag


def _linear(net, node, w, values, g, h, gy, hy, grad, diag):
    s = node.sources[0]
    x, (weight, bias) = values[s], net.views(w, node)
    g[s] += gy @ weight
    h[s] += hy @ weight**2
    at = slice(node.weight, node.weight + weight.size)
    gy, hy, x = (a.reshape(-1, a.shape[-1]) for a in (gy, hy, x))
    grad[at] += (gy.T @ x).ravel()
    diag[at] += (hy.T @ x**2).ravel()
    if bias is not None:
        at = slice(node.bias, node.bias + bias.size)
        grad[at] += gy.sum(0)
        diag[at] += hy.sum(0)


def _back(node, values, gy, hy, kind):
    src = [values[s] for s in node.sources]
    if node.kind == "act":
        _, s1, s2 = derivatives(node.args["name"], node.args.get("args", ()), src[0])
        second = 0 if kind == "hesscale_gn" else s2 * gy
        return [(s1 * gy, s1**2 * hy + second)]
    if node.kind == "add":
        return [(gy, hy)] * len(src)
    if node.kind == "multiply":
        a, b = src
        return [(b * gy, b**2 * hy), (a * gy, a**2 * hy)]
    if node.kind == "concat":
        axis = node.args["axis"]
        cuts = np.cumsum([s.shape[axis] for s in src])[:-1]
        return list(zip(np.split(gy, cuts, axis), np.split(hy, cuts, axis), strict=True))
    return [(gy.reshape(s.shape), hy.reshape(s.shape)) for s in src]
