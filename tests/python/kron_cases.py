"""Layers and networks whose Kronecker factors are tested, and how they are compared."""

from __future__ import annotations

import numpy as np

from kron_reference import KroneckerReference
from oracle_layers import Spec
from oracle_layers.build import objective

FLAT = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True}
LINE = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1, "bias": True}
IMAGE, SERIES = (4, 5, 4), (4, 9)
LAYERS = {
    "conv": (IMAGE, "conv", {**FLAT, "out": 3, "kernel": (2, 3)}),
    "conv of one tap": (IMAGE, "conv", {**FLAT, "out": 3, "kernel": (1, 1)}),
    "conv strided, padded, dilated": (IMAGE, "conv", {
        **FLAT, "out": 2, "kernel": (3, 2), "stride": (2, 1), "padding": (2, 1),
        "dilation": (1, 2), "bias": False}),
    "conv in groups": (IMAGE, "conv", {**FLAT, "out": 4, "kernel": (2, 2), "groups": 2}),
    "depthwise": (IMAGE, "conv", {**FLAT, "out": 4, "kernel": (3, 3), "groups": 4}),
    "conv1d": (SERIES, "conv", {**LINE, "out": 3, "kernel": (3,), "stride": (2,)}),
    "transposed": (IMAGE, "conv_transpose", {
        **FLAT, "out": 3, "kernel": (3, 2), "stride": (2, 1), "padding": (1, 0),
        "output_padding": (1, 0)}),
    "transposed in groups": (IMAGE, "conv_transpose", {
        **FLAT, "out": 4, "kernel": (2, 2), "groups": 2, "dilation": (2, 1),
        "output_padding": (0, 0)}),
    "transposed 1d": (SERIES, "conv_transpose", {
        **LINE, "out": 2, "kernel": (3,), "stride": (2,), "output_padding": (1,)}),
    "linear at positions": ((3, 4), "linear", {"out": 2}),
    "layer norm": ((3, 4), "layer_norm", {"shape": (4,), "eps": 1e-3, "affine": True,
                                          "bias": True}),
    "rms norm": ((3, 4), "rms_norm", {"shape": (3, 4), "eps": 1e-3, "affine": True}),
    "group norm": (IMAGE, "group_norm", {"groups": 2, "eps": 1e-3, "affine": True}),
    "instance norm": (IMAGE, "instance_norm", {"eps": 1e-3, "affine": True}),
    "batch norm": (IMAGE, "batch_norm", {"eps": 1e-3, "affine": True}),
}  # fmt: skip


def close(got, expected, tolerance=1e-10):
    scale = max(1e-3, np.abs(expected).max())
    return np.shape(got) == np.shape(expected) and np.abs(got - expected).max() <= tolerance * scale


def network(shape, kind, args, loss, batch=3, weighted=False, seed=3) -> Spec:
    nodes = ((kind, ("x",), args), ("act", (0,), {"name": "Tanh"}), ("flatten", (1,), {}),
             ("linear", (2,), {"out": 3}))  # fmt: skip
    return Spec(seed, batch, {"x": shape}, loss, nodes, weighted)


def point(spec: Spec, ref: KroneckerReference):
    f = objective(spec, ref.data)
    x = ref.data.x if len(ref.data.x) > 1 else next(iter(ref.data.x.values()))
    kw = {} if ref.data.sample_weight is None else {"sample_weight": ref.data.sample_weight}
    return f, (ref.data.w, x, ref.data.y), kw


def check(spec: Spec, **how):
    ref = KroneckerReference(spec)
    f, at, kw = point(spec, ref)
    for kind in ("exact", "empirical"):
        for approximation in ("expand", "reduce"):
            K = f.kron(*at, kind=kind, approximation=approximation, **kw)
            assert len(K.factors) == len(ref.blocks)
            for (name, got), block in zip(K.factors.items(), ref.blocks, strict=True):
                a, g = ref.factors(block, kind, approximation == "reduce")
                assert close(got.A, a), (name, kind, approximation, "A")
                assert close(got.G, g), (name, kind, approximation, "G")
    return f, at, kw, ref
