"""What optimizers promise about reports, state, runs, interruption and failure."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import hesscore as hc
import problems
from optimizers import METHODS, parts


@pytest.fixture
def problem():
    f = problems.mlp(5, 8, 4)
    return f, *problems.batch(f, 20, 5, classes=4)


# ---- reports ----


@pytest.mark.parametrize("method", METHODS)
def test_reports(problem, method):
    f, w, x, y = problem
    opt = hc.Optimizer(f, method, **METHODS[method])
    for k in range(1, 4):
        before = f.loss(w, x, y)
        info = opt.step(w, x, y)
        assert info.loss == pytest.approx(before, rel=1e-12)
        assert info.step == k and info.accepted


@pytest.mark.parametrize("method", METHODS)
def test_loss_falls(problem, method):
    f, w, x, y = problem
    opt = hc.Optimizer(f, method, **METHODS[method])
    before = f.loss(w, x, y)
    for _ in range(40):
        opt.step(w, x, y)
    assert f.loss(w, x, y) < before


# Sophia-G draws a label for each sample, of copies another one; replicas get other shards.
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"sophia_g", "replica_newton"}))
def test_sample_weights(problem, method):
    f, w, x, y = problem
    copies = np.random.default_rng(0).integers(1, 3, size=len(x))
    many = np.repeat(x, copies, 0), np.repeat(y, copies)
    a, b = w.copy(), w.copy()
    one, two = (hc.Optimizer(f, method, **METHODS[method]) for _ in range(2))
    for _ in range(3):
        one.step(a, x, y, sample_weight=copies.astype(float))
        two.step(b, *many)
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


# ---- state ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_resuming_changes_no_bit(method, dtype):
    f = problems.mlp(5, 8, 4, dropout=0.3)
    start, x, y = problems.batch(f, 60, 5, classes=4, dtype=dtype)
    batches = list(parts(x, y, 10))

    def make():
        return hc.Optimizer(f, method, **METHODS[method])

    whole, opt = start.copy(), make()
    for b in batches:
        opt.step(whole, *b)
    for cut in (0, 1, 4):
        w, first = start.copy(), make()
        for b in batches[:cut]:
            first.step(w, *b)
        state = first.state_dict()
        first.step(w.copy(), *batches[0])  # the state is a copy
        second = make()
        second.load_state_dict(state)
        for b in batches[cut:]:
            second.step(w, *b)
        assert w.tobytes() == whole.tobytes(), cut


def test_foreign_state_is_refused(problem):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "adam")
    opt.step(w, x, y)
    state = opt.state_dict()
    before = w.tobytes()
    other = hc.Optimizer(problems.mlp(5, 7, 4), "adam")
    for target, bad in ((hc.Optimizer(f, "sgd", momentum=0.9), state), (other, state)):
        with pytest.raises(hc.StateError):
            target.load_state_dict(bad)
    with pytest.raises(hc.Error):
        opt.load_state_dict({})
    opt.load_state_dict(state)
    assert w.tobytes() == before


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(
    ("name", "value"), [("u", -1e-3), ("u", np.inf), ("u", np.nan), ("m", np.inf), ("m", np.nan)]
)
def test_a_state_that_would_spoil_w_is_refused(problem, name, value, used):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "adam")
    opt.step(w, x, y)
    good = opt.state_dict()
    bad = good[name].copy()
    bad[3] = value
    target = opt if used else hc.Optimizer(f, "adam")
    with pytest.raises(hc.StateError, match=f"{name}: expected finite"):
        target.load_state_dict({**good, name: bad})
    target.load_state_dict(good)
    np.testing.assert_equal(target.state_dict(), good)


@pytest.mark.parametrize("method", METHODS)
def test_a_failed_step_changes_nothing(method):
    """An overflow inside the network, after good steps."""
    f = hc.Objective(
        hc.Sequential(hc.Linear(3, 4), hc.Exp(), hc.Linear(4, 2)), hc.MSELoss(), input_shape=(3,)
    )
    w, x, y = problems.batch(f, 9, 3)
    opt = hc.Optimizer(f, method, **METHODS[method])
    twin = w.copy()
    for _ in range(2):
        opt.step(w, x, y)
    before, state = w.tobytes(), opt.state_dict()
    with pytest.raises(hc.NonFiniteError):
        opt.step(w, x * 1e5, y)
    assert w.tobytes() == before
    with pytest.raises(hc.NonFiniteError):
        opt.step(w, np.where(np.arange(3) == 1, np.nan, x), y)
    assert w.tobytes() == before
    after = opt.state_dict()
    np.testing.assert_equal(after, state)
    opt.step(w, x, y)
    good = hc.Optimizer(f, method, **METHODS[method])
    for _ in range(3):
        good.step(twin, x, y)
    assert w.tobytes() == twin.tobytes()


# ---- run ----


@pytest.mark.parametrize("method", METHODS)
def test_run_is_a_loop_of_steps(method):
    f = problems.mlp(5, 8, 4)
    start, x, y = problems.batch(f, 23, 5, classes=4)
    w = start.copy()
    hc.Optimizer(f, method, **METHODS[method]).run(
        w, x, y, batch_size=6, epochs=2, shuffle=False, progress=False
    )
    loop, opt = start.copy(), hc.Optimizer(f, method, **METHODS[method])
    for _ in range(2):
        for i in range(0, 23, 6):
            opt.step(loop, x[i : i + 6], y[i : i + 6])
    assert w.tobytes() == loop.tobytes()


def test_a_batch_larger_than_the_data_is_all_of_it():
    f = problems.mlp(5, 8, 4)
    start, x, y = problems.batch(f, 30, 5, classes=4)
    ends = []
    for batch_size in (30, 31, 2**63 - 1):
        w = start.copy()
        losses = hc.Optimizer(f, "adam").run(w, x, y, batch_size, epochs=3, progress=False)
        assert losses.shape == (3,)
        ends.append(w.tobytes())
    assert ends[0] == ends[1] == ends[2] != start.tobytes()


def test_shuffling_visits_every_sample_once():
    """SGD on a linear loss: the sum of steps is independent of the order only if all were seen."""
    f = hc.Objective(hc.Linear(1, 1, bias=False), hc.MSELoss(reduction="sum"))
    seen = []
    x = np.arange(1.0, 21.0).reshape(-1, 1)
    w = np.zeros(1)
    opt = hc.Optimizer(f, "sgd", lr=0.0)
    opt.run(w, x, x, batch_size=1, epochs=2, shuffle_seed=5, progress=False,
            on_step=lambda info: seen.append(round(np.sqrt(info.loss))) and None)  # fmt: skip
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(1, 21))
    assert seen[:20] != seen[20:] and seen[:20] != list(range(1, 21))


def test_run_twice_with_one_seed():
    f = problems.mlp(5, 8, 4, dropout=0.2)
    start, x, y = problems.batch(f, 40, 5, classes=4)
    results = []
    for seed in (1, 1, 2):
        w = start.copy()
        hc.Optimizer(f, "adam").run(w, x, y, batch_size=8, epochs=2, shuffle_seed=seed,
                                    progress=False)  # fmt: skip
        results.append(w.tobytes())
    assert results[0] == results[1] != results[2]


def test_callback_stops_and_its_errors_come_through():
    f = problems.mlp(5, 8, 4)
    start, x, y = problems.batch(f, 40, 5, classes=4)
    loop, opt = start.copy(), hc.Optimizer(f, "adam")
    for i in range(3):
        opt.step(loop, x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4])
    infos = []

    def stop(info):
        infos.append(info)
        return info.step == 3

    w = start.copy()
    hc.Optimizer(f, "adam").run(w, x, y, batch_size=4, shuffle=False, on_step=stop,
                                progress=False)  # fmt: skip
    assert [i.step for i in infos] == [1, 2, 3] and w.tobytes() == loop.tobytes()

    def fail(info):
        if info.step == 3:
            raise KeyError("mine")

    w, opt = start.copy(), hc.Optimizer(f, "adam")
    with pytest.raises(KeyError, match="mine"):
        opt.run(w, x, y, batch_size=4, shuffle=False, on_step=fail, progress=False)
    assert w.tobytes() == loop.tobytes()


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.4])
def test_interrupt_lands_between_steps(delay):
    """Ctrl-C during a long run: the parameters are those after a whole number of steps."""
    f = problems.mlp(30, 60, 10)
    start, x, y = problems.batch(f, 64, 30, classes=10)
    w, opt = start.copy(), hc.Optimizer(f, "adam")
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        opt.run(w, x, y, batch_size=16, epochs=10**7, shuffle=False, progress=False)
    assert time.monotonic() - began < delay + 2
    timer.join()
    taken = int(opt.state_dict()["step"])
    assert taken > 0
    again, twin = start.copy(), hc.Optimizer(f, "adam")
    for i in range(taken):
        part = slice(16 * (i % 4), 16 * (i % 4) + 16)
        twin.step(again, x[part], y[part])
    assert again.tobytes() == w.tobytes()


# ---- training mode ----


def test_dropout_masks_change_by_step_and_scale_to_the_mean():
    f = hc.Objective(hc.Sequential(hc.Dropout(0.4)), hc.MSELoss(), input_shape=(50,))
    x = np.ones((40, 50))
    w = np.zeros(0)
    plain = f.predict(w, x)
    np.testing.assert_array_equal(plain, x)
    masks = [f.predict(w, x, train=(0, s)) for s in range(40)]
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(masks[0], f.predict(w, x, train=(0, 0)))
    assert (f.predict(w, x, train=(1, 0)) != masks[0]).any()
    values = np.unique(np.array(masks))
    np.testing.assert_allclose(values, [0, 1 / 0.6], rtol=1e-14)
    mean = np.mean(masks)
    assert abs(mean - 1) <= 5 * np.sqrt(0.4 / 0.6 / (40 * 40 * 50))


def test_curvature_in_training_mode_uses_one_mask():
    """With the mask fixed the products are those of a network: check by finite differences."""
    f = problems.mlp(4, 12, 3, dropout=0.5)
    w, x, y = problems.batch(f, 10, 4, classes=3)
    mode = {"train": (5, 9)}
    v = np.random.default_rng(0).normal(size=w.shape)
    h = 1e-5
    up, down = (f.value_and_grad(w + s * h * v, x, y, **mode)[1] for s in (1, -1))
    np.testing.assert_allclose(f.hvp(w, x, y, v, **mode), (up - down) / (2 * h), rtol=1e-5,
                               atol=1e-8)  # fmt: skip
    loss_up, loss_down = (f.loss(w + s * h * v, x, y, **mode) for s in (1, -1))
    grad = f.value_and_grad(w, x, y, **mode)[1]
    assert grad @ v == pytest.approx((loss_up - loss_down) / (2 * h), rel=1e-7)
    dense = f.ggn(w, x, y, **mode).dense()
    np.testing.assert_allclose(f.diag(w, x, y, kind="ggn", **mode), np.diag(dense), rtol=1e-9,
                               atol=1e-14)  # fmt: skip
