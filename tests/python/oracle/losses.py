"""Losses over jets in the logits: value, gradient and full Hessian of the reduced loss.

The reduced loss is ``sum_n sum_terms scale * s_n * l``, s the sample weights. ``mean`` takes scale
one over the summed weights: of the labels' classes for cross-entropy on labels, of the samples
times the number of terms otherwise. A sample's own loss is the mean of its terms (their sum for
``sum``), class weights included as in PyTorch's unreduced loss; the reduced loss is the sum of
these times their ``share``.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from . import jets
from .jets import Jet


@dataclasses.dataclass
class LossJet:
    value: float
    g: np.ndarray  # (N, K) gradient in the K logits of each sample
    h: np.ndarray  # (N, K, K) Hessian
    bl89: np.ndarray  # (N, K) diagonal with the softmax taken element-wise
    share: np.ndarray  # (N,) weight in the reduced loss of the sample's own loss, see below


def evaluate(loss: dict, z: np.ndarray, y: np.ndarray, sample_weight=None) -> LossJet:
    n, k = len(z), math.prod(z.shape[1:])
    s = np.ones(n) if sample_weight is None else sample_weight
    flat = Jet.variables(z.reshape(n, k))
    if loss["name"] == "CrossEntropyLoss":
        terms, weights, bl89 = _cross_entropy(loss, flat, z, y)
    else:
        terms = TERMS[loss["name"]](loss, flat, y.reshape(n, -1), z.shape)
        weights, bl89 = np.ones(terms.v.shape), None
    total = (s[:, None] * weights).sum()
    mean = loss.get("reduction", "mean") == "mean"
    scale = 1 / total if mean else 1.0
    per_sample = (terms * (s[:, None] * scale)).sum(1)
    h = per_sample.h
    diag = np.einsum("nkk->nk", h) if bl89 is None else bl89 * s[:, None] * scale
    share = s * scale * weights.shape[1] if mean else s
    return LossJet(per_sample.v.sum(), per_sample.d, h, diag, share)


def _cross_entropy(loss, flat, z, y):
    """Terms (N, D), their weights in the mean (N, D), and the BL89 diagonal (N, C * D)."""
    n, c = z.shape[:2]
    zc = _split(flat, (n, c, -1))
    top = zc.v.max(1, keepdims=True)
    log_p = zc - _keep(jets.log(jets.exp(zc - top).sum(1)) + top[:, 0])
    class_weight = np.ones(c) if loss.get("weight") is None else np.asarray(loss["weight"])
    smoothing = loss.get("label_smoothing", 0.0)
    counted, ignored = np.ones((n, zc.v.shape[2])), np.zeros((n, zc.v.shape[2]), bool)
    if loss.get("soft"):
        target = y.reshape(zc.v.shape)
    else:
        labels = y.reshape(n, -1)
        ignored = labels == loss.get("ignore_index", np.iinfo(np.int64).min)
        target = np.moveaxis(np.eye(c)[np.where(ignored, 0, labels)], -1, 1)
        counted = np.where(ignored, 0.0, class_weight[np.where(ignored, 0, labels)])
        target = target * ~ignored[:, None]
    smooth = smoothing / c * ~ignored[:, None]
    target = class_weight[:, None] * (target * (1 - smoothing) + smooth)
    terms = -((log_p * target).sum(1))
    p = np.exp(log_p.v)
    return terms, counted, (target * p * (1 - p)).reshape(n, -1)


def _split(x: Jet, shape) -> Jet:
    v = x.v.reshape(shape)
    k = x.d.shape[-1]
    return Jet(v, x.d.reshape(*v.shape, k), x.h.reshape(*v.shape, k, k))


def _keep(x: Jet) -> Jet:
    """The class axis back, length one."""
    return Jet(x.v[:, None], x.d[:, None], x.h[:, None])


def _mse(loss, z, y, shape):
    return (z - y) * (z - y)


def _bce(loss, z, y, shape):
    pos = loss.get("pos_weight")
    pos = np.ones(1) if pos is None else np.asarray(pos, dtype=float).reshape(-1)
    positive, negative = _log_sigmoid(z), _log_sigmoid(-z)
    return -(positive * (pos * y) + negative * (1 - y))


def _log_sigmoid(z):
    tail = jets.log1p(jets.exp(-(z * np.sign(z.v))))
    return z * (z.v < 0) - tail


def _gaussian(loss, z, y, shape):
    k = z.v.shape[1] // 2
    mean, log_var = z[:, :k], z[:, k:]
    return 0.5 * (log_var + (mean - y) * (mean - y) * jets.exp(-log_var))


def _poisson(loss, z, y, shape):
    return jets.exp(z) - z * y


def _huber(loss, z, y, shape):
    delta = loss.get("delta", 1.0)
    r = z - y
    size = r * np.sign(r.v)
    return jets.where(np.abs(r.v) < delta, 0.5 * r * r, delta * (size - 0.5 * delta))


TERMS = {
    "MSELoss": _mse,
    "BCEWithLogitsLoss": _bce,
    "GaussianNLLLoss": _gaussian,
    "PoissonNLLLoss": _poisson,
    "HuberLoss": _huber,
}
