"""Paper 001: the approximate chain rule for Hessians, and initialisation by it."""

from __future__ import annotations

from typing import Any

import hesscore as hc
from hesscore import datasets

from .chain_errors import deep_errors, deep_networks, draw_deep, draw_errors, lenet_errors
from .initialisation import SCAN, STARTS, Digits, initialisations
from .report import Report
from .settings import Settings
from .training import ticks

IMAGES = 64
SHOWN, POINTS = 256, 25  # samples and points on each axis of the landscape


def run(settings: Settings) -> Report:
    """Measure errors of the chain rule, train from several starts, draw a landscape."""
    report = Report("Approximate chain rule for Hessians, and initialisation by it")
    images, sets = load_images(settings), load_sets(report, settings)
    draws = list(settings.seeds_or(full=100, quick=20))
    parts = len(draws) + 3 * max(3, len(draws) // 10)
    parts += sum(net.draws for net in deep_networks(settings.quick))
    starts = sum(s.quick or not settings.quick for s in STARTS)
    parts += len(sets) * (starts + (0 if settings.quick else len(SCAN)))
    with ticks(settings, parts, "part", "chain rule") as tick:
        errors = lenet_errors(report, settings, images, draws, tick)
        deep = deep_errors(report, settings, images, tick)
        for data in sets:
            initialisations(report, settings, data, tick)
    report.series = {
        "lenet": {net: {n: c.error(n) for n in c.names} for net, c in errors.items()},
        "deep": {net: {n: c.error(n) for n in c.names} for net, c in deep.items()},
    }
    report.figures["errors"] = lambda fig: draw_errors(fig, errors)
    report.figures["deep"] = lambda fig: draw_deep(fig, deep)
    report.figures["landscape"] = lambda fig: draw_landscape(fig, sets[0], settings)
    return report


def load_images(settings: Settings) -> tuple[Any, Any]:
    """Return the first training images of CIFAR-10, less the mean of all."""
    data = datasets.cifar10(settings.data, settings.download)
    x = data.x_train[:IMAGES] - data.x_train.mean(axis=0)
    return settings.put(x), settings.put(data.y_train[:IMAGES])


def load_sets(report: Report, settings: Settings) -> list[Digits]:
    """Return MNIST, and where it is found Fashion-MNIST with the paper's network for it."""
    mnist = datasets.mnist(settings.data, settings.download)
    sets = [_less_mean(mnist, (784, 128, 128, 10), settings)]
    if not settings.quick:
        try:
            fashion = datasets.fashion_mnist(settings.data, settings.download)
            sets.append(_less_mean(fashion, (784, 128, 84, 10), settings))
        except hc.Error as error:
            report.notes.append(f"without Fashion-MNIST: {error}")
    return sets


def _less_mean(data: datasets.Dataset, widths: tuple[int, ...], settings: Settings) -> Digits:
    """Return the training images less their mean, flat."""
    x = (data.x_train - data.x_train.mean(axis=0)).reshape(len(data.x_train), -1)
    return Digits(data.name, settings.put(x), settings.put(data.y_train), widths)


def draw_landscape(fig: Any, digits: Digits, settings: Settings) -> None:
    """Draw the loss of a trained LeNet-5 on a plane of two random directions, as in figure 1."""
    net = hc.Sequential(
        *(hc.Conv2d(1, 6, 5), hc.Tanh(), hc.AvgPool2d(2)),
        *(hc.Conv2d(6, 16, 5), hc.Tanh(), hc.AvgPool2d(2), hc.Flatten()),
        *(hc.Linear(256, 120), hc.Tanh(), hc.Linear(120, 84), hc.Tanh(), hc.Linear(84, 10)),
    )
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(1, 28, 28))
    w = f.init(0, "xavier", xp=settings.xp)
    rows = 2048 if settings.quick else 12800
    x, y = digits.x[:rows].reshape(-1, 1, 28, 28), digits.y[:rows]
    hc.Optimizer(f, "adam", lr=3e-3).run(w, x, y, batch_size=64, epochs=1, progress=False)
    fig.set_size_inches(6.5, 5)
    hc.plot.landscape(
        f, w, x[:SHOWN], y[:SHOWN], directions="orthogonal", style="surface",
        points=15 if settings.quick else POINTS, ax=fig.add_subplot(projection="3d"),
    )  # fmt: skip
    fig.suptitle(f"Loss of LeNet-5 on MNIST in two of {f.num_params} directions")
