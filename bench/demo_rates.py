"""Finds the learning rates of the demonstration: for each method the best of a grid.

    python bench/demo_rates.py [--data digits|mnist --path FILE] [--epochs N] [--seeds 5]
                              [--optimizers A,B,...]

Every method gets its own grid of rates a factor of about three apart, wide enough that the best
one is inside. It is judged by the training loss over all samples at the end, the worst of several
seeds that the demonstration does not start from; the test part is not looked at.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import hesscore as hc
from hesscore import demo

RATES = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0]
EPS = [1e-8, 1e-5, 1e-3]  # the curvatures are about 1e-3: a larger eps would be alone in charge
GRIDS: dict[str, dict[str, list]] = {
    "sgd": {"lr": RATES, "momentum": [0.0, 0.9]},
    "adam": {"lr": RATES, "eps": EPS},
    "adahesscale": {"lr": RATES, "eps": EPS},
    "gauss_newton": {
        "lr": [0.3, 1.0],
        "damping": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
        "damping_rule": ["lm", "constant"],
    },
}


def final_loss(f, data, name: str, options: dict, epochs: int, seeds: int) -> float:
    """The worst of the seeds; infinite when a run ends in numbers that are not finite."""
    losses = []
    for seed in range(101, 101 + seeds):
        opt = hc.Optimizer(f, name, **options)
        try:
            run = demo.train(f, data, name, opt, epochs, seed, watch=False)
        except hc.NonFiniteError:
            return float("inf")
        losses.append(run.final_loss)
    return max(losses)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=list(demo.EPOCHS), default="digits")
    parser.add_argument("--path", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--optimizers", default=",".join(GRIDS))
    chosen = parser.parse_args()
    data = demo.load(demo.Settings(data=chosen.data, path=chosen.path))
    f = demo.objective(data)
    epochs = chosen.epochs or demo.EPOCHS[chosen.data]
    for name in chosen.optimizers.split(","):
        grid = GRIDS[name]
        found = []
        for values in itertools.product(*grid.values()):
            options = dict(zip(grid, values, strict=True))
            loss = final_loss(f, data, name, options, epochs, chosen.seeds)
            found.append((loss, options))
            print(f"{name:14}{loss:10.5f}  {options}", flush=True)
        loss, options = min(found, key=lambda pair: pair[0])
        print(f"{name:14}{loss:10.5f}  {options}  <- best\n", flush=True)


if __name__ == "__main__":
    main()
