"""Clipping and the mean of w, which every optimizer shares, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems
from optimizers import METHODS, parts
from test_optimizers import adam, sgd
from test_replica_newton import ByHand

REFUSING = ["gauss_newton", "hessian_free", "trust_region", "newton", "lbfgs", "kfac"]
CLIPPING = sorted(METHODS.keys() - set(REFUSING))
LIMITS = [{"clip_norm": 0.05}, {"clip_value": 0.01}]


@pytest.fixture
def problem():
    f = problems.mlp(5, 8, 4)
    return f, *problems.batch(f, 20, 5, classes=4)


def clip(g, clip_norm=None, clip_value=None):
    if clip_norm:
        return g * min(1.0, clip_norm / np.linalg.norm(g))
    return np.clip(g, -clip_value, clip_value)


class Clipped:
    """An objective whose gradients are clipped, and whose curvature is not."""

    def __init__(self, f, **limits):
        self.f, self.limits, self.diag = f, limits, f.diag
        self.num_params = f.num_params

    def value_and_grad(self, w, x, y):
        loss, g = self.f.value_and_grad(w, x, y)
        assert (clip(g, **self.limits) != g).any()
        return loss, clip(g, **self.limits)


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize(
    ("method", "options", "by_hand"),
    [
        ("sgd", {"lr": 0.1}, sgd),
        ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, sgd),
        ("adam", {"lr": 0.02, "weight_decay": 0.01}, adam),
        ("adahesscale", {"lr": 0.02}, lambda *a, **k: adam(*a, **k, diagonal="hesscale")),
        ("adahesscale", {"lr": 0.02, "delta": 1e-3},
         lambda *a, **k: adam(*a, **k, diagonal="hesscale")),
    ],
    ids=["sgd", "nesterov", "adam", "adahesscale", "scaled"],
)  # fmt: skip
def test_the_gradient_is_clipped_before_anything_is_made_of_it(
    problem, method, options, by_hand, limits
):
    f, w, x, y = problem
    expected = by_hand(Clipped(f, **limits), w, x, y, **options)
    opt = hc.Optimizer(f, method, **options, **limits)
    for xb, yb in parts(x, y):
        norm = np.linalg.norm(f.value_and_grad(w, xb, yb)[1])
        info = opt.step(w, xb, yb)
        assert info.grad_norm == pytest.approx(norm, rel=1e-12)
    np.testing.assert_allclose(w, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("form", ["paired", "centred", "carried"])
def test_replicas_clip_the_gradient_and_not_the_pairs(problem, form, limits):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "replica_newton", lr=0.05, replicas=3, form=form, **limits)
    by_hand = ByHand(f, 0.05, 3, form, clip=lambda z: clip(z, **limits))
    v = w.copy()
    for _ in range(5):
        v = by_hand.step(v, x, y)
        opt.step(w, x, y)
        np.testing.assert_allclose(w, v, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", CLIPPING)
def test_limits_beyond_the_gradient_change_no_bit(method, dtype):
    f = problems.mlp(5, 8, 4)
    start, x, y = problems.batch(f, 20, 5, classes=4, dtype=dtype)
    ends = []
    for limits in ({}, {"clip_norm": 1e6}, {"clip_value": 1e6}, {"clip_norm": 1e-3}):
        w = start.copy()
        opt = hc.Optimizer(f, method, **METHODS[method], **limits)
        for xb, yb in parts(x, y):
            opt.step(w, xb, yb)
        ends.append(w.tobytes())
    assert ends[0] == ends[1] == ends[2] != ends[3]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("method", REFUSING)
def test_methods_that_want_the_gradient_refuse(problem, method, limits):
    with pytest.raises(hc.OptionError) as caught:
        hc.Optimizer(problem[0], method, **limits)
    assert all(f"{name}" in str(caught.value) for name in [*CLIPPING, method, *limits])


@pytest.mark.parametrize(
    ("options", "name"),
    [({"clip_norm": v}, "clip_norm") for v in (0, -1.0, np.nan, np.inf, "1", [1])]
    + [({"clip_value": v}, "clip_value") for v in (0.0, -1.0, np.nan)]
    + [({"ema": v}, "ema") for v in (0.0, 1.0, 1.5, -0.1, np.nan, "x")]
    + [({"clip_norm": 1.0, "clip_value": 1.0}, "clip_value")],
    ids=str,
)
def test_bad_values(problem, options, name):
    with pytest.raises(hc.OptionError, match=name):
        hc.Optimizer(problem[0], "adam", **options)


def test_a_norm_that_overflows(rng):
    f = hc.Objective(hc.Linear(3, 1, bias=False), hc.MSELoss())
    w = np.zeros(3)
    x, y = np.full((2, 3), 1e100), np.full((2, 1), 1e100)
    opt = hc.Optimizer(f, "sgd", clip_norm=1.0)
    with pytest.raises(hc.NonFiniteError, match="norm overflows"):
        opt.step(w, x, y)
    assert not w.any() and opt.state_dict()["step"] == 0
    hc.Optimizer(f, "sgd", lr=1e-3, clip_value=1.0).step(w, x, y)
    np.testing.assert_allclose(w, 1e-3)


# ---- the mean of w ---------------------------------------------------------------------------

EXTRA = {"bl89": {"lr": 0.02}, "sgd": {"lr": 0.1}}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("method", "options"), [*METHODS.items(), *EXTRA.items()], ids=lambda v: str(v)[:24]
)
def test_the_mean_follows_w(method, options, dtype):
    f = problems.mlp(5, 8, 4)
    w, x, y = problems.batch(f, 20, 5, classes=4, dtype=dtype)
    plain, v = hc.Optimizer(f, method, **options), w.copy()
    opt = hc.Optimizer(f, method, ema=0.8, **options)
    with pytest.raises(hc.StateError, match="ema"):
        assert opt.ema is None
    mean, taken = None, 0
    for xb, yb in parts(x, y):
        plain.step(v, xb, yb)
        if opt.step(w, xb, yb).accepted:
            taken += 1
            mean = w.astype(float) if mean is None else 0.8 * mean + 0.2 * w
        assert w.tobytes() == v.tobytes()
    assert taken >= 3
    assert opt.ema.dtype == dtype and opt.ema is not opt.ema
    error = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(opt.ema, mean, rtol=error, atol=error)
    assert opt.state_dict()["ema"].tolist() == opt.ema.tolist()
    with pytest.raises(hc.StateError, match="ema"):
        assert plain.ema is None


def test_a_mean_is_saved_and_loaded(problem):
    f, start, x, y = problem
    batches = list(parts(x, y))

    def make():
        return hc.Optimizer(f, "adam", lr=0.02, ema=0.9, clip_norm=0.1)

    whole, opt = start.copy(), make()
    for b in batches:
        opt.step(whole, *b)
    w, first = start.copy(), make()
    for b in batches[:3]:
        first.step(w, *b)
    second = make()
    with pytest.raises(hc.StateError, match="ema"):
        assert second.ema is None
    second.load_state_dict(first.state_dict())
    assert second.ema.tobytes() == first.ema.tobytes() and second.ema is not second.ema
    for b in batches[3:]:
        second.step(w, *b)
    assert w.tobytes() == whole.tobytes() and second.ema.tobytes() == opt.ema.tobytes()
    with pytest.raises(hc.StateError):
        hc.Optimizer(f, "adam").load_state_dict(first.state_dict())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_has_the_dtype_of_w(problem, dtype):
    f, w, x, y = problem
    w, x = w.astype(dtype), x.astype(dtype)
    opt, other = (hc.Optimizer(f, "adam", ema=0.9) for _ in range(2))
    opt.step(w, x, y)
    state = opt.state_dict()
    assert {v.dtype for v in state.values() if np.ndim(v)} == {np.dtype(dtype)}
    wide = {k: v.astype("float64") if np.ndim(v) else v for k, v in state.items()}
    for given in (state, wide):  # the latter as earlier versions saved it
        other.load_state_dict(given)
        np.testing.assert_equal(other.state_dict(), given)
        np.testing.assert_array_equal(other.ema, opt.ema)
        assert other.ema.dtype == given["ema"].dtype
        v, u = w.copy(), w.copy()
        other.step(v, x, y)
        opt.step(u, x, y)
        assert v.tobytes() == u.tobytes() and other.ema.dtype == dtype
        opt.load_state_dict(state)
        other = hc.Optimizer(f, "adam", ema=0.9)


def test_a_failed_step_leaves_the_mean(problem):
    f, w, x, y = problem
    for method, options in METHODS.items():
        v = w.copy()
        opt = hc.Optimizer(f, method, ema=0.5, **options)
        opt.step(v, x, y)
        before, state = opt.ema.tobytes(), opt.state_dict()
        with pytest.raises(hc.NonFiniteError):
            opt.step(v, np.where(np.arange(5) == 1, np.inf, x), y)
        assert opt.ema.tobytes() == before
        np.testing.assert_equal(opt.state_dict(), state)


def test_evaluation_at_the_mean(problem):
    """What the mean is for: noise of mini-batches leaves it closer to the minimum."""
    f = hc.Objective(hc.Linear(4, 1), hc.MSELoss())
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4))
    y = x @ np.ones((4, 1)) + rng.normal(size=(256, 1))
    w = f.init(dtype="float64")
    opt = hc.Optimizer(f, "sgd", lr=0.1, ema=0.98)
    opt.run(w, x, y, batch_size=4, epochs=8, progress=False)
    best = np.linalg.lstsq(np.c_[x, np.ones(256)], y, rcond=None)[1][0] / 256
    assert f.loss(opt.ema, x, y) - best < 0.2 * (f.loss(w, x, y) - best)
