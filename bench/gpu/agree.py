"""Whether the sides of the comparison compute the same: loss, gradient and HesScale diagonal.

hesscore on the CPU in float64 against the sweeps that are timed, in float32, on the same weights:
python bench/gpu/agree.py. A side that is not installed is left out; more than 1e-4 apart fails.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import numpy as np
from networks import Case, NetCase, Problem, layers, make, name

import hesscore as hc
from peers.problem import join

LARGEST = 1e-4
MODELS = {
    "12-9-3": lambda: hc.models.mlp(12, 9, 3),
    "lenet5": hc.models.lenet5,
    "3c3d": hc.models.cnn_3c3d,
    "allcnnc": lambda: hc.models.all_cnn_c(dropout=False),
    "resnet18": hc.models.resnet18_cifar,
}


def hesscore_side(case: Case | NetCase, given: Problem) -> list[np.ndarray]:
    net = MODELS[name(case)]()
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=case.input_shape)
    w, x = given.w.astype(float), given.x.astype(float)
    found = f.evaluate(w, x, given.y, ("loss", "grad", "hesscale"), train=True)
    return [np.asarray(found["loss"]), found["grad"], found["hesscale"]]


def jax_side(case: Case | NetCase, given: Problem) -> list[np.ndarray]:
    import jax
    import sweep_jax

    jax.config.update("jax_default_matmul_precision", "highest")
    sweep = jax.jit(lambda w, x, y: sweep_jax.hesscale(layers(case), w, x, y))
    w = sweep_jax.pack(case, given.parameters)
    loss, grad, diag = sweep(w, sweep_jax.images(given.x), given.y)
    flat = [join(sweep_jax.unpack(case, parts)) for parts in (grad, diag)]
    return [np.asarray(loss), *flat]


def torch_side(unfold: bool) -> Callable[[Case | NetCase, Problem], list[np.ndarray]]:
    def side(case: Case | NetCase, given: Problem) -> list[np.ndarray]:
        import sweep_torch
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cudnn.allow_tf32 = False
        w = [torch.from_numpy(p).to(device) for p in given.parameters]
        x, y = torch.from_numpy(given.x).to(device), torch.from_numpy(given.y).to(device)
        loss, grad, diag = sweep_torch.hesscale(layers(case), w, x, y, unfold)
        return [loss.cpu().numpy(), *(join(p.cpu() for p in parts) for parts in (grad, diag))]

    return side


SIDES = {
    "jax": jax_side,
    "torch compiled": torch_side(unfold=False),
    "torch eager": torch_side(unfold=True),
}


def main() -> int:
    worst = 0.0
    nets = (NetCase(net, 4) for net in ("lenet5", "3c3d", "allcnnc", "resnet18"))
    for case in (Case((12, 9, 3), "tanh", 5), *nets):
        given = make(case)
        exact = hesscore_side(case, given)
        for side, compute in SIDES.items():
            line = {"side": side, "net": name(case)}
            try:
                found = compute(case, given)
            except ImportError as error:
                print(json.dumps(line | {"left_out": str(error)}))
                continue
            for what, a, b in zip(("loss", "grad", "hesscale"), found, exact, strict=True):
                line[what] = float(np.linalg.norm(a - b) / np.linalg.norm(b))
                worst = max(worst, line[what]) if np.isfinite(line[what]) else np.inf
            print(json.dumps(line), flush=True)
    return int(worst > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
