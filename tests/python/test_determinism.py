"""The same bits whatever the number of threads, run after run, and after a fork."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import entries
import hesscore as hc
import problems

QUANTITIES = ("loss", "grad", "hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc", "hutchinson",
              "empirical_fisher", "hessian", "per_sample_grads", "grad_moments")  # fmt: skip
NETWORKS = {
    "wide": (hc.Tanh, (64, 160, 96, 10), 300),
    "narrow": (hc.GELU, (5, 7, 3), 2_000),
    "one_sample": (hc.SiLU, (200, 300, 10), 1),
    "odd": (hc.ReLU, (37, 53, 41, 9), 97),
}
METHODS = {
    "sgd": {"lr": 0.1, "momentum": 0.9},
    "adam": {},
    "adamw": {},
    "adahessian": {"lr": 0.05},
    "adahesscale": {},
    "adahesscale_gn": {},
    "gauss_newton": {"cg_iterations": 6},
}


@pytest.fixture(autouse=True)
def restore_threads():
    yield
    hc.set_num_threads(2)


def on_threads(compute, *counts):
    """The bits of ``compute()`` with each number of threads, and twice with the last."""
    results = []
    for n in (*counts, counts[-1]):
        hc.set_num_threads(n)
        results.append(compute())
    return results


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_quantities(name, dtype):
    activation, widths, n = NETWORKS[name]
    f = problems.mlp(*widths, activation=activation)
    w, x, y = problems.batch(f, n, widths[0], classes=widths[-1], dtype=dtype)
    v = np.random.default_rng(0).normal(size=(2, w.size)).astype(dtype)

    def compute():
        parts = [f.evaluate(w, x, y, QUANTITIES), f.predict(w, x)]
        parts += [call(w, x, y, v) for call in (f.hvp, f.ggnvp, f.fishervp)]
        return b"".join(entries.flat(p) for p in parts)

    first, *rest = on_threads(compute, 1, 2, 3)
    assert all(r == first for r in rest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_optimizers(method, dtype):
    f = problems.mlp(40, 90, 70, 10, dropout=0.2)
    start, x, y = problems.batch(f, 150, 40, classes=10, dtype=dtype)

    def compute():
        w = start.copy()
        opt = hc.Optimizer(f, method, **METHODS[method])
        for i in range(6):
            part = slice(25 * i, 25 * i + 25)
            opt.step(w, x[part], y[part])
        assert (w != start).any()
        return w.tobytes()

    first, *rest = on_threads(compute, 1, 2, 3)
    assert all(r == first for r in rest)


def test_solver():
    f = problems.mlp(40, 90, 10)
    w, x, y = problems.batch(f, 120, 40, classes=10)
    a = f.ggn(w, x, y) + 0.1 * hc.identity(w.size)
    b = f.value_and_grad(w, x, y)[1]
    first, *rest = on_threads(lambda: hc.cg(a, b, maxiter=15)[0].tobytes(), 1, 2, 3)
    assert all(r == first for r in rest)


def test_two_objectives_of_one_network_agree():
    make = lambda: problems.mlp(6, 9, 3)  # noqa: E731
    w, x, y = problems.batch(make(), 12, 6, classes=3)
    a, b = (f.evaluate(w, x, y, QUANTITIES) for f in (make(), make()))
    assert entries.flat(a) == entries.flat(b)


def test_batches_of_changing_size_do_not_disturb_each_other():
    f = problems.mlp(6, 9, 3)
    w, x, y = problems.batch(f, 40, 6, classes=3)
    first = {n: entries.flat(f.evaluate(w, x[:n], y[:n], QUANTITIES)) for n in (1, 7, 40, 3)}
    for n in (40, 3, 7, 1, 40):
        assert entries.flat(f.evaluate(w, x[:n], y[:n], QUANTITIES)) == first[n]


def test_threads_use_different_objectives_at_once():
    from concurrent.futures import ThreadPoolExecutor

    def work(seed):
        f = problems.mlp(20, 30, 5)
        w, x, y = problems.batch(f, 60, 20, classes=5, seed=seed)
        return b"".join(entries.flat(f.evaluate(w, x, y, QUANTITIES)) for _ in range(5))

    serial = [work(s) for s in range(6)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(6))) == serial


def test_threads_share_one_objective():
    from concurrent.futures import ThreadPoolExecutor

    f = problems.mlp(20, 30, 5)

    def work(n):
        w, x, y = problems.batch(f, n, 20, classes=5, seed=n)
        return b"".join(entries.flat(f.evaluate(w, x, y, QUANTITIES)) for _ in range(5))

    sizes = [3, 50, 7, 120, 50, 3]
    serial = [work(n) for n in sizes]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, sizes)) == serial


FORK = """
import os, sys, time, multiprocessing
import numpy as np, hesscore as hc
hc.set_num_threads(2)
f = hc.Objective(hc.Sequential(hc.Linear(64, 256), hc.Tanh(), hc.Linear(256, 10)),
                 hc.CrossEntropyLoss())
rng = np.random.default_rng(0)
w = rng.normal(size=f.num_params) * 0.1
x, y = rng.normal(size=(400, 64)), rng.integers(0, 10, size=400)
def bits(_=None):
    return f.evaluate(w, x, y, ("loss", "grad", "hesscale"))["hesscale"].tobytes()
expected = bits()
for _ in range({forks}):
    child = os.fork()
    if child == 0:
        os._exit(0 if bits() == expected and bits() == expected else 7)
    end = time.monotonic() + 30
    while (status := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            sys.exit("the child hangs")
        time.sleep(0.002)
    if status[1]:
        sys.exit(f"the child ended with {{status[1]}}")
    assert bits() == expected
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(b == expected for b in pool.map_async(bits, range(4)).get(60))
print("well")
"""


def test_children_of_a_fork_work():
    code = FORK.format(forks=20)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "well", done.stdout + done.stderr
