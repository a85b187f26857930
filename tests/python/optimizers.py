"""Methods with options, and the steps that tests of optimizers take."""

from __future__ import annotations

import numpy as np

METHODS = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "adam": {"lr": 0.02, "weight_decay": 1e-2},
    "adamw": {"lr": 0.02},
    "adahessian": {"lr": 0.05, "seed": 3},
    "adahesscale": {"lr": 0.02, "weight_decay": 1e-3},
    "adahesscale_gn": {"lr": 0.02},
    "bl89": {"lr": 0.02, "delta": 1e-3},
    "chainrule_adam": {"lr": 0.02, "weight_decay": 1e-3},
    "sophia_g": {"lr": 0.02, "interval": 3, "seed": 2},
    "sophia_h": {"lr": 0.02, "interval": 1},
    "gauss_newton": {"cg_iterations": 8},
    "hessian_free": {"cg_iterations": 8, "damping": 10.0},
    "trust_region": {"radius": 0.5},
    "newton": {"lr": 0.3, "damping": 0.1},
    "lbfgs": {"history": 3},
    "replica_newton": {"lr": 0.1, "replicas": 3},
    "kfac": {"kind": "exact", "damping": 0.1, "interval": 2, "inverse_interval": 3},
}
STEPS = 8


def parts(x, y, count=STEPS):
    """A cycle of mini-batches."""
    for i in range(count):
        rows = np.arange(7 * i, 7 * i + 7) % len(x)
        yield x[rows], y[rows]


def trajectory(opt, w, x, y, count=STEPS):
    for xb, yb in parts(x, y, count):
        opt.step(w, xb, yb)
    return w
