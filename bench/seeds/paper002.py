"""Paper 002: HesScale against other diagonals: quality, cost and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import hesscore as hc

from . import depths, diagonals, image_training
from .diagonals import BL89, GGN, HESSCALE, HESSCALE_GN, HUTCHINSON, LABELS, MC, MC50, Errors
from .images import HALF, Images, mnist
from .report import Report
from .settings import Settings, to_host
from .training import ticks

SAMPLES, QUICK_SAMPLES = 500, 100  # of one, for a seed
IMAGES, TRAINING_STEPS, TRAINING_BATCH = 50, 10_000, 32
MNIST_SIZES = 784, 64, 64, 64, 10


@dataclass(frozen=True)
class Case:
    """A network on random data at the start; relative errors of the reference, by LABELS."""

    label: str
    sizes: tuple[int, ...]
    activation: Callable[[], hc.layers.Layer]
    batch: int
    reference: tuple[float, ...]


PAPER_NET, TWO = (6, 16, 16, 16, 10), (10, 32, 32, 10)
TANH1, TANH128 = "tanh, 3 hidden layers, 1 sample", "tanh, 3 hidden layers, 128 samples"
RELU1 = "ReLU, 2 hidden layers, 1 sample"
CASES = [
    Case(TANH1, PAPER_NET, hc.Tanh, 1,
         (.041, .751, .349, .749, 1.13, .817, 34.3, 34.1, 4.72, 1.25, .389, 1.13, 1)),
    Case(TANH128, PAPER_NET, hc.Tanh, 128,
         (.085, .276, .859, .256, .381, .275, 9.95, 9.40, 1.40, .888, .955, .397, 1)),
    Case("tanh, 2 hidden layers, 1 sample", TWO, hc.Tanh, 1,
         (.024, .828, .267, .827, 1.09, .874, 36.9, 36.7, 4.93, 1.25, .293, 1.09, 1)),
    Case("tanh, 2 hidden layers, 128 samples", TWO, hc.Tanh, 128,
         (.072, .389, .833, .381, .512, .399, 12.7, 12.0, 1.79, .858, .926, .520, 1)),
    Case(RELU1, TWO, hc.ReLU, 1,
         (.066, .066, .900, 0, 1.26, .222, 87.2, 86.4, 11.7, 1.71, 1.0, 1.27, 1)),
    Case("ReLU, 2 hidden layers, 128 samples", TWO, hc.ReLU, 128,
         (.056, .056, .900, 0, .236, .034, 15.6, 14.8, 2.17, .786, 1.0, .253, 1)),
]  # fmt: skip
TRAINED = {  # MNIST: relative errors of the reference at the start and after training
    "tanh": ({HESSCALE: 0.026, BL89: 0.047, GGN: 0.99}, {HESSCALE: 0.288, BL89: 0.308, GGN: 0.93}),
    "ReLU": ({HESSCALE: 0.268, BL89: 0.904, GGN: 0.0},
             {HESSCALE: 0.55, BL89: 0.79, GGN: 0.0, MC50: 0.25}),
}  # fmt: skip


def run(settings: Settings) -> Report:
    report = Report("HesScale: quality, cost and training")
    check_engine(report, settings)
    quality = {case.label: on_random_data(report, case, settings) for case in CASES}
    trained = on_mnist(report, settings)
    judge(report, quality, trained)
    costs = depths.measure(report, settings)
    curves = image_training.measure(report, settings)
    report.series = {"quality": quality, "MNIST": trained, "costs": costs, "training": curves}
    report.figures["quality"] = lambda fig: draw(fig, quality | trained)
    report.figures["costs"] = lambda fig: depths.draw(fig, costs)
    report.figures["training"] = lambda fig: image_training.draw(fig, curves)
    return report


def check_engine(report: Report, settings: Settings) -> None:
    """Against a recursion in arrays, in both precisions, and where the diagonals must be exact."""
    apart, single, last, rectified = [], [], [], []
    for seed, activation in enumerate((hc.Tanh, hc.ReLU, hc.Tanh, hc.ReLU)):
        f, w, x, y = diagonals.random_problem(TWO, activation, 40, seed, settings.xp)
        found = f.evaluate(w, x, y, ("hessian", "hesscale", "bl89", "ggn"))
        for kind, output in (("hesscale", "softmax"), ("bl89", "bl89")):
            again = diagonals.recursion(f, w, x, y, output)
            apart.append(_apart(found[kind], again))
            low = f.diag(w.astype("float32"), x.astype("float32"), y, kind=kind)
            single.append(_apart(low.astype("float64"), again))
        end = diagonals.last_layer(f)
        last.append(_apart(found["hesscale"][end], found["hessian"][end]))
        if activation is hc.ReLU:
            rectified.append(_apart(found["ggn"], found["hessian"]))
    for text, numbers, bound in (
        ("HesScale and BL89 are the recursion's in float64", apart, 1e-12),
        ("HesScale and BL89 are the recursion's in float32", single, 1e-5),
        ("HesScale is exact in the last layer", last, 1e-12),
        ("the Gauss-Newton diagonal is exact with ReLU", rectified, 1e-12),
    ):
        report.check(text, max(numbers) < bound, f"at most {max(numbers):.1e} apart")


def on_random_data(report: Report, case: Case, settings: Settings) -> dict[str, float]:
    """Add the table of one network; return the mean relative errors."""
    samples = QUICK_SAMPLES if settings.quick else SAMPLES
    seeds = settings.seeds_or(full=20, quick=4)
    table = report.table(f"relative error: {case.label}")
    rows: list[dict[str, float]] = []
    with ticks(settings, len(seeds), "seed", case.label) as tick:
        for seed in seeds:
            errors, count = Errors(), samples if case.batch == 1 else case.batch
            f, w, x, y = diagonals.random_problem(
                case.sizes, case.activation, count, seed, settings.xp
            )
            for k in range(0, count, case.batch):
                at = slice(k, k + case.batch)
                errors.add(*diagonals.estimates(f, w, x[at], y[at], 2 * (seed * SAMPLES + k)))
            rows.append(errors.relative())
            tick()
    for label, reference in zip(LABELS, case.reference, strict=True):
        table.add(label, [row[label] for row in rows], reference)
    return {label: table.ours(label) for label in LABELS}


def on_mnist(report: Report, settings: Settings) -> dict[str, dict[str, float]]:
    """784-64-64-64-10 at the start and after training with Adam, on single test images."""
    images = mnist(settings, "float64", HALF, head=8000 if settings.quick else None)
    seeds, found = range(1 if settings.quick else 2), {}
    with ticks(settings, 2 * len(seeds), "network", "MNIST") as tick:
        for name, activation in (("tanh", hc.Tanh), ("ReLU", hc.ReLU)):
            rows: list[list[dict[str, float]]] = [[], []]
            for seed in seeds:
                for k, row in enumerate(_before_and_after(images, activation, seed, settings)):
                    rows[k].append(row)
                tick()
            for k, when in enumerate(("at the start", "trained")):
                table = report.table(f"relative error: MNIST, {name}, {when}, 1 sample")
                for label in LABELS:
                    reference = TRAINED[name][k].get(label)
                    full = reference if k == 0 or not settings.quick else None
                    table.add(label, [row[label] for row in rows[k]], full)
                found[f"MNIST, {name}, {when}"] = {label: table.ours(label) for label in LABELS}
    return found


def _before_and_after(
    images: Images, activation: Callable[[], hc.layers.Layer], seed: int, settings: Settings
) -> list[dict[str, float]]:
    net = hc.models.mlp(*MNIST_SIZES, activation=activation)
    f = hc.Objective(net, hc.CrossEntropyLoss())
    w, found = f.init(seed, dtype="float64", xp=settings.xp), []
    steps = 500 if settings.quick else TRAINING_STEPS
    opt = hc.Optimizer(f, "adam", lr=1e-3)
    for _ in range(2):
        errors = Errors()
        for k in range(20 if settings.quick else IMAGES):
            at = slice(k, k + 1)
            x, y = images.x_test[at], images.y_test[at]
            errors.add(*diagonals.estimates(f, w, x, y, 2 * (seed * SAMPLES + k)))
        found.append(errors.relative())
        if len(found) == 1:
            opt.run(w, images.x, images.y, TRAINING_BATCH, steps * TRAINING_BATCH // len(images.y)
                    + 1, seed, lambda info: info.step == steps, False)  # fmt: skip
    return found


def judge(
    report: Report, quality: dict[str, dict[str, float]], trained: dict[str, dict[str, float]]
) -> None:
    """Say where HesScale is best, and where not."""
    e = quality[TANH1]
    report.claim(
        "with tanh HesScale is nearer to the Hessian's diagonal than all others",
        _ordered(e) and e[HESSCALE] <= 0.06 and e[HESSCALE] <= e[BL89] / 5,
        f"single samples: {e[HESSCALE]:.3f}, BL89 {e[BL89]:.3f}, Gauss-Newton {e[GGN]:.3f}, one "
        f"drawn label {e[MC]:.2f}, one probe of Hutchinson's {e[HUTCHINSON]:.0f}",
    )
    e = quality[TANH128]
    report.claim(
        "also on batches of 128",
        e[HESSCALE] == min(e[label] for label in LABELS),
        f"{e[HESSCALE]:.3f}, next {sorted(e[label] for label in LABELS)[1]:.3f}",
    )
    e = quality[RELU1]
    report.claim(
        "with ReLU, too, it is nearer than all others",
        e[HESSCALE] == min(e[label] for label in LABELS),
        f"{e[HESSCALE]:.3f}; the Gauss-Newton diagonal is exact there ({e[GGN]:.1g})",
    )
    for name, e in trained.items():
        others = [label for label in LABELS if label != HESSCALE]
        best = min(others, key=lambda label, e=e: e[label])
        report.claim(
            f"{name}: HesScale is nearest",
            e[HESSCALE] < e[best],
            f"{e[HESSCALE]:.3f}, next {best} {e[best]:.3g}",
        )


def _ordered(e: dict[str, float]) -> bool:
    exact = max(e[HESSCALE_GN], e[GGN])
    low = min(e[HESSCALE_GN], e[GGN])
    return e[HESSCALE] < e[BL89] < low <= exact < e[MC] < e[HUTCHINSON]


def _apart(a: Any, b: Any) -> float:
    a, b = to_host(a), to_host(b)
    return float(np.abs(a - b).max() / np.abs(b).max())


def draw(fig: Any, quality: dict[str, dict[str, float]]) -> None:
    fig.set_size_inches(13, 6)
    ax = fig.subplots()
    width = 0.85 / len(quality)
    for k, (case, errors) in enumerate(quality.items()):
        heights = [max(errors[label], 1e-3) for label in LABELS]
        ax.bar(np.arange(len(LABELS)) + k * width, heights, width, label=case)
    ax.set_xticks(np.arange(len(LABELS)) + 0.4, LABELS, rotation=30, ha="right")
    ax.set(yscale="log", ylabel="relative error (L1)", ylim=(1e-3, None))
    ax.legend(fontsize="small", ncols=2)
    fig.suptitle("Diagonals against the Hessian's")
