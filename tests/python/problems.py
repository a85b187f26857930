"""Small fixed problems for the tests that are not about random graphs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import hesscore as hc


def mlp(*widths, activation=None, loss=None, dropout=0.0):
    """An ``hc.Objective`` of a multi-layer perceptron; Tanh and cross-entropy unless told."""
    layers = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers.append(hc.Linear(a, b))
        if i < len(widths) - 2:
            layers.append((activation or hc.Tanh)())
            if dropout:
                layers.append(hc.Dropout(dropout))
    return hc.Objective(hc.Sequential(*layers), loss or hc.CrossEntropyLoss(),
                        input_shape=(widths[0],))  # fmt: skip


def batch(f, n, features, classes=None, dtype="float64", seed=0):
    """``(w, x, y)``: labels for ``classes``, else targets shaped like the output."""
    rng = np.random.default_rng(seed)
    w = (rng.normal(size=f.num_params) * 0.4).astype(dtype)
    x = rng.normal(size=(n, features)).astype(dtype)
    if classes:
        return w, x, rng.integers(0, classes, size=n)
    return w, x, rng.normal(size=f.predict(w, x).shape).astype(dtype)


def branched() -> hc.Sequential:
    """A small network with every kind of container; 4 inputs, 3 classes."""
    return hc.Sequential(
        hc.Linear(4, 6),
        hc.Tanh(),
        hc.Residual(hc.Linear(6, 6), hc.GELU()),
        hc.Concat(hc.Linear(6, 3), hc.Gate(hc.Linear(6, 6), hc.Sigmoid())),
        hc.Parallel(hc.Linear(9, 3), hc.Linear(9, 3, bias=False)),
    )
