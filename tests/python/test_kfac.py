"""KFAC against a restatement in NumPy, and where its answer is known."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np
import pytest

import hesscore as hc
import problems
from kfac_reference import Dense, Engine, kfac

STEPS = 50


def batches(x, y, size=30):
    rows = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
    return list(islice(cycle(rows), STEPS))


def check(net, f, w, x, y, **options):
    opt = hc.Optimizer(f, "kfac", **options)
    expected = kfac(net, w.copy(), batches(x, y), **{"kind": "mc", **options})
    dampings, rhos = set(), []
    for (xb, yb), (at, loss, damping, rho) in zip(batches(x, y), expected, strict=True):
        info = opt.step(w, xb, yb)
        assert info.accepted
        assert info.loss == pytest.approx(loss, rel=1e-9)
        assert info.damping == pytest.approx(damping, rel=1e-9)
        assert info.rho == pytest.approx(rho, rel=1e-6, abs=1e-9)
        np.testing.assert_allclose(w, at, rtol=0, atol=1e-9 * max(1, np.abs(at).max()))
        dampings.add(round(damping, 6))
        rhos.append(rho)
    return dampings, rhos


OPTIONS = [
    {},
    {"kind": "empirical", "factor_ema": 0.8, "weight_decay": 0.02},
    {"momentum": 0.9, "lr": 0.05, "damping": 0.1},
    {"momentum": 0.0, "lr": lambda t: 0.3 / (1 + t), "damping_rule": "constant",
     "damping": lambda t: 0.5 * 0.99**t},
    {"momentum": 0.7, "lr": 0.2, "kl_clip": 1e-3, "weight_decay": 0.1, "damping": 0.03},
    {"kl_clip": 1e-2, "lr": 0.8, "damping": 3.0, "interval": 3, "inverse_interval": 5},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=",".join)
@pytest.mark.parametrize("sizes", [(6, 9, 4), (5, 8, 7, 3)])
def test_steps_on_dense_networks(sizes, options):
    f = problems.mlp(*sizes)
    w, x, y = problems.batch(f, 90, sizes[0], classes=sizes[-1])
    options = {"kind": "exact", **options}
    dampings, rhos = check(Dense(*sizes), f, w, x, y, **options)
    assert (len(dampings) > 3) or options.get("damping_rule") == "constant"
    assert np.count_nonzero(rhos) == (0 if "damping_rule" in options else STEPS // 5)


@pytest.mark.parametrize("options", OPTIONS[::2], ids=",".join)
def test_steps_on_a_convolutional_network(options):
    """Labels are drawn anew in each step; norms have blocks of their own."""
    net = hc.Sequential(hc.Conv2d(2, 3, 3), hc.GroupNorm(1, 3), hc.Tanh(),
                        hc.AvgPool2d(2), hc.Flatten(), hc.Linear(12, 3))  # fmt: skip
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(2, 6, 6))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 2, 6, 6)), rng.integers(0, 3, 90)
    check(Engine(f), f, f.init(dtype="float64"), x, y, **options)


def test_one_step_solves_least_squares():
    """With one layer A x G is the Gauss-Newton matrix, and that is the Hessian."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 12)) * 10 ** np.linspace(0, 3, 12)
    weight = rng.normal(size=(12, 3))
    y = x @ weight + 0.5
    f = hc.Objective(hc.Linear(12, 3), hc.MSELoss())
    w = f.init(dtype="float64")
    opt = hc.Optimizer(f, "kfac", kind="exact", damping=1e-14, damping_rule="constant")
    for _ in range(3):
        opt.step(w, x, y)
    exact = np.concatenate([weight.T.ravel(), np.full(3, 0.5)])
    np.testing.assert_allclose(w, exact, rtol=0, atol=1e-6)


def test_far_faster_than_gradients_on_an_ill_conditioned_problem():
    """A deep linear network on inputs whose scales span a factor of 1000.

    The least squares optimum is known in closed form; the gradient's best constant rate among many
    is far from it when KFAC has arrived.
    """
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 10)) * 10 ** np.linspace(-1.5, 1.5, 10)
    y = x @ (rng.normal(size=(10, 2)) / 10 ** np.linspace(-1.5, 1.5, 10)[:, None])
    y += 0.1 * rng.normal(size=y.shape)
    ones = np.hstack([x, np.ones((400, 1))])
    least = ((ones @ np.linalg.lstsq(ones, y, rcond=None)[0] - y) ** 2).mean()
    f = hc.Objective(hc.Sequential(hc.Linear(10, 6), hc.Linear(6, 2)), hc.MSELoss())

    def excess(method, **options):
        w, opt = f.init(seed=3, dtype="float64"), hc.Optimizer(f, method, **options)
        for _ in range(100):
            try:
                opt.step(w, x, y)
            except hc.NonFiniteError:
                return np.inf
        return f.loss(w, x, y) / least - 1

    best = min(excess("sgd", lr=lr, momentum=m) for lr in 10.0 ** np.arange(-6, 1) / 3
               for m in (0.0, 0.9))  # fmt: skip
    for kind in ("mc", "exact"):
        found = excess("kfac", kind=kind)
        assert -1e-9 < found < 1e-3 < 1e-2 * best, (kind, found, best)
    assert excess("kfac", kind="empirical") < 1e-2 * best


def test_the_damping_grows_until_a_factor_is_definite():
    f = hc.Objective(hc.Linear(50, 2), hc.MSELoss())
    w, x, y = problems.batch(f, 4, 50, dtype="float32")
    opt = hc.Optimizer(f, "kfac", kind="exact", damping=1e-12)
    before = w.copy()
    infos = []
    for _ in range(400):
        infos.append(opt.step(w, x * 1e3, y))
        if infos[-1].accepted:
            break
        assert (w == before).all()
        state = opt.state_dict()
        assert state["step"] == 0 and state["stale"] == 1 and not state["factors"].any()
    assert len(infos) > 1 and infos[-1].accepted and opt.state_dict()["stale"] == 0
    strict = hc.Optimizer(f, "kfac", kind="exact", damping=0, damping_rule="constant")
    with pytest.raises(hc.OptionError, match="damping: expected enough to make block"):
        strict.step(w, x * 1e3, y)


def test_a_step_into_overflow_is_refused():
    f = hc.Objective(hc.Sequential(hc.Linear(2, 3), hc.Exp(), hc.Linear(3, 2)), hc.MSELoss())
    w, x, y = problems.batch(f, 20, 2)
    opt = hc.Optimizer(f, "kfac", lr=lambda t: 1e6 if t == 4 else 0.1, damping=0.1)
    for _ in range(4):
        assert opt.step(w, x, y).accepted
    before, state = w.copy(), opt.state_dict()
    info = opt.step(w, x, y)
    assert not info.accepted and (w == before).all()
    after = opt.state_dict()
    assert after["damping"] > state["damping"] and after["stale"] == 1
    changed = {"damping", "stale"}
    for name, value in state.items():
        assert name in changed or np.array_equal(after[name], value)


def test_states_of_other_networks_are_refused():
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 9, 4, classes=3)
    opt = hc.Optimizer(f, "kfac")
    opt.step(w, x, y)
    state = opt.state_dict()
    assert state["factors"].size == 5 * 5 + 5 * 5 + 6 * 6 + 3 * 3 == state["inverses"].size
    for bad in ({**state, "factors": state["direction"]}, {**state, "stale": -1.0}):
        with pytest.raises(hc.StateError, match=r"factors|stale"):
            opt.load_state_dict(bad)
    with pytest.raises(hc.StateError, match="direction"):
        hc.Optimizer(f, "kfac", momentum=0.0).load_state_dict(state)


def test_networks_without_factors_are_refused_at_once():
    net = hc.Sequential(hc.Linear(4, 3), hc.BatchNorm1d(3), hc.Linear(3, 2))
    with pytest.raises(hc.UnsupportedError, match="BatchNorm1d"):
        hc.Optimizer(hc.Objective(net, hc.MSELoss()), "kfac")


@pytest.mark.parametrize(
    ("option", "value"),
    [("momentum", "fast"), ("momentum", 1.0), ("momentum", True), ("kind", "true"),
     ("factor_ema", 1.0), ("damping", 0.0), ("kl_clip", -1.0), ("interval", 0),
     ("inverse_interval", 1.5), ("weight_decay", np.inf), ("lr", -1.0)],
)  # fmt: skip
def test_bad_options(option, value):
    with pytest.raises(hc.OptionError) as error:
        hc.Optimizer(problems.mlp(3, 2), "kfac", **{option: value})
    assert error.value.arg == option


def test_defaults_are_those_of_the_paper():
    assert hc.optim.methods["kfac"] == {
        "lr": 1.0, "damping_rule": "lm", "damping": 1.0, "momentum": "adaptive",
        "weight_decay": 0.0, "kl_clip": 0.0, "kind": "mc", "factor_ema": 0.95, "interval": 1,
        "inverse_interval": 20,
    }  # fmt: skip
