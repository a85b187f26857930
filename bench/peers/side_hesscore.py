"""hesscore as its user calls it: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import hesscore as hc

from . import nets
from .cases import AnyCase
from .peaks import measure as peaks
from .problem import ADAM, CG_ITERATIONS, DAMPING, LANCZOS_STEPS, PROBES, Problem, join_scaled
from .rows import Row

__all__ = ["objective", "peaks", "rows", "set_threads", "versions"]

DIAGONALS = ("hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc", "hessian", "hutchinson")
BY_CHANCE = ("ggn_mc", "hutchinson")
STEPS = ("adam", "adahesscale", "adahessian")


def set_threads(count: int) -> None:
    hc.set_num_threads(count)


def versions() -> dict[str, str]:
    return {"hesscore": hc.__version__}


def layer(kind: str, *numbers) -> hc.Layer:
    if kind == "conv":
        *sizes, bias = numbers
        return hc.Conv2d(*sizes, bias=bias)
    if kind == "residual":
        branch, shortcut = ([layer(*inner) for inner in part] for part in numbers)
        return hc.Residual(*branch, shortcut=hc.Sequential(*shortcut) if shortcut else None)
    makers = {
        "linear": hc.Linear,
        "tanh": hc.Tanh,
        "relu": hc.ReLU,
        "flatten": hc.Flatten,
        "batch_norm": hc.BatchNorm2d,
        "mean_pool": hc.AvgPool2d,
        "max_pool": functools.partial(hc.MaxPool2d, ceil_mode=True),
        "mean": hc.GlobalAvgPool2d,
    }
    return makers[kind](*numbers)


def objective(case: AnyCase) -> hc.Objective:
    net = hc.Sequential(*(layer(*numbers) for numbers in case.layers))
    return hc.Objective(net, hc.CrossEntropyLoss(), input_shape=case.input_shape)


def rows(problem: Problem) -> dict[str, Row]:
    """All of them: what is unsupported says so when it is prepared or called."""
    w, x, y = problem.w, problem.x, problem.y
    on = functools.partial(_row, problem.case)
    found = {
        "gradient": on(lambda f: lambda: f.value_and_grad(w, x, y, train=True), lambda r: r[1])
    }
    found |= {f"{name}_step": on(*optimizer(problem, name)) for name in STEPS}
    found |= {kind: on(*diagonal(problem, kind)) for kind in DIAGONALS}
    found["per_sample_grads"] = on(
        lambda f: lambda: f.per_sample_grads(w, x, y, train=True), lambda r: r.reshape(-1)
    )
    found["grad_moments"] = on(
        lambda f: lambda: f.grad_moments(w, x, y, train=True), lambda r: r["second_moment"]
    )
    found["kfac"] = on(*kronecker_factors(problem))
    return found | {name: on(*pair) for name, pair in products(problem).items()}


def _row(case: AnyCase, prepare: Callable, answer: Callable | None) -> Row:
    """On an objective of its own: plans that it makes are the row's."""
    return Row(lambda: prepare(objective(case)), answer)


def optimizer(problem: Problem, method: str):
    """Steps from w on; the answer is how far the first one goes."""

    def prepare(f: hc.Objective):
        w, opt = problem.w.copy(), hc.Optimizer(f, method, **ADAM)

        def step():
            opt.step(w, problem.x, problem.y)
            return w

        return step

    return prepare, None if method == "adahessian" else lambda w: w - problem.w


def diagonal(problem: Problem, kind: str):
    """Loss, gradient and one diagonal from one call."""
    arrays, what = (problem.w, problem.x, problem.y), ("loss", "grad", kind)
    answer = None if kind in BY_CHANCE else lambda r: r[kind]
    return lambda f: lambda: f.evaluate(*arrays, what, train=True), answer


def kronecker_factors(problem: Problem):
    """Loss, gradient and factors from one drawn label a sample; the answer is the inputs'."""
    arrays, names = (problem.w, problem.x, problem.y), ("loss", "grad", "kron")

    def inputs(found):
        shapes = [s for kind, s in nets.parameters(problem.case.layers) if kind == "weight"]
        sizes = [math.prod(shape[1:]) for shape in shapes]
        factors = found["kron"].factors.values()
        return join_scaled([A[:n, :n] for (A, _), n in zip(factors, sizes, strict=True)])

    return lambda f: lambda: f.evaluate(*arrays, names, train=True), inputs


def products(problem: Problem) -> dict:
    """Products, and what is made of them: (prepare, answer)."""
    w, x, y, v = problem.w, problem.x, problem.y, problem.v

    def hessian(f):
        return f.hessian(w, x, y, train=True)

    def ggn(f):
        return f.ggn(w, x, y, train=True)

    def many(f):
        H = hessian(f)
        return lambda: [H @ v for _ in range(PROBES)]

    def estimate(f):
        H = hessian(f)
        return lambda: hc.trace(H, samples=PROBES)

    def solver(f):
        b = f.value_and_grad(w, x, y, train=True)[1]
        damping = DAMPING * hc.identity(f.num_params, dtype=w.dtype)
        return lambda: hc.cg(ggn(f) + damping, b, rtol=0.0, maxiter=CG_ITERATIONS)[0]

    def lanczos(f):
        return lambda: hc.lanczos(hessian(f), LANCZOS_STEPS, return_basis=False)

    return {
        "hvp": (lambda f: lambda: f.hvp(w, x, y, v, train=True), same),
        "hvp, linearised once": (lambda f: functools.partial(hessian(f).__matmul__, v), same),
        "ggnvp": (lambda f: functools.partial(ggn(f).__matmul__, v), same),
        "ggnvp, linearised anew": (lambda f: lambda: f.ggnvp(w, x, y, v, train=True), same),
        "cg50": (solver, same),
        "lanczos": (lanczos, lambda r: r.ritz()[0][-1:]),
        "probes": (estimate, None),
        "products": (many, None),
    }


def same(found):
    return found
