"""Paper 003: Newton, damped Newton, Hessian-free and Gauss-Newton steps on MNIST."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import hesscore as hc

from .images import Images, mnist
from .report import Report
from .settings import Settings, to_host
from .timing import interleave
from .training import Run, curve, ticks, train

BATCH, LARGE, EPOCHS, QUICK_EPOCHS, RATE = 64, 6000, 7, 2, 0.5
NEWTON_STEPS, FULL_STEPS, DEVICE_STEPS = 60, 4, 938
FIXED: dict[str, Any] = {  # CG from zero to a residual of 1e-5, every step at the rate as it is
    "lr": RATE, "damping_rule": "constant", "cg_rtol": 1e-5, "cg_iterations": 1000,
    "martens_stop": False, "warm_start": 0.0, "line_search": False,
}  # fmt: skip
Three = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Method:
    """An optimizer; loss, accuracy and seconds of the independent reference and of the paper."""

    label: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    reference: Three = (None, None, None)
    paper: Three = (None, None, None)
    batch: int = BATCH
    quick: bool = True
    seeds: int = 1_000_000  # at most

    def make(self, f: hc.Objective) -> hc.Optimizer:
        return hc.Optimizer(f, self.method, **self.options)


SGD, HF, GN = "SGD, lr .1", "Hessian-free, lambda 32", "Gauss-Newton, lambda 4"
AS_HF, AS_GN, TUNED = "SGD, lr .5/32", "SGD, lr .5/4", "SGD, lr .06 (tuned)"
LM_SMALL, LM = "Gauss-Newton, lambda adapts", "Gauss-Newton, lambda adapts, batch 6000"
GLTR = "trust region (GLTR), batch 6000"
METHODS = [
    Method(SGD, "sgd", {"lr": 0.1}, (0.227, 0.926, 3.5), (0.2121, 0.9138, 222)),
    Method(HF, "hessian_free", {**FIXED, "damping": 32.0}, (0.253, 0.923, 11),
           (0.2614, 0.9099, 244)),
    Method(GN, "gauss_newton", {**FIXED, "damping": 4.0}, (0.216, 0.929, 15.5),
           (0.2049, 0.9239, 246)),
    Method(AS_HF, "sgd", {"lr": RATE / 32}, (0.2425, None, None)),
    Method(AS_GN, "sgd", {"lr": RATE / 4}, (0.221, None, None)),
    Method(TUNED, "sgd", {"lr": 0.06}),  # the best of .01, .03, .06, .1, .2
    Method(LM_SMALL, "gauss_newton", {"damping": 4.0}, quick=False),
    Method(LM, "gauss_newton", {"damping": 4.0}, batch=LARGE, quick=False, seeds=1),
    Method(GLTR, "trust_region", {"radius": 0.5, "max_radius": 0.5, "iterations": 20},
           batch=LARGE, quick=False, seeds=1),
]  # fmt: skip
Runs = dict[str, list[Run]]


def run(settings: Settings) -> Report:
    report = Report("Newton, Hessian-free and Gauss-Newton steps (MNIST, 7,960 parameters)")
    pooled = mnist(settings, "float64", pool=4)
    check_products(report, pooled, settings)
    newton = pooled_newton(report, pooled, settings)
    images = mnist(settings, "float64")
    runs = train_all(images, settings)
    tabulate(report, runs)
    judge(report, runs)
    if not settings.quick:
        newton |= full_newton(report, images, settings)
    measure_costs(report, images, settings)
    report.series = {"newton": newton, "runs": {k: _record(v) for k, v in runs.items()}}
    report.figures["training"] = lambda fig: draw(fig, runs)
    report.figures["newton"] = lambda fig: draw_newton(fig, newton)
    return report


def objective(pixels: int) -> hc.Objective:
    """Ten rectified units between the pixels and ten classes."""
    net = hc.models.mlp(pixels, 10, 10, activation=hc.ReLU)
    return hc.Objective(net, hc.CrossEntropyLoss(), precision="fp64")


def start(f: hc.Objective, seed: int, settings: Settings) -> Any:
    return f.init(seed, "lecun", "float64", settings.xp)


def check_products(report: Report, images: Images, settings: Settings) -> None:
    """G against J' Hz J from the Jacobian, and CG against a dense solution."""
    f, x, y = objective(images.x.shape[1]), images.x[:BATCH], images.y[:BATCH]
    w, n = start(f, 1, settings), f.num_params
    jacobian = np.moveaxis(to_host(f.jvp(w, x, settings.xp.eye(n))), 0, -1)
    z = to_host(f.predict(w, x))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    half = np.sqrt(p)[:, :, None] * (jacobian - np.einsum("nc,ncp->np", p, jacobian)[:, None])
    half = half.reshape(-1, n) / math.sqrt(BATCH)
    matrix, g = half.T @ half, to_host(f.value_and_grad(w, x, y)[1])
    ours = to_host(f.ggnvp(w, x, y, settings.xp.eye(n)))
    apart = float(np.abs(ours - matrix).max() / np.abs(matrix).max())
    report.check("Gauss-Newton products are those of J'HJ", apart < 1e-10, f"{apart:.1e} apart")
    least = float(np.linalg.eigvalsh((ours + ours.T) / 2)[0])
    report.check("the Gauss-Newton matrix is not indefinite", least > -1e-10,
                 f"least eigenvalue {least:.1e}")  # fmt: skip
    for name, damping in (("ggn", 4.0), ("hessian", 32.0)):
        dense = to_host(getattr(f, name)(w, x, y).dense()) + damping * np.eye(n)
        w_new = w.copy()
        options = {**FIXED, "lr": 1.0, "damping": damping, "product": name}
        hc.Optimizer(f, "hessian_free", **options).step(w_new, x, y)
        exact = np.linalg.solve(dense, g)
        apart = np.linalg.norm(to_host(w - w_new) - exact) / np.linalg.norm(exact)
        report.check(
            f"a step by CG on the damped {name} matrix is the dense solution",
            apart < 1e-4, f"{apart:.1e} apart, lambda {damping:g}",
        )  # fmt: skip


def steps(
    f: hc.Objective, opt: hc.Optimizer, images: Images, count: int, settings: Settings, seed: int
) -> tuple[list[float], float]:
    """Take some steps; return the loss before each, NaN where they ended, and seconds a step."""
    losses: list[float] = []
    w = start(f, seed, settings)

    def note(info: hc.optim.StepInfo) -> bool:
        losses.append(info.loss)
        return len(losses) == count

    with settings.clock() as clock:
        try:
            while len(losses) < count:
                opt.run(w, images.x, images.y, BATCH, 1, seed, note, False)
        except hc.NonFiniteError:
            losses.append(math.nan)
    return losses, clock.seconds / len(losses)


def pooled_newton(report: Report, images: Images, settings: Settings) -> dict[str, list[float]]:
    """Newton with the dense Hessian of 610 parameters: pixels averaged over 4 x 4."""
    f, found = objective(images.x.shape[1]), {}
    for damping in (0.0, 1.0, 32.0):
        options = {"lr": RATE, "damping": damping, "indefinite": "plain"}
        opt = hc.Optimizer(f, "newton", **options)
        found[f"lambda {damping:g}"], _ = steps(f, opt, images, NEWTON_STEPS, settings, 0)
    opt = hc.Optimizer(f, "hessian_free", **{**FIXED, "damping": 32.0, "cg_rtol": 1e-10})
    free, _ = steps(f, opt, images, NEWTON_STEPS, settings, 0)
    references: dict[float, float | None] = {0.0: 1e4, 1.0: 0.62, 32.0: None}
    table = report.table(
        f"Newton, 610 parameters: mean loss of the last 10 of {NEWTON_STEPS} steps"
    )
    for (label, losses), reference in zip(found.items(), references.values(), strict=True):
        table.add(label, float(np.mean(losses[-10:])), reference,
                  {"lambda 0": 2.305}.get(label))  # fmt: skip
    plain, damped = found["lambda 0"], found["lambda 32"]
    report.claim(
        "Newton's method without damping does not converge",
        not np.mean(plain[-10:]) < 2.25,
        f"loss {plain[0]:.3g} at the start, {np.mean(plain[-10:]):.3g} at the end",
    )
    apart = float(np.max(np.abs(np.subtract(damped, free))))
    report.check("Hessian-free steps are damped Newton's", apart < 1e-6,
                 f"losses of {NEWTON_STEPS} steps at most {apart:.1e} apart")  # fmt: skip
    return {f"Newton, {k}": v for k, v in found.items()}


def full_newton(report: Report, images: Images, settings: Settings) -> dict[str, list[float]]:
    """Damped Newton with the dense Hessian of all 7,960 parameters, beside Hessian-free."""
    count = FULL_STEPS if settings.device == "cpu" else DEVICE_STEPS
    f = objective(images.x.shape[1])
    newton = hc.Optimizer(f, "newton", lr=RATE, damping=32.0)
    free = hc.Optimizer(f, "hessian_free", **{**FIXED, "damping": 32.0})
    dense, slow = steps(f, newton, images, count, settings, 0)
    by_products, fast = steps(f, free, images, count, settings, 0)
    apart = float(np.max(np.abs(np.subtract(dense, by_products))))
    report.check("Hessian-free steps are damped Newton's, 7960 parameters", apart < 1e-3,
                 f"losses of {count} steps at most {apart:.1e} apart")  # fmt: skip
    table = report.table("damped Newton, 7960 parameters")
    table.add("seconds of a step over Hessian-free's", slow / fast, None, 34933 / 244)
    report.claim(
        "with the dense Hessian a step takes a hundred times as long",
        slow > 100 * fast,
        f"{slow:.2f} s against {1e3 * fast:.1f} ms",
    )
    return {"Newton, lambda 32, 7960 parameters": dense}


def train_all(images: Images, settings: Settings) -> Runs:
    """Train with every method from every seed, all on the same batches."""
    methods = [m for m in METHODS if m.quick or not settings.quick]
    epochs = QUICK_EPOCHS if settings.quick else EPOCHS
    seeds, f = settings.seeds_or(full=5, quick=1), objective(images.x.shape[1])
    runs: Runs = {m.label: [] for m in methods}
    tasks = [(seed, m) for seed in seeds for m in methods if seed < m.seeds]
    with ticks(settings, len(tasks) * epochs, "epoch", "MNIST") as tick:
        for seed, m in tasks:
            w, opt = start(f, seed, settings), m.make(f)
            solver = m.method != "sgd"
            runs[m.label].append(
                train(f, w, opt, images, m.batch, epochs, seed, settings, tick, solver)
            )
    return runs


def tabulate(report: Report, runs: Runs) -> None:
    full = len(next(iter(runs.values()))[0].losses) == EPOCHS
    known = {m.label: m for m in METHODS}
    titles = "mean loss of the last epoch", "test accuracy", "seconds of all steps"
    for k, title in enumerate(titles):
        table = report.table(title)
        for label, rs in runs.items():
            ours = [(r.loss, r.accuracy, sum(r.seconds))[k] for r in rs]
            m = known[label]
            table.add(label, ours, m.reference[k] if full else None, m.paper[k] if full else None)
    table = report.table("iterations of CG or Lanczos in a step, mean")
    expected = {HF: 7.0, GN: 11.0}
    for label, rs in runs.items():
        if rs[0].iterations:
            table.add(label, [float(np.mean(r.iterations)) for r in rs], expected.get(label))
    most = max(max(r.iterations) for label in (HF, GN) for r in runs[label])
    report.check("CG takes at most 20 iterations", most <= 20, f"at most {most}")


def judge(report: Report, runs: Runs) -> None:
    """Say which of the paper's sentences hold."""
    loss = {label: round(float(np.mean([r.loss for r in rs])), 4) for label, rs in runs.items()}
    right = {
        label: round(float(np.mean([r.accuracy for r in rs])), 4) for label, rs in runs.items()
    }
    report.claim(
        "damping makes Newton's method converge",
        loss[HF] < 0.5,
        f"Hessian-free steps, which are those of Newton's method, reach {loss[HF]}",
    )
    report.claim(
        "Gauss-Newton has a lower loss than Hessian-free",
        loss[GN] < loss[HF], f"{loss[GN]} against {loss[HF]}",
    )  # fmt: skip
    report.claim(
        "Gauss-Newton has a lower loss than SGD",
        loss[GN] < loss[SGD], f"{loss[GN]} against {loss[SGD]}",
    )  # fmt: skip
    report.claim(
        "Gauss-Newton has the best test accuracy of the three",
        right[GN] > max(right[HF], right[SGD]),
        f"{right[GN]}, Hessian-free {right[HF]}, SGD {right[SGD]}",
    )
    report.claim(
        "Hessian-free stays behind SGD in loss and accuracy",
        loss[HF] > loss[SGD] and right[HF] < right[SGD],
        f"loss {loss[HF]} against {loss[SGD]}, accuracy {right[HF]} against {right[SGD]}",
    )
    report.notes.append(
        f"the controls, SGD at the rates .5/lambda that damped steps come to, reach "
        f"{loss[AS_HF]} (Hessian-free {loss[HF]}) and {loss[AS_GN]} (Gauss-Newton {loss[GN]}), "
        f"tuned SGD {loss[TUNED]}: the differences are mostly the size of steps"
    )
    if LM in runs:
        report.notes.append(
            f"what the paper leaves to the future: damping that adapts ends at {loss[LM_SMALL]} "
            f"on batches of 64, which it fits one by one, and at {loss[LM]} on batches of "
            f"{LARGE}; a trust region at {loss[GLTR]}, with a hundredth of the steps (one seed)"
        )


def measure_costs(report: Report, images: Images, settings: Settings) -> None:
    """Time one step of each, in turn."""
    f, x, y = objective(images.x.shape[1]), images.x[:BATCH], images.y[:BATCH]

    def stepper(m: Method) -> Callable[[], None]:
        w, opt = start(f, 0, settings), m.make(f)
        first = w.copy()

        def call() -> None:
            w[:] = first  # or the number of iterations would change
            opt.step(w, x, y)

        return call

    chosen = [m for m in METHODS if m.label in (SGD, HF, GN)]
    costs = interleave({m.label: stepper(m) for m in chosen}, wait=settings.wait)
    table = report.table("time of a step over that of SGD")
    for label, reference, paper in ((HF, 11 / 3.5, 244 / 222), (GN, 15.5 / 3.5, 246 / 222)):
        table.add(label, costs.ratio(label, SGD), reference, paper)
    ratio = table.ours(GN)
    report.claim(
        "the speed of Hessian-free steps is on par with SGD",
        ratio < 1.5,
        f"{ratio:.1f} times, {1e3 * costs.seconds(SGD):.2f} ms for SGD's, on {settings.device}; "
        "the paper's 34 ms a step are not those of computing",
    )


def draw(fig: Any, runs: Runs) -> None:
    fig.set_size_inches(12, 4.5)
    left, right = fig.subplots(1, 2)
    losses, accuracies = {}, {}
    for label, rs in runs.items():
        if label == LM_SMALL:  # it diverges
            continue
        pieces, accuracy = curve(rs, "pieces"), curve(rs, "accuracies")
        epochs = len(accuracy)
        losses[label] = {"epoch": epochs * np.arange(1, len(pieces) + 1) / len(pieces),
                         "loss": pieces}  # fmt: skip
        accuracies[label] = {"epoch": np.arange(1, epochs + 1), "accuracy": accuracy}
    hc.plot.history(losses, "epoch", left).set(ylabel="training loss", ylim=(0.15, 2.5))
    ax = hc.plot.history(accuracies, "epoch", right, "accuracy", log=False)
    ax.set(ylabel="test accuracy", ylim=(0.88, 0.95))
    ax.legend().remove()
    for line in (*left.get_lines(), *right.get_lines()):
        if "batch" in str(line.get_label()):
            line.set_linestyle("--")
    fig.suptitle("MNIST, 784-10-10: means over seeds")


def draw_newton(fig: Any, newton: dict[str, list[float]]) -> None:
    fig.set_size_inches(7, 4.5)
    ax = fig.subplots()
    for label, losses in newton.items():
        ax.plot(np.arange(len(losses)), losses, label=label)
    ax.set(xlabel="step", ylabel="loss of the batch", yscale="log")
    ax.legend()
    fig.suptitle("Newton's method with the dense Hessian")


def _record(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [{k: v for k, v in vars(run).items() if k != "iterations"} for run in runs]
