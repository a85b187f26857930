"""Optimizers on the device: steps, runs, data in host memory, and the state."""

from __future__ import annotations

import contextlib

import cupy
import numpy as np
import pytest
from device import STAND_IN, close, make, to_device

import hesscore as hc
import problems
from hesscore.optim import methods

# Such that rounding does not decide where a step ends.
OPTIONS = {
    "gauss_newton": {"cg_iterations": 5},
    "trust_region": {"rtol": 1e-9},
    "newton": {"damping": 2.0},
}


def data(f, dtype, n=10):
    return problems.batch(f, n, 4, classes=3, dtype=dtype)


@pytest.mark.parametrize("method", methods)
def test_steps(method, dtype):
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, dtype)
    device = to_device((w, x, y))
    on_host, on_device = (hc.Optimizer(f, method, **OPTIONS.get(method, {})) for _ in range(2))
    address = device[0].data.ptr
    for _ in range(3):
        expected, got = on_host.step(w, x, y), on_device.step(*device)
        assert got.loss == pytest.approx(expected.loss, rel=1e-4)
        assert (got.step, got.accepted) == (expected.step, expected.accepted)
    assert device[0].data.ptr == address
    np.testing.assert_allclose(device[0].get(), w, rtol=0, atol=1e-3 * np.abs(w).max())


@pytest.mark.parametrize("limits", [{"clip_norm": 0.05}, {"clip_value": 0.01}], ids=str)
@pytest.mark.parametrize("method", ["sgd", "adam", "sophia_g", "replica_newton"])
def test_clipping_and_the_mean(method, limits):
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, "float64")
    device = to_device((w, x, y))
    on_host, on_device = (hc.Optimizer(f, method, ema=0.7, **limits) for _ in range(2))
    for _ in range(4):
        on_host.step(w, x, y)
        on_device.step(*device)
    np.testing.assert_allclose(device[0].get(), w, rtol=0, atol=1e-9)
    assert isinstance(on_device.ema, cupy.ndarray)
    np.testing.assert_allclose(on_device.ema.get(), on_host.ema, rtol=0, atol=1e-9)
    v, opt = to_device(data(f, "float64")[0]), hc.Optimizer(f, method, ema=0.7, **limits)
    opt.run(v, *device[1:], batch_size=10, epochs=4, shuffle=False, progress=False)
    assert v.get().tobytes() == device[0].get().tobytes()
    assert opt.ema.get().tobytes() == on_device.ema.get().tobytes()


@pytest.mark.parametrize("options", [{"form": "centred", "ritz": True}, {"form": "carried"}])
def test_replicas(options):
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, "float64")
    v, X, Y = to_device((w, x, y))
    on_host, on_device = (
        hc.Optimizer(f, "replica_newton", lr=0.05, replicas=3, **options) for _ in range(2)
    )
    for k in range(6):
        rows = slice(k % 3, k % 3 + 7)
        expected, got = on_host.step(w, x[rows], y[rows]), on_device.step(v, X[rows], Y[rows])
        assert got.eigenvalue == pytest.approx(expected.eigenvalue, rel=1e-6)
        assert got.fell_back == expected.fell_back
        np.testing.assert_allclose(v.get(), w, rtol=0, atol=1e-6 * np.abs(w).max())


def test_replica_inverse(dtype):
    rng = np.random.default_rng(0)
    W, z = rng.normal(size=(3, 700)).astype(dtype), rng.normal(size=700).astype(dtype)
    G = W * np.linspace(0.5, 3, 700).astype(dtype)
    expected, report = hc.replica_inverse(W, G, z)
    x, told = hc.replica_inverse(*to_device((W, G, z)))
    assert isinstance(x, cupy.ndarray) and x.dtype == dtype
    np.testing.assert_allclose(x.get(), expected, rtol=0, atol=1e-5)
    assert told == pytest.approx(report, rel=1e-5)
    with pytest.raises(hc.DeviceError, match="W"):
        hc.replica_inverse(W, *to_device((G, z)))


@pytest.mark.parametrize("method", ["sgd", "adahesscale"])
@pytest.mark.parametrize("place", ["host", "device"])
def test_runs(method, place, dtype):
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, dtype)
    v = to_device(w)
    options = {"batch_size": 4, "epochs": 2, "progress": False}
    expected = hc.Optimizer(f, method).run(w, x, y, **options)
    X, Y = (x, y) if place == "host" else to_device((x, y))
    opt = hc.Optimizer(f, method)
    losses = opt.run(v, X, Y, **options)
    assert isinstance(losses, np.ndarray) and losses.shape == (6,)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_allclose(v.get(), w, rtol=0, atol=1e-4 * np.abs(w).max())
    assert opt.state_dict()["step"] == 6


def test_a_run_calls_on_step():
    f = problems.mlp(4, 5, 3)
    w, x, y = to_device(data(f, "float64"))
    seen = []

    def on_step(info):
        seen.append((info.step, info.loss))
        return info.step == 4

    losses = hc.Optimizer(f, "adam").run(
        w, x, y, batch_size=4, epochs=3, on_step=on_step, progress=False
    )
    assert [step for step, _ in seen] == [1, 2, 3, 4]
    assert [loss for _, loss in seen] == losses.tolist()


def test_half_the_data_of_a_run_in_host_memory():
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, "float64")
    opt = hc.Optimizer(f, "sgd")
    with pytest.raises(hc.DeviceError, match="y: expected an array in host memory like x"):
        opt.run(to_device(w), x, to_device(y), progress=False)
    with pytest.raises(hc.DeviceError, match="x: expected an array in host memory like w"):
        opt.run(w, *to_device((x, y)), progress=False)
    bad = y.copy()
    bad[7] = 9
    with pytest.raises(hc.LabelError, match="y"):
        opt.run(to_device(w), x, bad, batch_size=4, progress=False)


def test_state_moves_between_devices(dtype):
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, dtype)
    first = hc.Optimizer(f, "adahesscale")
    first.step(w, x, y)
    second = hc.Optimizer(f, "adahesscale")
    second.load_state_dict(first.state_dict())
    v, X, Y = to_device((w, x, y))
    second.step(v, X, Y)
    first.step(w, x, y)
    np.testing.assert_allclose(v.get(), w, rtol=0, atol=1e-4 * np.abs(w).max())
    state = second.state_dict()
    assert state["step"] == 2 and isinstance(state["m"], np.ndarray)
    with pytest.raises(hc.DeviceError, match="w: expected an array on cuda:0, as in the steps"):
        second.step(w, x, y)


def test_a_checkpoint_goes_on_bit_for_bit(tmp_path, dtype):
    pytest.importorskip("safetensors")
    f = problems.mlp(4, 5, 3)
    w, x, y = to_device(data(f, dtype))
    opt = hc.Optimizer(f, "adahesscale", ema=0.9)
    opt.step(w, x, y)
    hc.save(tmp_path / "c", f, w, opt)
    _, v, other = hc.load(tmp_path / "c", xp=cupy)
    assert isinstance(v, cupy.ndarray) and v.get().tobytes() == w.get().tobytes()
    assert other.ema.tobytes() == opt.ema.get().tobytes()
    for one, at in ((opt, w), (other, v)):
        one.step(at, x, y)
    assert v.get().tobytes() == w.get().tobytes()
    assert other.ema.get().tobytes() == opt.ema.get().tobytes()


def test_w_must_be_cupys_own_and_contiguous():
    f, args = make()
    device = to_device(args)
    opt = hc.Optimizer(f, "sgd")
    gaps = cupy.asarray(np.repeat(args["w"], 2))[::2]
    with pytest.raises(hc.OutputError, match=r"w: .*gaps"):
        opt.step(gaps, device["x"], device["y"])
    with pytest.raises(hc.OutputError, match="overlaps"):
        opt.step(device["x"].reshape(-1)[: f.num_params], device["x"], device["y"])
    bad = device["w"] * np.nan
    with pytest.raises(hc.NonFiniteError, match="w"):
        opt.step(bad, device["x"], device["y"])


def test_a_failed_step_leaves_everything():
    f = hc.Objective(problems.mlp(4, 5, 3).net, hc.CrossEntropyLoss(), check_finite=False)
    w, x, y = data(f, "float64")
    device = to_device((w, x, y))
    opt = hc.Optimizer(f, "adam")
    opt.step(*device)
    before, state = device[0].get(), opt.state_dict()
    x[0, 0] = np.inf
    with pytest.raises(hc.NonFiniteError):
        opt.step(device[0], to_device(x), device[2])
    assert device[0].get().tobytes() == before.tobytes()
    after = opt.state_dict()
    assert after["step"] == state["step"] and after["m"].tobytes() == state["m"].tobytes()
    close(f.value_and_grad(*device), f.value_and_grad(before, data(f, "float64")[1], y))


def test_a_run_with_very_many_inputs():
    inputs = 100
    g = hc.Graph()
    names = [f"x{k}" for k in range(inputs)]
    g.output(g(hc.Linear(inputs, 3), g.concat(*(g.input((1,), name=n) for n in names))))
    f = hc.Objective(g, hc.CrossEntropyLoss())
    w, x, y = problems.batch(problems.mlp(inputs, 3), 10, inputs, classes=3)
    xs = {n: np.ascontiguousarray(x[:, k : k + 1]) for k, n in enumerate(names)}
    v, X, Y = to_device((w, xs, y))
    options = {"batch_size": 4, "epochs": 2, "progress": False}
    hc.Optimizer(f, "adahesscale").run(v, X, Y, **options)
    hc.Optimizer(f, "adahesscale").run(w, xs, y, **options)
    np.testing.assert_allclose(v.get(), w, rtol=1e-9)


@pytest.mark.skipif(not STAND_IN, reason="limits the stand-in's memory")
@pytest.mark.parametrize("place", ["host", "device"])
def test_running_out_of_memory_leaves_the_optimizer_usable(place, monkeypatch):
    """Wherever memory ends, the next run is as if nothing had happened."""
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, "float64", 50)
    X, Y = (x, y) if place == "host" else to_device((x, y))
    memory, made, limit = cupy.cuda.Memory, 0, 10**9

    def limited(size, stream):
        nonlocal made
        made += 1
        if made > limit:
            raise MemoryError
        return memory(size, stream)

    def runs(opt):
        """Over few rows, and then over many."""
        v = to_device(w)
        for rows in (16, 50):
            opt.run(v, X[:rows], Y[:rows], batch_size=8, epochs=2, progress=False)
        return v.get().tobytes()

    def retried(most):
        nonlocal made, limit
        opt, made, limit = hc.Optimizer(f, "adam"), 0, most
        start = opt.state_dict()
        with contextlib.suppress(MemoryError):
            runs(opt)
        limit = 10**9
        opt.load_state_dict(start)
        return runs(opt)

    monkeypatch.setattr(cupy.cuda, "Memory", limited)
    runs(hc.Optimizer(f, "adam"))
    total = made
    expected = retried(10**9)
    for most in range(total):
        assert retried(most) == expected, most


def test_a_failed_first_step_does_not_choose_the_device():
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, "float64")
    v, X, Y = to_device((w, x, y))
    opt = hc.Optimizer(f, "adam")
    with pytest.raises(hc.LabelError):
        opt.step(v, X, to_device(y + 9))
    info = opt.step(w, x, y)
    assert info.step == 1
    with pytest.raises(hc.DeviceError):
        opt.step(v, X, Y)


def test_an_optimizer_moves_on_the_current_stream():
    """Its first step fills its memory on CuPy's current stream, as all steps do."""
    f = problems.mlp(4, 5, 3)
    w, x, y = data(f, "float64")
    first = hc.Optimizer(f, "adam")
    first.step(w, x, y)
    second = hc.Optimizer(f, "adam")
    second.load_state_dict(first.state_dict())
    with cupy.cuda.Stream(non_blocking=True):
        v, X, Y = to_device((w, x, y))
        second.step(v, X, Y)
        moved = v.get()
    first.step(w, x, y)
    np.testing.assert_allclose(moved, w, rtol=1e-9)


@pytest.mark.parametrize("call", [1, 2, 7, 40])
def test_an_interrupt_inside_a_schedule_ends_the_run(call):
    f = problems.mlp(4, 5, 3)
    w, X, Y = to_device(data(f, "float64", 100))
    calls = 0

    def lr(step):
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return 1e-3

    opt = hc.Optimizer(f, "adam", lr=lr)
    with pytest.raises(KeyboardInterrupt):
        opt.run(w, X, Y, batch_size=2, epochs=2, progress=False)
    assert opt.state_dict()["step"] <= call - 1 and calls == call


@pytest.mark.skipif(not STAND_IN, reason="breaks the stand-in's memory")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_errors_of_the_allocator_come_through(error, monkeypatch):
    f, args = make()
    device = to_device(args)

    def broken(size, stream):
        raise error("mine")

    with monkeypatch.context() as patch:
        patch.setattr(cupy.cuda, "Memory", broken)
        with pytest.raises(error):
            hc.Optimizer(f, "adam").step(*(device[k] for k in "wxy"))
