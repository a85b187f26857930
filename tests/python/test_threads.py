"""Python threads that share an operator or an optimizer: the engine works without the GIL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hesscore as hc
import problems


@pytest.fixture(scope="module")
def shared():
    f = problems.mlp(40, 60, 10)
    w, x, y = problems.batch(f, 64, 40, classes=10)
    return f.ggn(w, x, y), np.random.default_rng(1).normal(size=(4, f.num_params))


def test_products_of_one_operator(shared):
    A, vs = shared
    jobs = [v for v in vs for _ in range(50)]
    expected = [A @ v for v in jobs]
    with ThreadPoolExecutor(4) as pool:
        for got, product in zip(pool.map(lambda v: A @ v, jobs), expected, strict=True):
            np.testing.assert_array_equal(got, product)


def test_solves_with_one_operator(shared):
    A, vs = shared
    B = A + 0.1 * hc.identity(A.shape[0])
    M = np.full(A.shape[0], 2.0)

    def solve(v):
        return hc.cg(B, v, M=M, maxiter=15)[0]

    expected = [solve(v) for v in vs]
    with ThreadPoolExecutor(4) as pool:
        for got, x in zip(pool.map(solve, vs), expected, strict=True):
            np.testing.assert_array_equal(got, x)


def test_runs_of_one_optimizer_exclude_each_other():
    f = problems.mlp(40, 60, 10)
    opt, refusals = hc.Optimizer(f, "adam"), []

    def run(rows):
        w, x, y = problems.batch(f, rows, 40, classes=10)
        steps = 0
        for _ in range(20):
            try:
                steps += len(opt.run(w, x, y, batch_size=16, epochs=2, progress=False))
            except hc.StateError as error:
                refusals.append(str(error))
        return steps

    with ThreadPoolExecutor(2) as pool:
        steps = sum(pool.map(run, (100, 1000)))
    assert opt.state_dict()["step"] == steps > 0
    assert all("in a run" in text for text in refusals)


def test_looks_at_the_state_come_between_steps():
    """Every state that another thread sees is whole: that of one of the steps, or none."""
    f = problems.mlp(40, 60, 10)
    w, x, y = problems.batch(f, 64, 40, classes=10)
    opt = hc.Optimizer(f, "adam", ema=0.5)
    v, twin = w.copy(), hc.Optimizer(f, "adam", ema=0.5)
    states = [twin.step(v, x, y) and twin.state_dict() for _ in range(200)]
    states = {int(state["step"]): state for state in states}
    seen, refusals, done = [], [], threading.Event()

    def look():
        while not done.is_set():
            try:
                seen.append(opt.state_dict())
                assert opt.ema.shape == w.shape
            except hc.StateError as error:
                refusals.append(str(error))

    opt.step(w, x, y)
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for _ in range(199):
            opt.step(w, x, y)  # never refused for a look
        done.set()
        looking.result()
    assert w.tobytes() == v.tobytes()
    for state in seen[:: 1 + len(seen) // 50]:
        np.testing.assert_equal(state, states[int(state["step"])])
    assert all("in a run" in text for text in refusals)


def test_a_look_from_another_thread_within_a_step_is_refused():
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 20, 4, classes=3)
    refusals = []

    def rate(step):
        opt.state_dict()  # from the step's own thread
        with ThreadPoolExecutor(1) as pool:
            refusals.append(pool.submit(opt.state_dict).exception())
        return 0.1

    opt = hc.Optimizer(f, "sgd", lr=rate)
    assert opt.step(w, x, y).step == 1
    assert all(isinstance(e, hc.StateError) and "in a run" in str(e) for e in refusals)
    assert refusals and opt.state_dict()["step"] == 1


@pytest.mark.parametrize("call", ["run", "step", "load_state_dict"])
def test_a_call_inside_a_run_is_refused(call):
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 20, 4, classes=3)
    opt = hc.Optimizer(f, "adam")
    state = opt.state_dict()
    calls = {
        "run": lambda: opt.run(w, x, y, progress=False),
        "step": lambda: opt.step(w, x, y),
        "load_state_dict": lambda: opt.load_state_dict(state),
    }

    def on_step(info):
        with pytest.raises(hc.StateError, match="in a run"):
            calls[call]()
        assert opt.state_dict()["step"] == info.step

    assert len(opt.run(w, x, y, batch_size=5, epochs=2, on_step=on_step, progress=False)) == 8
    calls[call]()
