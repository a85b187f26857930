"""Measures the peak memory of steps, each in a process of its own; prints one JSON line for each.

Started by test_memory.py. The peak of what is resident is the kernel's (VmHWM, reset before the
step), less pages of files, which are code that ran for the first time.
"""

from __future__ import annotations

import ctypes
import json
import os

import numpy as np

import hesscore as hc

QUANTITIES = [("loss", "grad"), ("grad", "hesscale"), ("grad", "ggn_mc"), ("grad", "ggn"), ("hvp",),
              ("per_sample_grads",), ("grad_moments",)]  # fmt: skip
IMAGE = (3, 32, 32)
PR_SET_THP_DISABLE = 41


def classifier(make, shape, batch, columns=None):
    """A net with ten classes; batches of `columns` for the exact Gauss-Newton diagonal."""

    def problem(quantities):
        n = columns or batch if "ggn" in quantities else batch
        f = hc.Objective(make(), hc.CrossEntropyLoss(), input_shape=shape)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(n, *shape)).astype(np.float32)
        return f, n, x, rng.integers(0, 10, size=n)

    return problem


def skipgram(quantities):
    n, words = 64 if "per_sample_grads" in quantities else 512, 5000
    f = hc.Objective(hc.models.skipgram(words, 64, contexts=6), hc.BCEWithLogitsLoss())
    rng = np.random.default_rng(0)
    shapes = {"word": (n,), "context": (n, 6)}
    x = {name: rng.integers(0, words, size=shape) for name, shape in shapes.items()}
    return f, n, x, np.ones((n, 6), np.float32)


def wide_window():
    """Unfolded, its inputs would be 121 times as large."""
    return hc.Sequential(
        hc.Conv2d(8, 8, 11, padding=5), hc.Tanh(), hc.Conv2d(8, 8, 11, padding=5, stride=2),
        hc.GlobalAvgPool2d(), hc.Flatten(), hc.Linear(8, 10),
    )  # fmt: skip


PROBLEMS = {
    "lenet5": classifier(hc.models.lenet5, (1, 28, 28), 64),
    "cnn_3c3d": classifier(hc.models.cnn_3c3d, IMAGE, 16),
    "all_cnn_c": classifier(lambda: hc.models.all_cnn_c(10), IMAGE, 32, 8),
    "resnet20": classifier(hc.models.resnet20, IMAGE, 8),
    "mlp": classifier(lambda: hc.models.mlp(784, 512, 256, 10), (784,), 128),
    "skipgram": skipgram,
    "wide window": classifier(wide_window, (8, 24, 24), 32, 8),
}


def status(key):
    """Bytes from /proc/self/status."""
    with open("/proc/self/status") as lines:
        return next(int(s.split()[1]) * 1024 for s in lines if s.startswith(key + ":"))


def measure(name, quantities):
    f, n, x, y = PROBLEMS[name](quantities)
    w = f.init()
    v = np.ones_like(w)
    told = f.memory(n, quantities)
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before, files = status("VmRSS"), status("RssFile")
    result = f.hvp(w, x, y, v) if quantities == ("hvp",) else f.evaluate(w, x, y, quantities)
    peak = status("VmHWM") - before - (status("RssFile") - files)
    inputs = sum(a.nbytes for a in (x.values() if isinstance(x, dict) else [x]))
    assert result is not None
    return {"name": name, "of": "+".join(quantities), "told": told, "peak": peak, "x": inputs}


def main():
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    hc.set_num_threads(2)
    for name in PROBLEMS:
        for quantities in QUANTITIES:
            child = os.fork()
            if child == 0:
                os.write(1, (json.dumps(measure(name, quantities)) + "\n").encode())
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0, (name, quantities)


if __name__ == "__main__":
    main()
