"""Paper 004: quasi-Newton steps from the differences of replicas' gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import hesscore as hc

from . import replicas
from .images import Images, cifar10, mnist
from .report import Report
from .settings import Settings
from .training import ticks

BATCH, HEAD, EPOCHS = 256, 10_240, 15
CONV_EPOCHS, CONV_HEAD, DEVICE_EPOCHS = 5, 2560, 50
LOW, HIGH = 3e-4, 1e-2
SGD, TUNED = "SGD", "SGD, lr .3 (tuned)"
Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class Method:
    """How replicas differ, how far the step in their span goes, and what the reference found.

    `reference` is the training loss after 5 and 15 epochs (tanh) or 10 and 15 (ReLU).
    """

    label: str
    form: str = ""  # empty: SGD
    count: int = 1
    span_step: float | None = 1.0  # None: the rate
    lr: float = HIGH
    reference: Pair = (None, None)
    quick: bool = True

    def make(self, f: hc.Objective) -> hc.Optimizer:
        if not self.form:
            return hc.Optimizer(f, "sgd", lr=self.lr)
        span = self.lr if self.span_step is None else self.span_step
        return hc.Optimizer(f, "replica_newton", lr=self.lr, replicas=self.count, form=self.form,
                            span_step=span)  # fmt: skip


def family(
    form: str, span_step: float | None, numbers: Sequence[Pair], lr: float = HIGH,
    quick: bool = False,
) -> list[Method]:  # fmt: skip
    """Return the methods of one reading for 2, 4 and 8 replicas."""
    span = "span 1" if span_step == 1 else "span lr"
    return [
        Method(f"{form}, {span}, M = {m}", form, m, span_step, lr, pair, quick)
        for m, pair in zip((2, 4, 8), numbers, strict=True)
    ]


def paired(m: int) -> str:
    return f"paired, span 1, M = {m}"


NONE: list[Pair] = [(None, None)] * 3
TANH = [
    Method(SGD, reference=(1.727, 0.969)),
    Method(TUNED, lr=0.3, reference=(0.249, 0.106)),
    *family("paired", 1.0, [(0.266, 0.118), (0.289, 0.147), (0.377, 0.197)], quick=True),
    *family("paired", None, [(1.541, 0.789), (1.614, 0.797), (1.691, 0.854)]),
    *family("centred", None, [(1.725, 0.968), (1.723, 0.966), (1.722, 0.966)]),
    *family("centred", 1.0, [(1.739, 1.030), (1.903, 1.523), (2.295, 2.30)]),
    *family("carried", None, [(1.730, 0.970), (1.737, 0.972), (1.753, 0.976)]),
    *family("carried", 1.0, [(1.730, 0.970), (1.737, 0.972), (1.753, 0.976)]),
]
SLOW = [
    Method(SGD, lr=LOW, reference=(2.291, None)),
    *family("paired", 1.0, [(0.276, None), *NONE[1:]], LOW, quick=True),
]
RELU = [
    Method(SGD, reference=(1.446, 0.896)),
    Method(TUNED, lr=0.3),
    *family("paired", 1.0, [(0.384, 0.289), (0.429, 0.307), (0.581, 0.351)], quick=True),
]


@dataclass(frozen=True)
class Setting:
    """Methods under one activation and rate, and the epochs at which they are compared."""

    label: str
    activation: Callable[[], hc.layers.Layer]
    methods: list[Method]
    early: int
    last: int = EPOCHS


SETTINGS = [
    Setting("tanh, lr .01", hc.Tanh, TANH, 5),
    Setting("tanh, lr .0003", hc.Tanh, SLOW, 5),
    Setting("ReLU, lr .01", hc.ReLU, RELU, 10),
]
Curves = dict[str, list[list[float]]]  # of every method the losses after each epoch, by seed


def run(settings: Settings) -> Report:
    report = Report("Quasi-Newton from replicas' gradient differences")
    replicas.check_quadratics(report, settings)
    small = mnist(settings, "float64", pool=2, head=BATCH)
    replicas.check_steps(report, perceptron(hc.Tanh), small.x, small.y, settings)
    found = perceptrons(report, settings)
    if not settings.quick:
        found |= convolutions(report, settings)
    judge(report, found)
    report.series = dict(found)
    report.figures["training"] = lambda fig: draw(fig, found)
    return report


def perceptron(activation: Callable[[], hc.layers.Layer]) -> hc.Objective:
    net = hc.models.mlp(196, 64, 32, 10, activation=activation)
    return hc.Objective(net, hc.CrossEntropyLoss())


def convolutional(activation: Callable[[], hc.layers.Layer], images: Images) -> hc.Objective:
    """Five layers with about 16,000 parameters: three convolutions and two dense ones."""
    colours, side = images.x.shape[1:3]
    layers: list[Any] = []
    for n, m in ((colours, 16), (16, 24), (24, 24)):
        layers += [hc.Conv2d(n, m, 3, padding=1), activation(), hc.MaxPool2d(2)]
    pixels, hidden = 24 * (side // 8) ** 2, 32 if side == 28 else 16
    dense = hc.Linear(pixels, hidden), activation(), hc.Linear(hidden, 10)
    net = hc.Sequential(*layers, hc.Flatten(), *dense)
    return hc.Objective(net, hc.CrossEntropyLoss(), input_shape=images.x.shape[1:])


def losses(
    f: hc.Objective, opt: hc.Optimizer, images: Images, batch: int, epochs: int, seed: int,
    settings: Settings, tick: Callable[[], None],
) -> list[float]:  # fmt: skip
    """Train; return the loss over all training images after each epoch, NaN once it diverged."""
    w, found = f.init(seed, xp=settings.xp), []
    for epoch in range(epochs):
        try:
            opt.run(w, images.x, images.y, batch, 1, seed, None, False, first_epoch=epoch)
            found.append(mean_loss(f, w, images))
        except hc.NonFiniteError:
            found.append(math.nan)
        tick()
    return found


def mean_loss(f: hc.Objective, w: Any, images: Images, rows: int = 2560) -> float:
    parts = [slice(k, k + rows) for k in range(0, len(images.y), rows)]
    sums = [f.loss(w, images.x[p], images.y[p]) * len(images.y[p]) for p in parts]
    return sum(sums) / len(images.y)


def perceptrons(report: Report, settings: Settings) -> dict[str, Curves]:
    """All readings with 196-64-32-10 on 10,240 images of 14 x 14."""
    images = mnist(settings, pool=2, head=HEAD)
    seeds, found = settings.seeds_or(full=2, quick=1), {}
    plan = [
        (s, m, s.early if settings.quick else s.last)
        for s in SETTINGS for m in s.methods if m.quick or not settings.quick
    ]  # fmt: skip
    with ticks(settings, sum(e for *_, e in plan) * len(seeds), "epoch", "MLP") as tick:
        for s, m, epochs in plan:
            f = perceptron(s.activation)
            found.setdefault(s.label, {})[m.label] = [
                losses(f, m.make(f), images, BATCH, epochs, seed, settings, tick) for seed in seeds
            ]
    for s in SETTINGS:
        for k, epoch in enumerate((s.early, s.last)):
            if epoch > s.early and settings.quick:
                continue
            table = report.table(f"training loss after {epoch} epochs, 196-64-32-10, {s.label}")
            for m in s.methods:
                if m.label in found[s.label]:
                    ours = [curve[epoch - 1] for curve in found[s.label][m.label]]
                    table.add(m.label, ours, m.reference[k])
    if not settings.quick:
        local_batches(report, images, settings)
    return found


def local_batches(report: Report, images: Images, settings: Settings) -> None:
    """Each replica with 128 images, the same number of steps: the batch grows with M."""
    table = report.table("training loss after 600 steps, 128 images for each replica, tanh, lr .01")
    f = perceptron(hc.Tanh)
    with ticks(settings, sum(15 * m // 2 for m in (2, 4, 8)), "epoch", "local batches") as tick:
        for m, reference in ((2, 0.118), (4, 0.121), (8, 0.134)):
            method = Method("", "paired", m)
            curve = losses(f, method.make(f), images, 128 * m, 15 * m // 2, 0, settings, tick)
            table.add(paired(m), curve[-1], reference)


def convolutions(report: Report, settings: Settings) -> dict[str, Curves]:
    """The poster's own setting: about 16,000 parameters, both data sets, activations and rates."""
    cpu = settings.device == "cpu"
    epochs, head = (CONV_EPOCHS, CONV_HEAD) if cpu else (DEVICE_EPOCHS, None)
    seeds = range(1 if cpu else settings.seeds or 1)
    sets = {
        "MNIST": mnist(settings, head=head, flat=False),
        "CIFAR-10": cifar10(settings, head=head),
    }
    if cpu:
        report.notes.append(
            f"on a CPU convnets take {CONV_EPOCHS * CONV_HEAD // BATCH} steps, which hardly leave "
            "the first plateau: little can be read off their losses"
        )
    plan = [(d, a, lr) for d in sets for a in (hc.Tanh, hc.ReLU) for lr in (HIGH, LOW)]
    found: dict[str, Curves] = {}
    with ticks(settings, len(plan) * len(seeds) * 6 * epochs, "epoch", "convnet") as tick:
        for name, activation, lr in plan:
            images = sets[name]
            f = convolutional(activation, images)
            methods = [
                Method(SGD, lr=lr), Method("SGD, lr .1", lr=0.1),
                *(Method(paired(m), "paired", m, lr=lr) for m in (1, 2, 4, 8)),
            ]  # fmt: skip
            label = f"convnet, {name}, {activation.__name__}, lr {lr:g}"
            found[label] = {
                m.label: [losses(f, m.make(f), images, BATCH, epochs, seed, settings, tick)
                          for seed in seeds] for m in methods
            }  # fmt: skip
            table = report.table(
                f"training loss after {epochs} epochs of {len(images.y)} images, {label}, "
                f"{f.num_params} parameters"
            )
            for m in methods:
                table.add(m.label, [curve[-1] for curve in found[label][m.label]])
    return found


def judge(report: Report, found: dict[str, Curves]) -> None:
    """Say which of the poster's sentences hold, for secants of each shard."""
    early = {
        label: {m: _mean(c[_epoch(label) - 1] for c in runs) for m, runs in curves.items()}
        for label, curves in found.items()
    }
    for m in (8, 4):
        ratios = {label: e[paired(m)] / e[SGD] for label, e in early.items()}
        worst = max(ratios, key=lambda label, r=ratios: _or_infinite(r[label]))
        report.claim(
            f"{m} replicas converge faster than SGD at the same rate",
            _or_infinite(ratios[worst]) < 1,
            f"at worst {ratios[worst]:.3f} times SGD's loss ({worst})",
        )
    rising = [e[paired(8)] < e[paired(4)] < e[paired(2)] for e in early.values()]
    order = {label: sorted((2, 4, 8), key=lambda m, e=e: _or_infinite(e[paired(m)]))
             for label, e in early.items()}  # fmt: skip
    report.claim(
        "the more replicas of a batch of 256, the faster",
        all(rising),
        f"in {sum(rising)} of {len(rising)} settings; from best to worst "
        + "; ".join(f"{label}: M = {', '.join(map(str, o))}" for label, o in order.items()),
    )
    slower = [e[paired(2)] > e[SGD] for e in early.values()]
    report.claim(
        "too few replicas are slower than SGD",
        any(slower),
        f"two are slower in {sum(slower)} of {len(slower)} settings",
    )
    tanh = early["tanh, lr .01"]
    report.notes.append(
        f"the control, SGD at a rate of .3, reaches {tanh[TUNED]:.3f} where two replicas reach "
        f"{tanh[paired(2)]:.3f} with twice the gradients: what replicas find is the size of steps"
    )


def _epoch(label: str) -> int:
    return next((s.early for s in SETTINGS if s.label == label), 0)


def _or_infinite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def draw(fig: Any, found: dict[str, Curves]) -> None:
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    fig.set_size_inches(5.5 * columns, 4.2 * rows)
    axes = np.ravel([fig.subplots(rows, columns)])
    for ax, (title, curves) in zip(axes, found.items(), strict=False):
        main = [label for label in curves if label.startswith(("SGD", "paired, span 1"))]
        for label, runs in curves.items():
            mean = np.mean(runs, axis=0)
            style: dict[str, Any] = {
                "color": "0.8",
                "linewidth": 0.8,
                "zorder": 0,
            }  # other readings
            if label in main:
                style = {"color": f"C{main.index(label)}", "label": label}
            line = "--" if label.startswith("SGD") else "-"
            ax.plot(np.arange(1, len(mean) + 1), mean, line, **style)
        ax.set(title=title, xlabel="epoch", ylabel="training loss", yscale="log")
        ax.legend(fontsize="x-small")
    for ax in axes[len(found) :]:
        ax.remove()
