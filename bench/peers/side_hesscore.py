"""hesscore as its user calls it: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import contextlib
import functools
import math

import nets
from problem import (
    CG_ITERATIONS,
    DAMPING,
    LANCZOS_STEPS,
    MOST_COLUMNS,
    PROBES,
    Case,
    Problem,
    join_scaled,
)

import hesscore as hc

DIAGONALS = ("hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc")


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


def rows(problem: Problem) -> dict:
    case = problem.case
    net = hc.Sequential(*(layer(*numbers) for numbers in case.layers))
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=case.input_shape)
    w, x, y = problem.w, problem.x, problem.y
    rows = {"gradient": (lambda: f.value_and_grad(w, x, y, train=True), lambda r: r[1])}
    if isinstance(case, Case):
        rows["cg50"] = (conjugate_gradients(f, problem), lambda r: r)
        rows["lanczos"] = lanczos(f, problem)
        if case.has_hessian_diagonal:
            rows["hessian"] = diagonal(f, problem, "hessian")
    if case.has_products:
        rows |= product_rows(f, problem)
    for kind in DIAGONALS:
        if kind == "ggn" and case.classes > MOST_COLUMNS:
            continue
        with contextlib.suppress(hc.UnsupportedError):
            f.memory(case.batch, ("loss", "grad", kind), train=True)
            rows[kind] = diagonal(f, problem, kind)
    with contextlib.suppress(hc.UnsupportedError):
        f.memory(case.batch, ("grad_moments",), train=True)
        rows |= sample_rows(f, problem)
        rows["kfac"] = kronecker_factors(f, problem)
    return rows


def sample_rows(f: hc.Objective, problem: Problem) -> dict:
    """Gradients of single samples, and their moments and norms."""
    w, x, y = problem.w, problem.x, problem.y
    return {
        "per_sample_grads": (
            lambda: f.per_sample_grads(w, x, y, train=True),
            lambda r: r.reshape(-1),
        ),
        "grad_moments": (
            lambda: f.grad_moments(w, x, y, train=True),
            lambda r: r["second_moment"],
        ),
    }


def kronecker_factors(f: hc.Objective, problem: Problem):
    """Loss, gradient and factors from one drawn label a sample."""
    w, x, y = problem.w, problem.x, problem.y
    names = ("loss", "grad", "kron")

    def inputs(found):
        shapes = [s for kind, s in nets.parameters(problem.case.layers) if kind == "weight"]
        sizes = [math.prod(shape[1:]) for shape in shapes]
        factors = found["kron"].factors.values()
        return join_scaled([A[:n, :n] for (A, _), n in zip(factors, sizes, strict=True)])

    return lambda: f.evaluate(w, x, y, names, train=True), inputs


def product_rows(f: hc.Objective, problem: Problem) -> dict:
    w, x, y, v = problem.w, problem.x, problem.y, problem.v
    hessian, ggn = f.hessian(w, x, y), f.ggn(w, x, y)
    return {
        "hvp": (lambda: f.hvp(w, x, y, v), lambda r: r),
        "hvp, linearised once": (lambda: hessian @ v, lambda r: r),
        "ggnvp": (lambda: ggn @ v, lambda r: r),
        "probes": (lambda: hc.trace(hessian, samples=PROBES), lambda r: r),
        "products": (lambda: [hessian @ v for _ in range(PROBES)], lambda r: r),
    }


def lanczos(f: hc.Objective, problem: Problem):
    w, x, y = problem.w, problem.x, problem.y

    def run():
        hessian = f.hessian(w, x, y)
        return hc.lanczos(hessian, LANCZOS_STEPS, return_basis=False)

    return run, lambda r: r.ritz()[0][-1:]


def conjugate_gradients(f: hc.Objective, problem: Problem):
    w, x, y = problem.w, problem.x, problem.y
    b = f.value_and_grad(w, x, y)[1]

    def solve():
        damped = f.ggn(w, x, y) + DAMPING * hc.identity(f.num_params)
        return hc.cg(damped, b, rtol=0.0, maxiter=CG_ITERATIONS)[0]

    return solve


def diagonal(f: hc.Objective, problem: Problem, kind: str):
    """Loss, gradient and one diagonal from one call."""
    w, x, y = problem.w, problem.x, problem.y
    what = ("loss", "grad", kind)
    return (lambda: f.evaluate(w, x, y, what, train=True), lambda r: r[kind])
