"""Training on images with HesScale inside Adam, beside tuned SGD and Adam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import hesscore as hc

from .images import HALF, Images, cifar10, mnist
from .report import Report
from .settings import Settings
from .training import Run, ticks, train

BATCH, FULL_EPOCHS = 128, 100
SGD, ADAM, ADAHESSIAN = "SGD, momentum .9", "Adam", "AdaHessian"
ADAHESSCALE, ADAHESSCALE_GN = "AdaHesScale", "AdaHesScaleGN"
BL89, MC = "Adam on BL89", "Adam on GGN-MC"
METHODS = {
    SGD: ("sgd", {"momentum": 0.9}), ADAM: ("adam", {}), ADAHESSIAN: ("adahessian", {"eps": 1e-8}),
    ADAHESSCALE: ("adahesscale", {}), ADAHESSCALE_GN: ("adahesscale_gn", {}), BL89: ("bl89", {}),
    MC: ("chainrule_adam", {"diag": "ggn_mc", "eps": 1e-8}),
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A network and its data.

    Rates are the best of a coarse grid by short runs from another seed, 100 steps of the dense
    network and 30 of the convolutional one, whose rate for AdaHessian is a guess.
    """

    label: str
    epochs: int  # on a CPU
    rates: dict[str, float]
    paper: dict[str, float]  # test accuracy after 100 epochs


MLP = Task(
    "MNIST, 784-1000-500-100-10, tanh", 3,
    {SGD: 0.03, ADAM: 1e-3, ADAHESSIAN: 1e-2, ADAHESSCALE: 1e-3, ADAHESSCALE_GN: 1e-5, BL89: 1e-3,
     MC: 1e-4},
    {SGD: 0.980, ADAM: 0.981, ADAHESSIAN: 0.982, ADAHESSCALE: 0.982, ADAHESSCALE_GN: 0.982,
     BL89: 0.951, MC: 0.980},
)  # fmt: skip
CONVOLUTIONS = Task(
    "CIFAR-10, 3c3d, ELU", 2,
    {SGD: 0.03, ADAM: 1e-3, ADAHESSIAN: 1e-3, ADAHESSCALE: 1e-5, ADAHESSCALE_GN: 1e-5, BL89: 1e-5,
     MC: 1e-5},
    {SGD: 0.773, ADAM: 0.791, ADAHESSIAN: 0.739, ADAHESSCALE: 0.780, ADAHESSCALE_GN: 0.798,
     BL89: 0.367, MC: 0.779},
)  # fmt: skip


def measure(report: Report, settings: Settings) -> dict[str, dict[str, Any]]:
    """Train on both data sets, quickly on a part of the first; return the curves."""
    found = {}
    f = hc.Objective(hc.models.mlp(784, 1000, 500, 100, 10), hc.CrossEntropyLoss())
    images = mnist(settings, scale=HALF, head=6400 if settings.quick else None)
    found[MLP.label] = _train_all(report, MLP, f, images, settings)
    if not settings.quick:
        images = cifar10(settings)
        if len(images.y) < 50_000:
            report.notes.append(
                f"CIFAR-10 is a part of {len(images.y)} images to train on and "
                f"{len(images.y_test)} to test: accuracies are below those of all of it"
            )
        found[CONVOLUTIONS.label] = _train_all(report, CONVOLUTIONS, _cnn(), images, settings)
    report.notes.append(
        "rates of all methods are the best of coarse grids by short runs (AdaHessian's with 3c3d "
        "is a guess); on a CPU epochs are few, which says little about the paper's 100"
    )
    return found


def _cnn() -> hc.Objective:
    layers = hc.models.cnn_3c3d().layers
    net = hc.Sequential(*(hc.ELU() if isinstance(k, hc.ReLU) else k for k in layers))
    return hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(3, 32, 32))


def _train_all(
    report: Report, task: Task, f: hc.Objective, images: Images, settings: Settings
) -> dict[str, Any]:
    epochs = task.epochs if settings.device == "cpu" else FULL_EPOCHS
    epochs = 2 if settings.quick else epochs
    seeds = range(1 if settings.quick or settings.device == "cpu" else settings.seeds or 3)
    runs: dict[str, list[Run]] = {label: [] for label in METHODS}
    with ticks(settings, len(seeds) * len(runs) * epochs, "epoch", task.label) as tick:
        for seed in seeds:
            for label, (method, options) in METHODS.items():
                opt = hc.Optimizer(f, method, lr=task.rates[label], **options)
                w = f.init(seed, xp=settings.xp)
                runs[label].append(train(f, w, opt, images, BATCH, epochs, seed, settings, tick))
    _tabulate(report, task, runs, epochs)
    return {label: {"accuracies": _mean(rs, "accuracies"), "losses": _mean(rs, "losses"),
                    "seconds": _mean(rs, "seconds")} for label, rs in runs.items()}  # fmt: skip


def _tabulate(report: Report, task: Task, runs: dict[str, list[Run]], epochs: int) -> None:
    word = f"{epochs} epochs of {task.label}"
    table = report.table(f"test accuracy after {word} (paper: 100)")
    for label, rs in runs.items():
        paper = None if epochs < task.epochs else task.paper[label]
        table.add(f"{label}, lr {task.rates[label]:g}", [r.accuracy for r in rs], None, paper)
    losses = report.table(f"training loss after {word}")
    for label, rs in runs.items():
        losses.add(label, [r.loss for r in rs])
    right = {label: float(np.mean([r.accuracy for r in rs])) for label, rs in runs.items()}
    best = max(right[ADAHESSCALE], right[ADAHESSCALE_GN])
    report.claim(
        f"{task.label}: with HesScale inside, Adam trains as well as Adam or better",
        best >= right[ADAM] - 0.002,
        f"test accuracy {right[ADAHESSCALE]:.4f}, Gauss-Newton {right[ADAHESSCALE_GN]:.4f}, Adam "
        f"{right[ADAM]:.4f}, SGD {right[SGD]:.4f} after {epochs} epochs",
    )


def _mean(runs: Sequence[Run], name: str) -> list[float]:
    return [float(v) for v in np.mean([getattr(run, name) for run in runs], axis=0)]


def draw(fig: Any, found: dict[str, dict[str, Any]]) -> None:
    fig.set_size_inches(6 * len(found), 4.5)
    for ax, (title, curves) in zip(
        np.ravel([fig.subplots(1, len(found))]), found.items(), strict=True
    ):
        logs = {
            label: {"epoch": np.arange(1, len(c["accuracies"]) + 1), "accuracy": c["accuracies"]}
            for label, c in curves.items()
        }
        hc.plot.history(logs, "epoch", ax, "accuracy", log=False).set(ylabel="test accuracy")
        ax.set_title(title)
