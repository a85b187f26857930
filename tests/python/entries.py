"""Every entry point that takes arrays, as a call on a dict of named arguments."""

from __future__ import annotations

import numpy as np

import hesscore as hc
import problems

FEATURES, CLASSES, BATCH = 4, 3, 6


def _point(a):
    return a["w"], a["x"], a["y"]


def _weights(a):
    return {"sample_weight": a["sample_weight"]}


def _step(f, a):
    opt = hc.Optimizer(f, "adam", lr=1e-2)
    opt.step(*_point(a), **_weights(a))
    return a["w"]


def _run(f, a):
    opt = hc.Optimizer(f, "sgd", lr=1e-2)
    opt.run(*_point(a), batch_size=3, epochs=1, progress=False)
    return a["w"]


# name -> (call, names of its array arguments)
ENTRIES = {
    "loss": (lambda f, a: f.loss(*_point(a), **_weights(a)), "w x y sample_weight"),
    "value_and_grad": (
        lambda f, a: f.value_and_grad(*_point(a), **_weights(a)), "w x y sample_weight"),
    "predict": (lambda f, a: f.predict(a["w"], a["x"]), "w x"),
    "hvp": (lambda f, a: f.hvp(*_point(a), a["v"], **_weights(a)), "w x y v sample_weight"),
    "ggnvp": (lambda f, a: f.ggnvp(*_point(a), a["v"], **_weights(a)), "w x y v sample_weight"),
    "fishervp": (
        lambda f, a: f.fishervp(*_point(a), a["v"], **_weights(a)), "w x y v sample_weight"),
    "jvp": (lambda f, a: f.jvp(a["w"], a["x"], a["v"]), "w x v"),
    "vjp": (lambda f, a: f.vjp(a["w"], a["x"], a["u"]), "w x u"),
    "diag": (lambda f, a: f.diag(*_point(a), kind="hesscale", **_weights(a)),
             "w x y sample_weight"),
    "evaluate": (lambda f, a: f.evaluate(*_point(a), ("loss", "grad", "ggn"), **_weights(a)),
                 "w x y sample_weight"),
    "per_sample_grads": (
        lambda f, a: f.per_sample_grads(*_point(a), **_weights(a)), "w x y sample_weight"),
    "grad_moments": (lambda f, a: f.grad_moments(*_point(a), **_weights(a)), "w x y sample_weight"),
    "hessian": (lambda f, a: f.hessian(*_point(a), **_weights(a)) @ np.ones(f.num_params),
                "w x y sample_weight"),
    "ggn": (lambda f, a: f.ggn(*_point(a), **_weights(a)).matvec(a["v"]), "w x y v sample_weight"),
    "kron": (lambda f, a: f.kron(*_point(a), kind="exact", **_weights(a)).solve(a["v"], 0.1),
             "w x y v sample_weight"),
    "step": (_step, "w x y sample_weight"),
    "run": (_run, "w x y"),
}  # fmt: skip

WRITES_W = ("step", "run")


def make():
    """An objective and a full set of good arguments, float64."""
    f = problems.mlp(FEATURES, 5, CLASSES)
    w, x, y = problems.batch(f, BATCH, FEATURES, classes=CLASSES)
    rng = np.random.default_rng(99)
    return f, {
        "w": w,
        "x": x,
        "y": y,
        "v": rng.normal(size=f.num_params),
        "u": rng.normal(size=(BATCH, CLASSES)),
        "sample_weight": rng.uniform(0.5, 2.0, size=BATCH),
    }


def cases(*arguments):
    """(entry, argument) for every entry point that takes one of the arguments."""
    return [
        (name, argument)
        for name, (_, taken) in ENTRIES.items()
        for argument in taken.split()
        if not arguments or argument in arguments
    ]


def flat(result) -> bytes:
    """The bits of any result."""
    if isinstance(result, dict):
        return b"".join(flat(v) for v in result.values())
    if isinstance(result, tuple):
        return b"".join(flat(v) for v in result)
    return np.asarray(result).tobytes()
