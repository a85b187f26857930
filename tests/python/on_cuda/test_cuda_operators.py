"""Operators and solvers on the device."""

from __future__ import annotations

import cupy
import numpy as np
import pytest
from cupyx.scipy.sparse.linalg import LinearOperator
from device import close, make, to_device

import hesscore as hc

KINDS = ["hessian", "ggn", "fisher"]


def operators(kind, dtype="float64"):
    f, args = make(dtype)
    point = args["w"], args["x"], args["y"]
    return getattr(f, kind)(*point), getattr(f, kind)(*to_device(point)), args["v"]


@pytest.mark.parametrize("kind", KINDS)
def test_products(kind, dtype):
    A, B, v = operators(kind, dtype)
    assert isinstance(B, LinearOperator) and B.shape == A.shape and B.dtype == A.dtype
    V = np.stack([v, 2 * v, -v], axis=1)
    close(B @ to_device(v), A @ v)
    close(B.matvec(to_device(v[:, None])), A.matvec(v[:, None]))
    close(B @ to_device(V), A @ V)
    close(B.dense(), A.dense())
    close(B.diagonal(), A.diagonal())
    close(B.diagonal("hesscale"), A.diagonal("hesscale"))


def test_compositions():
    A, B, v = operators("ggn")
    one = hc.identity(len(v))
    w = to_device(v)
    for compose in (
        lambda G: G + 0.5 * one, lambda G: one + G, lambda G: 2 * G - one, lambda G: -G,
    ):  # fmt: skip
        close(compose(B) @ w, compose(A) @ v)
        assert isinstance(compose(B), type(B).__mro__[2])  # still the engine's
    close((B + B) @ w, 2 * (A @ v))
    close((3.0 * one) @ w, 3.0 * v)
    assert repr(B).startswith("<ggn operator")


def test_the_point_is_copied():
    f, args = make()
    device = to_device(args)
    B = f.ggn(device["w"], device["x"], device["y"])
    before = (B @ device["v"]).get()
    device["w"] *= 0.0
    device["x"] *= 0.0
    assert (B @ device["v"]).get().tobytes() == before.tobytes()


def test_host_vectors_are_refused():
    _, B, v = operators("hessian")
    with pytest.raises(hc.DeviceError, match="v: expected an array on cuda:0 like the operator"):
        B @ v
    with pytest.raises(hc.DeviceError, match="b: expected an array on cuda:0 like A"):
        hc.cg(B, v)
    with pytest.raises(hc.DeviceError, match=r"M: expected .* on cuda:0 like b, got one in host"):
        hc.cg(B, to_device(v), M=np.ones(len(v)))
    with pytest.raises(hc.DTypeError, match="v: expected float64 like the operator"):
        B @ cupy.asarray(v.astype("float32"))


@pytest.mark.parametrize("preconditioned", [False, True])
def test_cg(preconditioned, dtype):
    A, B, v = operators("ggn", dtype)
    one = hc.identity(len(v))
    diagonal = 1 / (A.diagonal() + np.dtype(dtype).type(0.1))
    M = diagonal if preconditioned else None
    options = {"rtol": 1e-4, "maxiter": 60}
    x, report = hc.cg(A + 0.1 * one, v, M=M, **options)
    y, got = hc.cg(B + 0.1 * one, to_device(v), M=to_device(M), **options)
    assert isinstance(y, cupy.ndarray) and got.status == report.status == "converged"
    assert abs(got.iterations - report.iterations) <= 1
    np.testing.assert_allclose(y.get(), x, rtol=0, atol=2e-3 * np.abs(x).max())
    assert got.history.shape == (got.iterations + 1,)
    z, again = hc.cg(B + 0.1 * one, to_device(v), y, M=to_device(M), **options)
    assert again.iterations == 0 and z.get().tobytes() == y.get().tobytes()


def test_cg_calls_python():
    A, B, v = operators("ggn")
    one = hc.identity(len(v))
    seen = []

    def apply(u):
        assert isinstance(u, cupy.ndarray)
        return (B + one) @ u

    x, report = hc.cg(apply, to_device(v), callback=lambda x: seen.append(x.get()))
    assert report.converged and len(seen) == report.iterations
    assert seen[-1].tobytes() == x.get().tobytes()
    close(x, hc.cg(A + one, v)[0])
    matrix = to_device((A + one).dense())
    close(hc.cg(matrix, to_device(v), rtol=1e-10)[0], hc.cg(A + one, v, rtol=1e-10)[0])
    with pytest.raises(hc.DeviceError, match=r"A\(v\): expected an array on cuda:0 like b"):
        hc.cg(lambda u: u.get(), to_device(v))
