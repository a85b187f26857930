"""Errors of the approximate chain rule in every layer: LeNet-5, ResNet-18, EfficientNet blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import hesscore as hc
from hesscore.plot import _style

from .components import Components, measure
from .report import Report
from .settings import Settings

Tick = Callable[[], object]
LAYERS = {"conv1": "0", "conv2": "3", "dense1": "7", "dense2": "9", "dense3": "11"}
REFERENCE = {"conv1": 0.091, "conv2": 0.047, "dense1": 0.0061, "dense2": 0.00064, "dense3": 1.7e-9}
LARGEST = {"conv1": 0.44, "conv2": 0.36, "dense1": 0.14, "dense2": 0.018, "dense3": 1.5e-8}
PAPER = {"conv1": 0.05, "conv2": 0.02, "dense1": 0.005, "dense2": 0.001, "dense3": 2e-9}
ROUNDING = 1e-12  # in float64
SHOWN = 1e-6  # the smallest error in a plot


def lenet(activation: Callable[[], Any]) -> hc.Objective:
    """Make the paper's variant of LeNet-5, on colour images of 32 x 32 pixels."""
    net = hc.Sequential(
        *(hc.Conv2d(3, 6, 3), activation(), hc.AvgPool2d(2)),
        *(hc.Conv2d(6, 16, 3), activation(), hc.AvgPool2d(2), hc.Flatten()),
        *(hc.Linear(576, 120), activation(), hc.Linear(120, 84), activation(), hc.Linear(84, 10)),
    )
    return hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(3, 32, 32))


def draws_of(
    f: hc.Objective, seeds: Sequence[int], settings: Settings, dtype: str = "float32"
) -> list[Callable[[], Any]]:
    """Return functions that draw parameters as Glorot does, uniformly, with zero biases."""
    return [lambda s=s: f.init(s, "xavier", dtype, settings.xp) for s in seeds]


def lenet_errors(
    report: Report, settings: Settings, images: tuple[Any, Any], draws: Sequence[int], tick: Tick
) -> dict[str, Components]:
    """Measure LeNet-5 with three activations; float64 shows what is exact."""
    x, y = images
    few = draws[: max(3, len(draws) // 10)]
    found = {}
    for name, activation, dtype, seeds in (
        ("tanh", hc.Tanh, "float32", draws),
        ("tanh, float64", hc.Tanh, "float64", few),
        ("ReLU, float64", hc.ReLU, "float64", few),
        ("sigmoid, float64", hc.Sigmoid, "float64", few),
    ):
        f = lenet(activation)
        points = draws_of(f, seeds, settings, dtype)
        found[name] = measure(f, points, x.astype(dtype), y, tick)
    _tabulate(report, found)
    _judge(report, found)
    return found


def _tabulate(report: Report, found: dict[str, Components]) -> None:
    tanh = found["tanh"]
    medians = report.table("LeNet-5, tanh: median of |a - h| / |g|^2")
    largest = report.table("LeNet-5, tanh: largest |a - h| / |g|^2")
    beside = report.table("LeNet-5, tanh: median of |a - h| / |h|")
    of_h = {"conv1": 0.8, "conv2": 0.27, "dense1": 0.03, "dense2": 0.01}
    to = {"conv1": 0.35, "conv2": 0.28, "dense1": 0.06, "dense2": 0.015, "dense3": 1.2e-8}
    for layer, number in LAYERS.items():
        name = f"{number}.weight"
        error = tanh.error(name)
        medians.add(layer, float(np.median(error)), REFERENCE[layer], PAPER[layer])
        largest.add(layer, float(error.max()), LARGEST[layer], to[layer])
        beside.add(layer, float(np.median(tanh.relative(name))), of_h.get(layer))
    others = report.table("LeNet-5, float64: largest |a - h| / |g|^2 of all layers")
    for name, reference in (("ReLU, float64", 5e-17), ("sigmoid, float64", 0.10)):
        worst = max(found[name].error(layer).max() for layer in found[name].names)
        others.add(name.split(",")[0], float(worst), reference, 0.0 if "ReLU" in name else None)


def _judge(report: Report, found: dict[str, Components]) -> None:
    tanh, relu = found["tanh"], found["ReLU, float64"]
    medians = [float(np.median(tanh.error(f"{n}.weight"))) for n in LAYERS.values()]
    shown = " > ".join(f"{m:.2g}" for m in medians)
    falling = all(a > b for a, b in itertools.pairwise(medians))
    report.claim("the error falls from the first layer of LeNet-5 to the last", falling, shown)
    errors = np.concatenate([tanh.error(name) for name in tanh.names])
    below = float(np.mean(errors < 0.1))
    report.claim(
        "the error over |g|^2 is small on LeNet-5",
        below > 0.8,
        f"{below:.0%} of all are below .1, the largest is {errors.max():.2f}",
    )
    beside = {k: float(np.median(tanh.relative(f"{n}.weight"))) for k, n in LAYERS.items()}
    report.claim(
        "the error is small beside the component h itself, in every layer",
        max(beside.values()) < 0.1,
        ", ".join(f"{k} {v:.1%}" for k, v in beside.items()),
    )
    worst = max(relu.error(name).max() for name in relu.names)
    report.check("there is no error with ReLU", worst < ROUNDING, f"largest {worst:.1e}, float64")
    last = f"{LAYERS['dense3']}.weight"
    worst = found["tanh, float64"].error(last).max()
    report.check("there is no error in the last layer", worst < ROUNDING, f"{worst:.1e}, float64")


@dataclass(frozen=True)
class Deep:
    """A deep network, how often and on how many images it is measured, and the paper's spikes."""

    label: str
    make: Callable[[], hc.Sequential]
    draws: int
    rows: int
    spike: float
    statistics: str = "batch"

    @property
    def title(self) -> str:
        return f"{self.label}, statistics of the {self.statistics}"


def deep_networks(quick: bool) -> list[Deep]:
    """List the networks; normalisations have the statistics of the batch, or their first ones."""
    blocks = "EfficientNet's blocks", hc.models.efficient_block_net
    draws, rows = (2, 8) if quick else (4, 16)
    found = [Deep(*blocks, draws, rows, 0.6), Deep(*blocks, draws, rows, 0.6, "start")]
    if quick:
        return found
    residual = "ResNet-18", hc.models.resnet18_cifar
    return [*found, Deep(*residual, 2, 8, 0.25), Deep(*residual, 1, 8, 0.25, "start")]


def deep_errors(
    report: Report, settings: Settings, images: tuple[Any, Any], tick: Tick
) -> dict[str, Components]:
    """Measure deep networks at the start."""
    table = report.table("deep networks: |a - h| / |g|^2 of all layers and draws")
    found = {}
    for net in deep_networks(settings.quick):
        f = hc.Objective(net.make(), hc.CrossEntropyLoss(), input_shape=(3, 32, 32))
        points = draws_of(f, range(net.draws), settings)
        x, y = (part[: net.rows] for part in images)
        train = (0, 0) if net.statistics == "batch" else False
        found[net.title] = c = measure(f, points, x, y, tick, train=train)
        errors = np.concatenate([c.error(layer) for layer in c.names])
        table.add(f"{net.title}: median", float(np.median(errors)))
        table.add(f"{net.title}: largest", float(errors.max()), None, net.spike)
        beside = np.concatenate([c.relative(layer) for layer in c.names])
        table.add(f"{net.title}: median over |h|", float(np.median(beside)))
        below = float(np.mean(errors < 0.1))
        report.claim(
            f"the error over |g|^2 is mostly below .1 on {net.title}",
            below > 0.5,
            f"{below:.0%} of {len(c.names)} layers, {net.draws} draws, {net.rows} images",
        )
    return found


def draw_errors(fig: Any, found: dict[str, Components]) -> None:
    """Draw histograms of the errors by layer, as in figure 3."""
    fig.set_size_inches(11, 2.8)
    tanh = found["tanh"]
    for ax, (layer, number) in zip(fig.subplots(1, len(LAYERS)), LAYERS.items(), strict=True):
        _style.styled(ax)
        ax.hist(tanh.error(f"{number}.weight"), bins=20, color=_style.COLOURS[0])
        ax.set(title=layer, xlabel="|a - h| / |g|²")
        ax.locator_params(axis="x", nbins=3)
    fig.suptitle("Error of the approximate chain rule at the start, LeNet-5 with tanh")


def draw_deep(fig: Any, found: dict[str, Components]) -> None:
    """Draw the errors of deep networks by layer, as in figures 5 and 6."""
    fig.set_size_inches(8, 2.4 * len(found))
    blue, red, *_ = _style.COLOURS
    axes = np.atleast_1d(fig.subplots(len(found), sharey=True))
    for ax, (title, c) in zip(axes, found.items(), strict=True):
        _style.styled(ax)
        errors = np.maximum([c.error(layer) for layer in c.names], SHOWN)
        at = np.arange(1, len(errors) + 1)
        ax.plot(at, errors, "o", color=blue, markersize=3, alpha=0.5)
        ax.plot(at, np.median(errors, axis=1), color=red, label="median of the draws")
        ax.axhline(0.1, color=_style.INK, linewidth=0.8, linestyle=":")
        ax.set(title=title, ylabel="|a - h| / |g|²", yscale="log")
        ax.legend(frameon=False, labelcolor="linecolor")
    axes[-1].set_xlabel(f"layer; errors below {SHOWN:g} are drawn there")
