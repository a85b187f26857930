"""Every quantity on the device is the CPU's, and stays on the device."""

from __future__ import annotations

import cupy
import numpy as np
import pytest
from device import close, make, to_device

import hesscore as hc
import problems
from entries import ENTRIES, WRITES_W
from hesscore._parameters import diag_kinds

READS = [name for name in ENTRIES if name not in (*WRITES_W, "hessian")]


def test_the_device_is_there():
    assert "cuda:0" in hc.devices()
    config = hc.show_config(mode="dict")
    assert config["cuda"] == "available"
    assert "compute capability" in config["cuda:0"]
    assert config["cupy"] == cupy.__version__


@pytest.mark.parametrize("entry", READS)
def test_entry(entry, dtype):
    f, args = make(dtype)
    call, _ = ENTRIES[entry]
    close(call(f, to_device(args)), call(f, args))


@pytest.mark.parametrize("kind", diag_kinds)
def test_diagonal(kind, dtype):
    f, args = make(dtype)
    point = args["w"], args["x"], args["y"]
    got = f.diag(*to_device(point), kind=kind, samples=2, seed=3)
    close(got, f.diag(*point, kind=kind, samples=2, seed=3))


def test_everything_at_once_with_dropout(dtype):
    f = problems.mlp(4, 6, 3, dropout=0.5)
    point = problems.batch(f, 5, 4, classes=3, dtype=dtype)
    names = ("loss", "grad", "predict", "hesscale", "ggn", "hutchinson")
    got = f.evaluate(*to_device(point), names, train=(1, 2))
    close(got, f.evaluate(*point, names, train=(1, 2)))


@pytest.mark.parametrize("kind", ["empirical", "mc"])
def test_fisher_products_of_several_vectors(kind, dtype):
    f, args = make(dtype)
    v = np.stack([args["v"], -2 * args["v"]])
    arguments = args["w"], args["x"], args["y"], v
    close(f.fishervp(*to_device(arguments), kind), f.fishervp(*arguments, kind))


def test_quadratic_forms_and_derivatives():
    f, args = make()
    arguments = args["w"], args["x"], args["y"], args["v"]
    for kind in ("hessian", "ggn", "gap"):
        expected = f.quadratic_form(*arguments, kind=kind)
        assert f.quadratic_form(*to_device(arguments), kind=kind) == pytest.approx(expected)
    errors = hc.testing.check_derivatives(f, *to_device(arguments[:3]))
    assert max(errors.values()) < 1e-6


def test_named_inputs(dtype):
    g = hc.Graph()
    a, b = g.input((3,), name="a"), g.input((2,), name="b")
    g.output(g.add(g(hc.Linear(3, 2), a), b))
    f = hc.Objective(g, hc.MSELoss())
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(4, 3)).astype(dtype), "b": rng.normal(size=(4, 2)).astype(dtype)}
    point = f.init(dtype=dtype), x, rng.normal(size=(4, 2)).astype(dtype)
    close(f.value_and_grad(*to_device(point)), f.value_and_grad(*point))


def test_parameters_by_name():
    f, _ = make()
    w = f.init(seed=1, xp=cupy)
    assert isinstance(w, cupy.ndarray) and w.dtype == np.float32
    assert w.tolist() == f.init(seed=1).tolist()
    views = f.views(w)
    assert f.flatten(views).tolist() == w.tolist()
    views["0.bias"] = np.zeros(5, np.float32)
    with pytest.raises(hc.DeviceError, match=r"tensors\['0.bias'\]"):
        f.flatten(views)


def test_precision():
    _, args = make("float32")
    point = args["w"], args["x"], args["y"]
    expected = make()[0].value_and_grad(*point)[1]
    net = problems.mlp(4, 5, 3).net
    errors = {}
    for precision in ("fp32", "tf32"):
        f = hc.Objective(net, hc.CrossEntropyLoss(), precision=precision)
        got = cupy.asnumpy(f.value_and_grad(*to_device(point))[1])
        errors[precision] = np.abs(got - expected).max() / np.abs(expected).max()
    assert errors["fp32"] < 1e-5 and errors["tf32"] < 2e-3
    f = hc.Objective(net, hc.CrossEntropyLoss(), precision="fp64")
    with pytest.raises(hc.DTypeError, match="w: expected float64"):
        f.loss(*to_device(point))
