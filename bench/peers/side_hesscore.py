"""hesscore as its user calls it: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import itertools

from problem import CG_ITERATIONS, DAMPING, Problem

import hesscore as hc

DIAGONALS = ("hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc")


def set_threads(count: int) -> None:
    hc.set_num_threads(count)


def versions() -> dict[str, str]:
    return {"hesscore": hc.__version__}


def rows(problem: Problem) -> dict:
    sizes = problem.case.sizes
    activation = {"tanh": hc.Tanh, "relu": hc.ReLU}[problem.case.activation]
    layers: list = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [hc.Linear(n_in, n_out), activation()]
    f = hc.Objective(hc.Sequential(*layers[:-1]), hc.CrossEntropyLoss(), input_shape=(sizes[0],))
    w, x, y, v = problem.w, problem.x, problem.y, problem.v
    b = f.value_and_grad(w, x, y)[1]
    operator = f.ggn(w, x, y)

    def solve():
        damped = f.ggn(w, x, y) + DAMPING * hc.identity(f.num_params)
        return hc.cg(damped, b, rtol=0.0, maxiter=CG_ITERATIONS)[0]

    rows = {
        "gradient": (lambda: f.value_and_grad(w, x, y), lambda r: r[1]),
        "hvp": (lambda: f.hvp(w, x, y, v), lambda r: r),
        "ggnvp": (lambda: operator @ v, lambda r: r),
        "cg50": (solve, lambda r: r),
    }
    for kind in DIAGONALS:
        rows[kind] = diagonal(f, problem, kind)
    return rows


def diagonal(f: hc.Objective, problem: Problem, kind: str):
    """Loss, gradient and one diagonal from one call."""
    what = ("loss", "grad", kind)
    return (lambda: f.evaluate(problem.w, problem.x, problem.y, what), lambda r: r[kind])
