"""What arrays on the device may look like, and which mixtures are refused."""

from __future__ import annotations

import gc
import subprocess
import sys

import cupy
import numpy as np
import pytest
from device import STAND_IN, close, make, to_device

import entries
import hesscore as hc
from entries import ENTRIES, WRITES_W

# but for runs, whose data may be in host memory
READS = [
    (e, a) for e, a in entries.cases()
    if e not in ("hessian", "run") and not (e in WRITES_W and a == "w")
]  # fmt: skip


class Foreign:
    """An array of another library, by DLPack: read-only as JAX's, or from before DLPack 1."""

    def __init__(self, array, read_only=True):
        self.array, self.read_only, self.streams = array, read_only, []

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self.array.shape)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream=None, **version):
        if version and not self.read_only:
            raise TypeError("unexpected keyword argument 'max_version'")
        self.streams.append(stream)
        return self.array.__dlpack__(stream=stream, **version)


class Interface:
    """An array with no more than __cuda_array_interface__, as Numba's."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__


def gaps(a):
    return cupy.asarray(np.repeat(a, 2, axis=-1))[..., ::2]


def turned(a):
    return cupy.asarray(np.ascontiguousarray(a.T)).T


def inner(a):
    return cupy.asarray(np.pad(a, 1))[tuple(slice(1, -1) for _ in a.shape)]


def foreign(a):
    return Foreign(cupy.asarray(a))


def foreign_with_gaps(a):
    return Foreign(gaps(a), read_only=False)


def interface(a):
    return Interface(cupy.asarray(a))


@pytest.mark.parametrize(
    "layout", [gaps, turned, inner, foreign, foreign_with_gaps, interface], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("argument", ["w", "x", "y", "v", "sample_weight"])
def test_layouts_give_the_same_bits(layout, argument):
    f, args = make()
    call, _ = ENTRIES["hvp"]
    device = to_device(args)
    expected = call(f, device)
    got = call(f, {**device, argument: layout(args[argument])})
    assert got.get().tobytes() == expected.get().tobytes()


@pytest.mark.parametrize("labels", ["int8", "uint8", "int32", "uint64"])
@pytest.mark.parametrize("wrap", [cupy.asarray, foreign], ids=["cupy", "foreign"])
def test_labels_of_any_integer_dtype(labels, wrap):
    f, args = make()
    device = to_device(args)
    got = f.loss(device["w"], device["x"], wrap(args["y"].astype(labels)))
    assert got == f.loss(device["w"], device["x"], device["y"])


@pytest.mark.parametrize(("entry", "argument"), READS)
def test_host_arrays_among_device_arrays(entry, argument):
    f, args = make()
    mixed = {**to_device(args), argument: args[argument]}
    with pytest.raises(hc.DeviceError) as caught:
        ENTRIES[entry][0](f, mixed)
    error = caught.value
    if argument == "w":
        assert error.arg == "x" and error.expected == "an array in host memory like w"
        assert error.got == "one on cuda:0"
    else:
        assert error.arg == argument
        assert "cuda:0" in error.expected and "host" in error.got


def test_device_arrays_among_host_arrays():
    f, args = make()
    for argument in ("x", "y", "sample_weight"):
        mixed = {**args, argument: cupy.asarray(args[argument])}
        with pytest.raises(
            hc.DeviceError, match=f"{argument}: .* host memory like w, got .*cuda:0"
        ):
            ENTRIES["loss"][0](f, mixed)


def test_a_device_that_is_not_there():
    class Elsewhere(Foreign):
        def __dlpack_device__(self):
            return (2, 7)

    f, args = make()
    device = to_device(args)
    with pytest.raises(hc.DeviceError, match="x: expected an array on cuda:0 like w, got one on"):
        f.loss(device["w"], Elsewhere(device["x"]), device["y"])
    with pytest.raises(hc.DeviceError, match=r"w: .* got one on cuda:7 \(.* CUDA devices"):
        f.loss(Elsewhere(device["w"]), device["x"], device["y"])


def test_dtypes():
    f, args = make()
    device = to_device(args)
    single = cupy.asarray(args["x"].astype("float32"))
    with pytest.raises(hc.DTypeError, match="x: expected float64 like w, got float32"):
        f.loss(device["w"], single, device["y"])
    with pytest.raises(
        hc.DTypeError, match="w: expected an array of float32 or float64, got int64"
    ):
        f.loss(device["y"], device["x"], device["y"])
    with pytest.raises(hc.LabelError, match="y: expected integer labels, got float64"):
        f.loss(device["w"], device["x"], cupy.asarray(args["y"].astype("float64")))


def test_values():
    f, args = make()
    device = to_device(args)
    bad = args["x"].copy()
    bad[2, 1] = np.nan
    with pytest.raises(hc.NonFiniteError, match=r"x: expected finite values, got nan at .*2, 1"):
        f.loss(device["w"], cupy.asarray(bad), device["y"])
    for wrong in (3, -1):
        labels = args["y"].copy()
        labels[4] = wrong
        with pytest.raises(hc.LabelError, match=rf"y: .* 0\.\.2, got {wrong} at position 4"):
            f.value_and_grad(device["w"], device["x"], cupy.asarray(labels))
    weights = args["sample_weight"].copy()
    weights[0] = -1
    with pytest.raises(hc.OptionError, match="sample_weight"):
        f.loss(*(device[k] for k in "wxy"), sample_weight=cupy.asarray(weights))


def test_shapes():
    f, args = make()
    device = to_device(args)
    with pytest.raises(hc.ShapeError, match=r"x: expected \(N, 4\), got \(6, 3\)"):
        f.loss(device["w"], device["x"][:, :3], device["y"])
    with pytest.raises(hc.ShapeError, match="x: expected at least one sample"):
        f.loss(device["w"], device["x"][:0], device["y"][:0])
    assert f.predict(device["w"], device["x"][:0]).shape == (0, 3)


def test_work_is_in_the_order_of_the_current_stream():
    f, args = make()
    expected = f.value_and_grad(args["w"], args["x"], args["y"])
    device = to_device(args)
    other = Foreign(device["x"])
    with cupy.cuda.Stream(non_blocking=True) as stream:
        w = device["w"] * 1.0
        got = f.value_and_grad(w, other, device["y"])
        w *= 0.0  # after the work above, which reads it
        close(got, expected)
    assert other.streams == [stream.ptr]
    f.loss(device["w"], other, device["y"])
    assert other.streams[1:] == [1]  # DLPack's name of the default stream


@pytest.mark.skipif(not STAND_IN, reason="the stand-in counts")
def test_arrays_of_others_do_not_wait_for_the_whole_device():
    f, args = make()
    device = to_device(args)
    before = cupy.cuda.Device.synchronized
    f.loss(device["w"], Foreign(device["x"]), device["y"])
    f.loss(device["w"], foreign_with_gaps(args["x"]), device["y"])
    assert cupy.cuda.Device.synchronized == before


def test_results_of_one_stream_are_used_on_another():
    f, args = make()
    expected = f.value_and_grad(args["w"], args["x"], args["y"])[1]
    device = to_device(args)
    for _ in range(3):
        with cupy.cuda.Stream(non_blocking=True) as first:
            grad = f.value_and_grad(device["w"], device["x"], device["y"])[1]
        first.synchronize()
        close(grad, expected)


def test_memory_comes_from_cupy():
    f, args = make()
    device = to_device(args)
    pool = cupy.get_default_memory_pool()
    gc.collect()  # what other tests left
    before = pool.used_bytes()
    f.hvp(device["w"], device["x"], device["y"], device["v"])
    assert pool.used_bytes() > before
    del f
    gc.collect()
    assert pool.used_bytes() < before + 65536


def test_importing_hesscore_leaves_cuda_alone():
    code = """if True:
        import sys, numpy as np, hesscore as hc
        f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
        f.loss(f.init(), np.ones((1, 2), np.float32), np.ones((1, 1), np.float32))
        assert not any(m.split(".")[0] in ("cupy", "cupyx") for m in sys.modules)
        with open("/proc/self/maps") as maps:
            assert "libhesscore_cuda" not in maps.read()
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_cupy():
    code = """if True:
        import sys, numpy as np, hesscore as hc
        sys.modules["cupy"] = None
        class Tensor:
            def __dlpack_device__(self):
                return (2, 0)
            def __dlpack__(self, **_):
                raise AssertionError
        f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
        try:
            f.loss(Tensor(), Tensor(), Tensor())
        except hc.DeviceError as error:
            print(error)
        print(hc.show_config(mode="dict")["cupy"])
    """
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    error, config = out.stdout.splitlines()
    assert error.startswith("w: expected an array in host memory, got one on cuda:0 (results there")
    assert 'pip install "hesscore[cuda]"' in error and "pip install" in config


def test_embedding_looks_up_checks_and_learns():
    net = hc.Sequential(hc.Embedding(7, 3), hc.Flatten(), hc.Linear(12, 3))
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(4,))
    rng = np.random.default_rng(0)
    w = f.init(dtype="float64")
    x, y = rng.integers(0, 7, size=(6, 4)), rng.integers(0, 3, size=6)
    names = ("loss", "grad", "hesscale", "ggn", "empirical_fisher")
    expected = f.evaluate(w, x, y, names)
    got = f.evaluate(cupy.asarray(w), cupy.asarray(x.astype("int16")), cupy.asarray(y), names)
    for name in names[1:]:
        np.testing.assert_allclose(got[name].get(), expected[name], rtol=1e-10, atol=1e-14)
    for wrong in (7, -1):
        bad = x.copy()
        bad[5, 1] = wrong
        with pytest.raises(hc.IndexRangeError, match=rf"x: .*0..6, got {wrong} at .*\(5, 1\)"):
            f.loss(cupy.asarray(w), cupy.asarray(bad), cupy.asarray(y))
        u = cupy.asarray(w)
        with pytest.raises(hc.IndexRangeError):
            hc.Optimizer(f, "adam").run(u, bad, y, batch_size=3)
    u, v = w.copy(), cupy.asarray(w)
    hc.Optimizer(f, "adahesscale").run(u, x, y, batch_size=4, epochs=3)
    hc.Optimizer(f, "adahesscale").run(v, x, y, batch_size=4, epochs=3)
    np.testing.assert_allclose(v.get(), u, rtol=1e-9)
