"""The reference: every quantity by dense second-order forward arithmetic in float64."""

from __future__ import annotations

import math

import numpy as np

from . import losses
from .activations import derivatives
from .jets import Jet
from .spec import Data, Net, Spec, make_data


class Reference:
    """Value, Jacobians and Hessians of one problem, from which all else is linear algebra.

    Attributes: ``loss``, ``z (N, ...)``, ``grad (P,)``, ``jacobian (N, K, P)``,
    ``hessian (P, P)``, ``ggn (P, P)``, ``sample_grads (N, P)``, ``fisher (P, P)`` (empirical),
    ``rows (N, P)``: N times, of a sum once, the gradients of the samples' parts of the loss.
    """

    def __init__(self, spec: Spec, data: Data | None = None):
        self.net = net = Net(spec)
        self.data = data = data or make_data(spec, net)
        out = _forward(net, data.w, data.x)
        n, k, p = spec.batch, math.prod(net.output.shape), net.num_params
        self.z = out.v
        self.jacobian = jac = out.d.reshape(n, k, p)
        seed = losses.evaluate(spec.loss, out.v, data.y, data.sample_weight)
        self.seed = seed
        self.loss = seed.value
        parts = np.einsum("nk,nkp->np", seed.g, jac)
        self.grad = parts.sum(0)
        mean = spec.loss.get("reduction", "mean") == "mean"
        self.rows = parts * n if mean else parts
        rows = np.einsum("nkl,nlp->nkp", seed.h, jac)
        self.ggn = np.einsum("nkp,nkq->pq", jac, rows)
        curved = np.einsum("nk,nkpq->pq", seed.g, out.h.reshape(n, k, p, p))
        self.hessian = self.ggn + curved
        share = seed.share[:, None]
        self.sample_grads = np.divide(parts, share, out=np.zeros_like(parts), where=share > 0)
        scaled = self.sample_grads * np.sqrt(share)
        self.fisher = scaled.T @ scaled

    def jvp(self, v):
        return (self.jacobian @ v).reshape(self.z.shape)

    def vjp(self, u):
        return np.einsum("nk,nkp->p", u.reshape(len(u), -1), self.jacobian)


def _forward(net: Net, w, x) -> Jet:
    values: list[Jet] = []
    p = net.num_params
    inputs = {i: name for name, i in net.inputs.items()}
    for i, node in enumerate(net.nodes):
        src = [values[s] for s in node.sources]
        if node.kind == "input":
            a = x[inputs[i]]
            values.append(Jet(a, np.zeros((*a.shape, p)), np.zeros((*a.shape, p, p))))
        elif node.kind == "linear":
            values.append(_linear(src[0], *net.views(w, node), node.weight, node.bias))
        elif node.kind == "act":
            s, s1, s2 = derivatives(node.args["name"], node.args.get("args", ()), src[0].v)
            values.append(src[0].chain(s, s1, s2))
        elif node.kind == "add":
            values.append(sum(src[1:], start=src[0]))
        elif node.kind == "multiply":
            values.append(src[0] * src[1])
        elif node.kind == "concat":
            axis = node.args["axis"]
            parts = [[getattr(s, f) for s in src] for f in "vdh"]
            values.append(Jet(*(np.concatenate(part, axis) for part in parts)))
        elif node.kind == "flatten":
            n = len(src[0].v)
            values.append(
                Jet(src[0].v.reshape(n, -1), src[0].d.reshape(n, -1, p),
                    src[0].h.reshape(n, -1, p, p))
            )  # fmt: skip
        else:  # dropout in evaluation, identity
            values.append(src[0])
    return values[-1]


def _linear(x: Jet, weight, bias, at: int, bias_at: int) -> Jet:
    """y = x W' + b, W and b variables ``at`` and ``bias_at`` onwards."""
    out, fan_in = weight.shape
    v = x.v @ weight.T
    d = np.einsum("...jp,ij->...ip", x.d, weight)
    h = np.einsum("...jpq,ij->...ipq", x.h, weight)
    for i in range(out):
        for j in range(fan_in):
            k = at + i * fan_in + j
            d[..., i, k] += x.v[..., j]
            h[..., i, k, :] += x.d[..., j, :]
            h[..., i, :, k] += x.d[..., j, :]
        if bias is not None:
            d[..., i, bias_at + i] += 1.0
    if bias is not None:
        v = v + bias
    return Jet(v, d, h)
