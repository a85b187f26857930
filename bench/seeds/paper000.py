"""Paper 000: Adam with squared curvature diagonals for squared gradients, on word2vec."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import hesscore as hc

from . import shakespeare
from .published_adam import PublishedAdam
from .report import Report, Table
from .settings import Settings, to_host
from .shakespeare import Pairs
from .timing import interleave

CANDIDATES = 1 + shakespeare.NEGATIVE  # the true context comes first
DIMENSION, BATCH, BOUND = 128, 512, 0.05
EPOCHS, QUICK_EPOCHS, SGD_EPOCHS = 12, 4, 333

Make = Callable[[hc.Objective, int], Any]


@dataclass(frozen=True)
class Method:
    """An optimizer and what the independent reference found with it: lowest, at 3, at 12."""

    label: str
    make: Make
    lowest: float
    third: float | None = None
    last: float | None = None
    quick: bool = True
    epochs: int | None = None


def engine(method: str, **options: Any) -> Make:
    return lambda f, seed: hc.Optimizer(f, method, **options)


ADAM, PRINTED, TUNED = "Adam, beta1 .9", "Adam, beta1 .99 as printed", "Adam, lr 3e-3 (tuned)"
CHAIN, CHAIN_TUNED = "A: chain rule", "A: chain rule, lr 3e-4, eps 3e-6"
PUBLISHED, SGD = "D: the published code", "SGD, lr .1"
METHODS = [
    Method(ADAM, engine("adam", lr=1e-3, eps=1e-7), 1.4632, 1.508, 1.599),
    Method(PRINTED, engine("adam", lr=1e-3, beta1=0.99, eps=1e-7), 1.4722, 1.549, 1.597, False),
    Method(TUNED, engine("adam", lr=3e-3, eps=1e-7), 1.4488, 1.476, 2.155, False),
    Method(CHAIN, engine("chainrule_adam", lr=1e-3, eps=1e-4), 1.5038, 1.569, 1.587),
    Method(CHAIN_TUNED, engine("chainrule_adam", lr=3e-4, eps=3e-6), 1.4535, 1.4535, 1.653, False),
    Method(PUBLISHED, lambda f, seed: PublishedAdam(f, seed=seed), 1.4661, 1.474, 1.490),
    Method(SGD, engine("sgd", lr=0.1), 1.5319, quick=False, epochs=SGD_EPOCHS),
]


@dataclass
class Curves:
    """Validation losses after each epoch, a list for each seed."""

    losses: list[list[float]] = field(default_factory=list)

    def lowest(self) -> list[float]:
        return [min(v) for v in self.losses]

    def at(self, epoch: int) -> list[float]:
        return [v[epoch - 1] for v in self.losses]

    def rise(self) -> list[float]:
        """How far the last loss lies above the lowest."""
        return [v[-1] - min(v) for v in self.losses]

    def where(self) -> list[int]:
        return [int(np.argmin(v)) + 1 for v in self.losses]


def run(settings: Settings) -> Report:
    report = Report("Hessian diagonal inside Adam (skip-gram, Tiny Shakespeare)")
    check_diagonal(report, settings)
    curves = train(settings)
    tabulate(report, curves, settings)
    judge(report, curves)
    measure_costs(report, settings)
    report.series = {label: c.losses for label, c in curves.items()}
    report.figures["validation"] = lambda fig: draw(fig, curves)
    return report


def objective(vocabulary: int, dimension: int) -> hc.Objective:
    """Skip-gram with a softmax over the candidates, of which the first is the true context."""
    net = hc.models.skipgram(vocabulary, dimension, contexts=CANDIDATES)
    return hc.Objective(net, hc.CrossEntropyLoss())


def check_diagonal(report: Report, settings: Settings) -> None:
    """The logits are linear in each table, so the chain rule's diagonal is the Hessian's."""
    f, rng = objective(23, 7), np.random.default_rng(0)
    w = settings.put(rng.normal(size=f.num_params))
    x = {
        "word": settings.put(rng.integers(0, 23, 40)),
        "context": settings.put(rng.integers(0, 23, (40, CANDIDATES))),
    }
    y = settings.put(np.zeros(40, np.int64))
    ggn = to_host(f.diag(w, x, y, kind="ggn"))
    exact = np.diag(to_host(f.hvp(w, x, y, settings.xp.eye(f.num_params))))
    apart = float(np.abs(ggn - exact).max() / np.abs(exact).max())
    report.check(
        "the chain rule's diagonal of skip-gram is the exact diagonal of the Hessian",
        apart < 1e-12,
        f"largest difference {apart:.1e} of the largest element, float64, repeated candidates",
    )


def train(settings: Settings) -> dict[str, Curves]:
    """Train with every method from every seed."""
    f = objective(shakespeare.VOCABULARY, DIMENSION)
    methods = [m for m in METHODS if m.quick or not settings.quick]
    epochs = {m.label: m.epochs or (QUICK_EPOCHS if settings.quick else EPOCHS) for m in methods}
    curves = {m.label: Curves() for m in methods}
    seeds = settings.seeds_or(full=3, quick=1)
    with settings.count(len(seeds) * sum(epochs.values()), "epoch", "word2vec") as progress:
        done = 0
        for seed in seeds:
            data = shakespeare.pairs(settings, seed)
            start = np.random.default_rng(seed).uniform(-BOUND, BOUND, f.num_params)
            for m in methods:
                curves[m.label].losses.append([])
                w = settings.put(start.astype(np.float32))
                for loss in validation_losses(f, w, m.make(f, seed), data, settings, seed):
                    curves[m.label].losses[-1].append(loss)
                    progress.update(done := done + 1)
                    if len(curves[m.label].losses[-1]) == epochs[m.label]:
                        break
    return curves


def validation_losses(
    f: hc.Objective, w: Any, opt: Any, data: tuple[Pairs, Pairs], settings: Settings, seed: int
):
    """Yield the validation loss after each epoch, for ever."""
    (train_x, train_y), (held_x, held_y) = (
        (part.x(settings.put), settings.put(np.zeros(len(part), np.int64))) for part in data
    )
    epoch = 0
    while True:
        opt.run(w, train_x, train_y, batch_size=BATCH, epochs=1, first_epoch=epoch,
                shuffle_seed=seed, progress=False)  # fmt: skip
        yield f.loss(w, held_x, held_y)
        epoch += 1


def tabulate(report: Report, curves: dict[str, Curves], settings: Settings) -> None:
    by_label = {m.label: m for m in METHODS}
    table = report.table("lowest validation loss")
    for label, c in curves.items():
        table.add(label, c.lowest(), None if settings.quick else by_label[label].lowest)
    _other(report.table("validation loss after 3 epochs"), curves, 3, by_label, "third")
    if not settings.quick:
        _other(report.table(f"validation loss after {EPOCHS} epochs"), curves, EPOCHS, by_label,
               "last")  # fmt: skip
    table = report.table("epoch of the lowest validation loss")
    printed = {SGD: SGD_EPOCHS, PRINTED: 3, PUBLISHED: 3}
    for label, c in curves.items():
        table.add(label, c.where(), None, printed.get(label))


def _other(
    table: Table, curves: dict[str, Curves], epoch: int, by_label: dict[str, Method], name: str
) -> None:
    for label, c in curves.items():
        if label != SGD:
            table.add(label, c.at(epoch), getattr(by_label[label], name))


def judge(report: Report, curves: dict[str, Curves]) -> None:
    """Say which of the paper's sentences hold; "ours" there is D, whose code was published."""
    ours, adam = curves[PUBLISHED], curves[ADAM]
    early = [a < b for a, b in zip(ours.at(3), adam.at(3), strict=True)]
    report.claim(
        "with the published code the validation loss is below Adam's in early epochs",
        sum(early) * 3 >= 2 * len(early),
        f"after 3 epochs {_mean(ours.at(3))} against {_mean(adam.at(3))}, "
        f"{sum(early)} of {len(early)} seeds",
    )
    if len(adam.losses[0]) >= EPOCHS:
        less = [a <= 0.5 * b for a, b in zip(ours.rise(), adam.rise(), strict=True)]
        report.claim(
            "it over-fits less than Adam",
            sum(less) * 3 >= 2 * len(less),
            f"from its lowest the loss rises by {_mean(ours.rise())} against {_mean(adam.rise())}",
        )
    judge_lowest(report, curves)
    if TUNED in curves:
        note_control(report, curves)


def judge_lowest(report: Report, curves: dict[str, Curves]) -> None:
    """Compare the lowest validation losses."""
    ours, adam = curves[PUBLISHED], curves[ADAM]
    if PRINTED in curves:
        printed = curves[PRINTED]
        report.claim(
            "its lowest validation loss is below that of Adam with beta1 .99, as printed",
            _mean(ours.lowest()) <= _mean(printed.lowest()),
            f"{_mean(ours.lowest())} against {_mean(printed.lowest())}",
        )
    report.claim(
        "its lowest validation loss is below that of Adam with beta1 .9, TensorFlow's default",
        _mean(ours.lowest()) < _mean(adam.lowest()),
        f"{_mean(ours.lowest())} against {_mean(adam.lowest())}",
    )
    chain = curves[CHAIN]
    report.claim(
        "the chain rule's diagonal at the paper's settings has a lower loss than Adam",
        _mean(chain.lowest()) < _mean(adam.lowest()),
        f"{_mean(chain.lowest())} against {_mean(adam.lowest())}",
    )
    if SGD in curves:
        worst = max(_mean(adam.lowest()), _mean(ours.lowest()))
        sgd = curves[SGD]
        report.claim(
            "SGD needs hundreds of epochs and ends above both",
            _mean(sgd.lowest()) > worst and min(sgd.where()) > 100,
            f"lowest {_mean(sgd.lowest())} at epoch {_mean(sgd.where()):.0f}",
        )


def note_control(report: Report, curves: dict[str, Curves]) -> None:
    """Say what Adam reaches with a rate that is tuned."""
    tuned = _mean(curves[TUNED].lowest())
    best = min(_mean(c.lowest()) for label, c in curves.items() if label != TUNED)
    words = "below" if tuned < best else "not below"
    report.notes.append(
        f"the control, Adam with a tuned rate, reaches {tuned}, {words} the best of all others, "
        f"{best}: much of the differences is the size of steps"
    )


def measure_costs(report: Report, settings: Settings) -> None:
    """Time one step of each, in turn."""
    f = objective(shakespeare.VOCABULARY, DIMENSION)
    rng = np.random.default_rng(0)
    data = Pairs(
        rng.integers(2, shakespeare.VOCABULARY, BATCH),
        shakespeare.negatives(BATCH, CANDIDATES, shakespeare.VOCABULARY, rng),
    )
    x, y = data.x(settings.put), settings.put(np.zeros(BATCH, np.int64))
    start = rng.uniform(-BOUND, BOUND, f.num_params).astype(np.float32)

    def stepper(make: Make) -> Callable[[], object]:
        w, opt = settings.put(start), make(f, 0)
        return lambda: opt.step(w, x, y)

    calls = {
        "adam": stepper(engine("adam")),
        "ggn": stepper(engine("chainrule_adam")),
        "hesscale": stepper(engine("chainrule_adam", diag="hesscale")),
        "hutchinson": stepper(engine("chainrule_adam", diag="hutchinson")),
    }
    costs = interleave(calls, rounds=5 if settings.quick else 21, wait=settings.wait)
    table = report.table("time of a step over that of Adam")
    table.add("chain rule's diagonal", costs.ratio("ggn", "adam"), None, 1.38)
    table.add("HesScale's diagonal", costs.ratio("hesscale", "adam"))
    table.add("Hutchinson's diagonal, one probe", costs.ratio("hutchinson", "adam"), None, 1.38)
    ratio = table.ours("chain rule's diagonal")
    report.claim(
        "a step with the chain rule's diagonal takes 1.38 times as long as Adam's",
        ratio <= 1.38,
        f"{ratio:.2f} times, {1e3 * costs.seconds('adam'):.2f} ms for Adam's, on {settings.device}",
    )


def draw(fig: Any, curves: dict[str, Curves]) -> None:
    fig.set_size_inches(7, 4.5)
    logs = {
        label: {"epoch": np.arange(1, len(c.losses[0]) + 1), "loss": np.mean(c.losses, axis=0)}
        for label, c in curves.items()
        if label != SGD
    }
    ax = hc.plot.history(logs, "epoch", fig.subplots(), log=False)
    ax.set_ylabel("validation loss")
    fig.suptitle("Skip-gram on Tiny Shakespeare")


def _mean(values: Sequence[float]) -> float:
    mean = float(np.mean(values))
    return round(mean, 4) if math.isfinite(mean) else mean
