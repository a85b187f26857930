"""What every method promises: steps are taken whole or not at all, and can be interrupted, saved
and scheduled."""

from __future__ import annotations

import io
import os
import signal
import threading
import time

import numpy as np
import pytest

import hesscore as hc
import problems
from hesscore.optim import methods
from optimizers import METHODS, parts

CASES = {name: (name, options) for name, options in METHODS.items()} | {
    "adahesscale, scaled": ("adahesscale", {"lr": 0.02, "delta": 1e-3}),
    "clipped": ("adam", {"lr": 0.02, "clip_norm": 0.1}),
    "hessian_free, constant": ("hessian_free", {"damping": 5.0, "damping_rule": "constant"}),
    "gauss_newton, preconditioned": ("gauss_newton", {"preconditioner": "hesscale"}),
    "kfac, with a heavy ball": (
        "kfac",
        {
            "momentum": 0.9,
            "lr": 0.05,
            "damping_rule": "constant",
            "damping": 0.1,
            "kl_clip": 1e-2,
            "kind": "exact",
        },
    ),
    "steihaug": ("trust_region", {"solver": "steihaug", "product": "ggn"}),
    "newton, truncated": ("newton", {"lr": 0.1, "damping": 0.1, "indefinite": "truncated"}),
    "centred": ("replica_newton", {"replicas": 2, "form": "centred", "lr": 0.05}),
    "carried": ("replica_newton", {"replicas": 3, "form": "carried", "ritz": True, "lr": 0.05}),
}


def test_every_method_is_here():
    assert METHODS.keys() == methods.keys()


def network(method, width=8):
    """With running statistics, unless the method needs gradients of single samples."""
    layers = [hc.Linear(5, width), hc.BatchNorm1d(width), hc.Tanh(), hc.Linear(width, 4)]
    if method in ("kfac", "chainrule_adam", "sophia_g"):
        del layers[1]
    return hc.Objective(hc.Sequential(*layers), hc.CrossEntropyLoss())


class Trainee:
    """An optimizer, and all that its steps may change."""

    def __init__(self, case, seed=5, width=8):
        method, options = CASES[case]
        self.f = network(method, width)
        self.w, self.x, self.y = problems.batch(self.f, 28, 5, classes=4, seed=seed)
        self.opt = hc.Optimizer(self.f, method, ema=0.9, **options)

    def steps(self, count, first=0):
        for xb, yb in list(parts(self.x, self.y, first + count))[first:]:
            self.opt.step(self.w, xb, yb)
        return self

    def everything(self, *without):
        state = {k: v for k, v in self.opt.state_dict().items() if k not in without}
        arrays = {**state, **{f"buffer {k}": v for k, v in self.f.buffers.items()}, "w": self.w}
        return {k: np.asarray(v).tobytes() for k, v in arrays.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_failed_step_changes_nothing(case):
    one = Trainee(case).steps(3)
    before = one.everything()
    bad = one.x[:7].copy()
    bad[2, 3] = np.nan
    with pytest.raises(hc.NonFiniteError):
        one.opt.step(one.w, bad, one.y[:7])
    with pytest.raises(hc.ShapeError):
        one.opt.step(one.w, one.x[:, :3], one.y)
    with pytest.raises(hc.LabelError):
        one.opt.step(one.w, one.x, one.y + 4)
    with pytest.raises(hc.NonFiniteError):  # at the first batch of a run
        one.opt.run(one.w, np.full_like(one.x, np.inf), one.y, progress=False)
    assert one.everything() == before
    assert one.steps(2, first=3).everything() == Trainee(case).steps(5).everything()


REJECTED = {
    "gauss_newton": ({"lr": 1e15}, ["damping"]),
    "hessian_free": ({"lr": 1e15, "damping": 3.0}, ["damping"]),
    "trust_region": ({"radius": 1e8, "max_radius": 1e8}, ["radius"]),
    "lbfgs": ({"lr": 1e6, "max_evaluations": 1}, ["kept"]),
}


@pytest.mark.parametrize("method", REJECTED)
def test_a_rejected_step_changes_only_what_adapts(method):
    options, adapted = REJECTED[method]
    one = Trainee(method)
    one.opt = hc.Optimizer(one.f, method, ema=0.9, **options)
    one.w *= 5
    rejected = 0
    for _ in range(3):
        before = one.everything(*adapted)
        info = one.opt.step(one.w, one.x, one.y)
        if info.accepted:
            continue
        rejected += 1
        after = one.everything(*adapted)
        if info.step == 1:  # there was no state of vectors before
            after = {k: v for k, v in after.items() if k in before}
        assert after == before
    assert rejected > 0


@pytest.mark.parametrize("case", CASES)
def test_a_state_goes_through_a_file(case):
    one, other = Trainee(case).steps(3), Trainee(case)
    file = io.BytesIO()
    np.savez(file, **one.opt.state_dict())
    file.seek(0)
    with np.load(file) as state:
        other.opt.load_state_dict(state)
    other.w[:] = one.w
    other.f.buffers = one.f.buffers
    assert one.steps(3, first=3).everything() == other.steps(3, first=3).everything()


@pytest.mark.parametrize("case", CASES)
def test_rates_may_be_functions_of_the_step(case):
    method, options = CASES[case]
    constants = {**methods[method], **options}
    rates = {"lr", "span_step"} & constants.keys()
    if constants.get("damping_rule", "constant") == "constant":
        rates |= {"damping"} & constants.keys()
    assert rates or method == "trust_region"
    for name in rates:
        asked = []

        def schedule(step, value=constants[name], asked=asked):
            asked.append(step)
            return value

        one = Trainee(case).steps(4)
        other = Trainee(case)
        other.opt = hc.Optimizer(other.f, method, ema=0.9, **{**options, name: schedule})
        assert one.everything() == other.steps(4).everything()
        assert sorted(set(asked)) == [0, 1, 2, 3]

        def broken(step):
            return np.nan if step == 2 else constants[name]  # noqa: B023

        other = Trainee(case)
        other.opt = hc.Optimizer(other.f, method, ema=0.9, **{**options, name: broken})
        before = other.steps(2).everything()
        with pytest.raises(hc.OptionError, match=f"{name}: .*step 2"):
            other.steps(1, first=2)
        assert other.everything() == before


# ---- Ctrl-C ----------------------------------------------------------------------------------


def interrupted(call, delay):
    """Seconds from Ctrl-C to its exception."""
    sent = []

    def kill():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, kill)
    timer.start()
    try:
        call()
    except KeyboardInterrupt:
        return time.monotonic() - sent[0]
    finally:
        timer.cancel()
        timer.join()
    raise AssertionError("it ended by itself")


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_run_is_so_many_steps(case):
    one, other = Trainee(case, width=12), Trainee(case, width=12)
    late = interrupted(
        lambda: one.opt.run(one.w, one.x, one.y, 7, 10**7, shuffle=False, progress=False), 0.15
    )
    assert late < 0.25 + 1  # what a busy machine may add
    taken = int(one.opt.state_dict()["step"])
    if taken:
        other.opt.run(other.w, other.x, other.y, 7, 10**7, shuffle=False, progress=False,
                      on_step=lambda info: info.accepted and info.step == taken)  # fmt: skip
    adapted = {"damping", "radius", "kept", "next", "stale"}  # by rejected steps
    assert one.everything(*adapted) == other.everything(*adapted)


LONG = {
    "gauss_newton": {"cg_iterations": 10**8, "cg_rtol": 0.0, "martens_stop": False},
    "hessian_free": {"cg_iterations": 10**8, "cg_rtol": 0.0, "martens_stop": False,
                     "damping": 1e3},
    "newton": {},
}  # fmt: skip


@pytest.mark.parametrize("method", LONG)
def test_a_long_step_is_interrupted_within_itself(method):
    f = problems.mlp(60, 60, 10)
    w, x, y = problems.batch(f, 2000, 60, classes=10)
    opt = hc.Optimizer(f, method, **LONG[method])
    before, state = w.tobytes(), opt.state_dict()
    late = interrupted(lambda: opt.step(w, x, y), 0.1)
    assert late < 0.25 + 1
    assert w.tobytes() == before
    after = opt.state_dict()
    assert all(after[k] == v for k, v in state.items())
    assert all(not v.any() for k, v in after.items() if k not in state)
