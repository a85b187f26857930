"""What a diagonal costs: chains of equal layers, deeper and deeper, one sample at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import hesscore as hc

from .report import Report
from .settings import Settings
from .timing import interleave

DEPTHS, QUICK_DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128), (2, 4, 8, 16)
PAPER = {  # time of a step over Adam's at depth 32, read from the plot's data
    "sgd": 0.42, "adahesscale_gn": 1.28, "bl89": 2.04, "adahesscale": 2.19, "adahessian": 3.51,
}  # fmt: skip
GRADIENT = "gradient"
WIDE = 8, 128  # layers and samples of a batch whose products outweigh memory


def measure(report: Report, settings: Settings) -> dict[str, Any]:
    """Time steps and evaluations at every depth; tables of ratios and straight lines.

    On a CPU it is the processor's time of one thread, which other work on the machine changes
    little; on a GPU it is the clock's.
    """
    depths = QUICK_DEPTHS if settings.quick else DEPTHS
    seconds: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    with _fair_clock(settings) as clock, settings.count(len(depths), "depth", "costs") as progress:
        for k, depth in enumerate(depths):
            calls = _calls(depth, 1, settings)
            repeats = max(1, 16 // depth)
            costs = interleave(calls, 5 if settings.quick else 9, repeats, settings.wait, clock)
            for name in calls:
                seconds.setdefault(name, []).append(float(costs.rounds[name].min()))
                ratios.setdefault(name, []).append(costs.ratio(name, _other(name)))
            progress.update(k + 1)
        wide = {k: v for k, v in _calls(*WIDE, settings).items() if k.startswith(GRADIENT)}
        batch = interleave(wide, 5 if settings.quick else 9, 1, settings.wait, clock)
    _tabulate(report, depths, ratios)
    table = report.table(f"the same, depth {WIDE[0]}, {WIDE[1]} samples")
    for name in list(wide)[1:]:
        table.add(name.split(", ")[1], batch.ratio(name, GRADIENT))
    _judge(report, depths, seconds, ratios, settings)
    return {"depths": list(depths), "seconds": seconds, "ratios": ratios}


def network(depth: int) -> hc.Objective:
    layers: list[Any] = [hc.Linear(64, 512, bias=False), hc.Tanh()]
    for _ in range(depth):
        layers += [hc.Linear(512, 512, bias=False), hc.Tanh()]
    net = hc.Sequential(*layers, hc.Linear(512, 100, bias=False))
    return hc.Objective(net, hc.MSELoss(), check_finite=False)


def _calls(depth: int, batch: int, settings: Settings) -> dict[str, Callable[[], object]]:
    f, rng = network(depth), np.random.default_rng(depth)
    x = settings.put(rng.standard_normal((batch, 64), dtype=np.float32))
    y = settings.put(rng.standard_normal((batch, 100), dtype=np.float32))
    w = f.init(0, xp=settings.xp)

    def evaluation(*names: str) -> Callable[[], object]:
        return lambda: f.evaluate(w, x, y, ("loss", "grad", *names))

    def stepper(method: str) -> Callable[[], object]:
        v, opt = w.copy(), hc.Optimizer(f, method, lr=1e-6)
        return lambda: opt.step(v, x, y)

    calls = {GRADIENT: evaluation()}
    calls |= {f"{GRADIENT}, {k}": evaluation(k) for k in ("hesscale", "hesscale_gn", "bl89")}
    return calls | {name: stepper(name) for name in ("adam", *PAPER)}


def _other(name: str) -> str:
    return GRADIENT if name.startswith(GRADIENT) else "adam"


@contextlib.contextmanager
def _fair_clock(settings: Settings) -> Iterator[Callable[[], float]]:
    if settings.device != "cpu":
        yield time.perf_counter
        return
    threads = hc.get_num_threads()
    hc.set_num_threads(1)
    try:
        yield time.process_time
    finally:
        hc.set_num_threads(threads)


def _tabulate(report: Report, depths: tuple[int, ...], ratios: dict[str, list[float]]) -> None:
    deep = min(32, depths[-1])
    at = depths.index(deep)
    table = report.table(f"time of a step over Adam's, depth {deep}, one sample")
    for name, paper in PAPER.items():
        table.add(name, ratios[name][at], None, paper)
    table = report.table(f"time with a diagonal over the gradient's, depth {deep}, one sample")
    for name in ratios:
        if name.startswith(f"{GRADIENT},"):
            table.add(name.split(", ")[1], ratios[name][at])


def _judge(
    report: Report, depths: tuple[int, ...], seconds: dict[str, list[float]],
    ratios: dict[str, list[float]], settings: Settings,
) -> None:  # fmt: skip
    table = report.table("R^2 of a straight line through the times by depth")
    for name, times in seconds.items():
        table.add(name, float(np.corrcoef(depths, times)[0, 1] ** 2))
    lines = min(table.ours(name) for name in ("adahesscale", "adahesscale_gn"))
    deep = min(32, depths[-1])
    at = depths.index(deep)
    report.claim(
        "HesScale's cost grows like backpropagation's, linearly with the layers",
        lines > 0.98 and ratios["adahesscale"][at] < 3,
        f"R^2 at least {lines:.3f}; a step takes {ratios['adahesscale'][at]:.2f} times as long as "
        f"Adam's (Gauss-Newton {ratios['adahesscale_gn'][at]:.2f}), depth {deep}, on "
        f"{settings.device}",
    )
    report.claim(
        "HesScale is cheaper than AdaHessian",
        ratios["adahesscale"][at] < ratios["adahessian"][at],
        f"{ratios['adahesscale'][at]:.2f} against {ratios['adahessian'][at]:.2f} of Adam's step",
    )


def draw(fig: Any, found: dict[str, Any]) -> None:
    fig.set_size_inches(7, 4.5)
    ax = fig.subplots()
    for name, times in found["seconds"].items():
        if not name.startswith(GRADIENT):
            ax.plot(found["depths"], 1e3 * np.array(times), marker="o", label=name)
    ax.set(xlabel="layers of 512", ylabel="milliseconds of a step", xscale="log", yscale="log")
    ax.legend()
    fig.suptitle("Cost against depth")
