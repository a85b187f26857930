"""The demonstration: one small network, several optimizers side by side, a table and plots.

Run it with ``hesscore demo`` or ``python -m hesscore demo``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hesscore as hc

from . import datasets, plot
from ._extras import require
from .errors import OptionError

BATCH = 256
EPOCHS = {"digits": 40, "mnist": 3}
HIDDEN = {"digits": (64, 32), "mnist": (128,)}

# The best of a grid for each method, by training loss on other seeds: the rate, and momentum for
# SGD, eps for the Adam kind, the damping and its rule for Gauss-Newton. bench/demo_rates.py repeats
# the search (digits: five seeds; mnist: one seed, one epoch).
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "digits": {
        "sgd": {"lr": 0.3, "momentum": 0.9},
        "adam": {"lr": 0.03},
        "adahesscale": {"lr": 0.03, "eps": 1e-3},
        "gauss_newton": {"lr": 1.0, "damping": 0.01, "damping_rule": "constant"},
    },
    "mnist": {
        "sgd": {"lr": 0.3, "momentum": 0.9},
        "adam": {"lr": 0.01, "eps": 1e-5},
        "adahesscale": {"lr": 0.01, "eps": 1e-3},
        "gauss_newton": {"lr": 0.3, "damping": 0.03, "damping_rule": "constant"},
    },
}
LABELS = {
    "sgd": "SGD",
    "adam": "Adam",
    "adahesscale": "AdaHesScale",
    "gauss_newton": "Gauss-Newton-CG",
}


@dataclass(frozen=True)
class Settings:
    """What `hesscore demo` was asked to do."""

    data: str = "digits"
    path: Path | None = None
    epochs: int | None = None
    out: Path = Path("hesscore-demo")
    seed: int = 0
    threads: int | None = None
    optimizers: Sequence[str] = tuple(LABELS)
    quick: bool = False


@dataclass
class Run:
    """One method's training: series by step, the leading eigenvalue by epoch, and the end."""

    label: str
    step: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    eigenvalue: list[float] = field(default_factory=list)
    w: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    final_loss: float = float("nan")
    accuracy: float = float("nan")

    def series(self) -> dict[str, Sequence[float]]:
        """Return the series by step, as `plot.history` takes them."""
        return {"step": self.step, "seconds": self.seconds, "loss": self.loss}

    def eigenvalues(self) -> dict[str, Sequence[float]]:
        """Return the leading eigenvalue by epoch."""
        return {"epoch": list(range(len(self.eigenvalue))), "eigenvalue": self.eigenvalue}


def run(settings: Settings, say: Callable[[str], None] = print) -> list[Run]:
    """Train with every method, print the table and write the plots.

    Parameters
    ----------
    settings : Settings
    say : callable
        Takes each line of output.

    Returns
    -------
    list of Run

    Raises
    ------
    DatasetError, MissingExtraError
        When the data or an optional package is missing; nothing has been written then.
    """
    for module in ("matplotlib.pyplot", "tqdm"):
        require(module)
    data = load(settings)
    if settings.threads is not None:
        hc.set_num_threads(settings.threads)
    f = objective(data)
    optimizers = {name: optimizer(f, data.name, name) for name in settings.optimizers}
    epochs = settings.epochs or EPOCHS[settings.data] // (3 if settings.quick else 1)
    settings.out.mkdir(parents=True, exist_ok=True)
    say(introduction(data, f, epochs))
    runs = [
        train(f, data, LABELS.get(name, name), opt, epochs, settings.seed)
        for name, opt in optimizers.items()
    ]
    say(table(runs))
    for path in draw(f, data, runs, settings):
        say(f"wrote {path}")
    return runs


def load(settings: Settings) -> datasets.Dataset:
    """Load the data set that was asked for."""
    if settings.data == "digits":
        if settings.path is not None:
            raise OptionError("digits come with scikit-learn and take no path; --data mnist does")
        return datasets.digits()
    data = datasets.mnist(settings.path)
    return data.head(len(data.x_train) // 10) if settings.quick else data


def objective(data: datasets.Dataset) -> hc.Objective:
    """Build a tanh network with softmax cross-entropy for the data."""
    widths = (int(np.prod(data.input_shape)), *HIDDEN[data.name], data.num_classes)
    layers: list = [hc.Flatten()]
    for n_in, n_out in itertools.pairwise(widths):
        layers += [hc.Linear(n_in, n_out), hc.Tanh()]
    return hc.Objective(
        hc.Sequential(*layers[:-1]), loss=hc.CrossEntropyLoss(), input_shape=data.input_shape
    )


def introduction(data: datasets.Dataset, f: hc.Objective, epochs: int) -> str:
    """Say what is about to happen."""
    widths = "-".join(map(str, (*HIDDEN[data.name], data.num_classes)))
    return (
        f"{data.name}: {len(data.x_train)} images to train on, {len(data.x_test)} to test; "
        f"a tanh network {int(np.prod(data.input_shape))}-{widths} with {f.num_params} parameters; "
        f"{epochs} epochs in batches of {BATCH}.\n"
        "Every method starts from the same parameters and sees the same batches. Its settings are\n"
        "the best of a grid, by training loss on other seeds (see bench/demo_rates.py).\n"
    )


def batches(count: int, epochs: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield shuffled indices of each batch; the same for every method."""
    rng, size = np.random.default_rng(seed), min(BATCH, count)
    for _ in range(epochs):
        order = rng.permutation(count)
        yield from np.split(order[: count // size * size], count // size)


def optimizer(f: hc.Objective, data: str, name: str) -> hc.Optimizer:
    """Make an optimizer with its recipe for the data set, or its defaults where there is none."""
    return hc.Optimizer(f, name, **RECIPES[data].get(name, {}))


def train(
    f: hc.Objective,
    data: datasets.Dataset,
    label: str,
    opt: hc.Optimizer,
    epochs: int,
    seed: int = 0,
    watch: bool = True,
) -> Run:
    """Train with one method and measure it; only the optimizer's steps are timed.

    With `watch` a progress bar is shown and the leading eigenvalue followed.
    """
    result = Run(label, w=f.init(seed=seed))
    w, x, y = result.w, data.x_train, data.y_train
    steps_per_epoch = max(1, len(y) // BATCH)
    bar = require("tqdm").tqdm(
        total=epochs * steps_per_epoch,
        desc=f"{label:16}",
        unit="step",
        disable=None if watch else True,
    )
    seconds = 0.0
    with bar:
        for step, index in enumerate(batches(len(y), epochs, seed)):
            if watch and step % steps_per_epoch == 0:
                result.eigenvalue.append(leading_eigenvalue(f, w, data))
            xb, yb = x[index], y[index]
            start = time.perf_counter()
            info = opt.step(w, xb, yb)
            seconds += time.perf_counter() - start
            result.step.append(step)
            result.seconds.append(seconds)
            result.loss.append(info.loss)
            bar.set_postfix(loss=f"{info.loss:.4f}", refresh=False)
            bar.update()
    if watch:
        result.eigenvalue.append(leading_eigenvalue(f, w, data))
    result.final_loss = f.loss(w, x, y)
    result.accuracy = float(np.mean(f.predict(w, data.x_test).argmax(1) == data.y_test))
    return result


def leading_eigenvalue(f: hc.Objective, w: NDArray, data: datasets.Dataset) -> float:
    """Estimate the largest eigenvalue of the Hessian on the first 512 training images."""
    from scipy.sparse.linalg import eigsh

    hessian = f.hessian(w, data.x_train[:512], data.y_train[:512])
    start = np.random.default_rng(0).standard_normal(f.num_params).astype(w.dtype)
    options: dict[str, Any] = {"tol": 1e-2, "v0": start, "return_eigenvectors": False}
    return float(eigsh(hessian, k=1, which="LA", **options)[0])


def table(runs: Sequence[Run]) -> str:
    """Format the final table."""
    lines = [f"\n{'':16}{'train loss':>12}{'test accuracy':>15}{'seconds':>10}{'ms/step':>10}"]
    lines += [
        f"{r.label:16}{r.final_loss:12.4f}{r.accuracy:15.2%}{r.seconds[-1]:10.2f}"
        f"{1e3 * r.seconds[-1] / len(r.step):10.3f}"
        for r in runs
    ]
    return "\n".join(lines) + "\n"


def draw(
    f: hc.Objective, data: datasets.Dataset, runs: Sequence[Run], settings: Settings
) -> Iterator[Path]:
    """Write the plots and yield their paths."""
    figure = require("matplotlib.figure").Figure

    fig = figure(figsize=(11, 4), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    logs = {r.label: r.series() for r in runs}
    plot.history(logs, by="step", ax=left)
    plot.history(logs, by="seconds", ax=right).set(xscale="log", ylabel="")
    fig.suptitle(f"Training loss on {data.name}")
    yield _save(fig, settings.out / "loss.png")

    fig = figure(figsize=(6.5, 4), layout="constrained")
    ax = plot.history(
        {r.label: r.eigenvalues() for r in runs}, "epoch", fig.subplots(), "eigenvalue"
    )
    ax.set(ylabel="largest eigenvalue of the Hessian")
    fig.suptitle(f"Sharpness while training on {data.name}")
    yield _save(fig, settings.out / "eigenvalue.png")

    fig = figure(figsize=(12, 4.5), layout="constrained")
    x, y = data.x_train[:1000], data.y_train[:1000]
    shown = next((r for r in runs if r.label == LABELS["adahesscale"]), runs[-1])
    points = {"before training": f.init(seed=settings.seed), f"after {shown.label}": shown.w}
    axes = fig.subplots(1, 2)
    for ax, (when, w) in zip(axes, points.items(), strict=True):
        plot.curvature(f, f.diag(w, x, y, kind="hesscale"), ax).set_title(when)
    limits = np.array([ax.get_xlim() for ax in axes])
    for ax in axes:
        ax.set_xlim(limits[:, 0].min(), limits[:, 1].max())
    fig.suptitle("HesScale curvature of each tensor")
    yield _save(fig, settings.out / "curvature.png")


def _save(fig: Any, path: Path) -> Path:
    fig.savefig(path, dpi=150)
    return path
