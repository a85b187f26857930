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


@pytest.mark.parametrize("kind", KINDS)
def test_many_batches(kind, dtype):
    f, args = make(dtype)
    w, x, y = args["w"], args["x"], args["y"]
    A = getattr(f, kind)(w, x, y)
    xs, ys = [x[:2], x[2:3], x[3:]], [y[:2], y[2:3], y[3:]]
    dw, dx, dy = to_device(w), [to_device(a) for a in xs], [to_device(a) for a in ys]
    v = to_device(args["v"])
    for data in ((dx, dy), (lambda: zip(dx, dy, strict=True), None)):
        for memory in (0, 1 << 30):
            B = getattr(f, kind)(dw, *data, max_memory=memory)
            for _ in range(3):
                close(B @ v, A @ args["v"])
                close(B._core.forms(v).astype(dtype), np.array([args["v"] @ (A @ args["v"])]))
            close(B.dense(), A.dense())
            close(B.diagonal("hesscale"), A.diagonal("hesscale"))
    with pytest.raises(hc.DeviceError, match="batch 0: x: expected an array on cuda:0"):
        getattr(f, kind)(dw, xs, ys)


def test_jacobian(dtype):
    f, args = make(dtype)
    J, K = f.jacobian(args["w"], args["x"]), f.jacobian(*to_device((args["w"], args["x"])))
    assert isinstance(K, LinearOperator) and K.shape == J.shape
    u = np.linspace(-1, 1, J.shape[0]).astype(dtype)
    close(K @ to_device(args["v"]), J @ args["v"])
    close(K.T @ to_device(u), J.T @ u)
    close(K.dense(), J.dense())
    gram = K.T @ K + hc.identity(J.shape[1])
    x, report = hc.cg(gram, to_device(args["v"]), rtol=1e-4)
    assert report.converged
    close(gram @ x, (J.T @ J + hc.identity(J.shape[1])) @ x.get())


def test_algebra_blocks_and_inverses():
    f, args = make()
    point = args["w"], args["x"], args["y"]
    device = to_device(point)
    (H, G), (C, D) = ((g.hessian(*p), g.ggn(*p)) for g, p in ((f, point), (f, device)))
    v, one = args["v"], hc.identity(len(args["v"]))
    u = to_device(v)
    for compose in (lambda A, B: A - 2 * B, lambda A, B: A @ B, lambda A, B: (A @ B).T + one):
        close(compose(C, D) @ u, compose(H, G) @ v)
        assert compose(C, D)._core.device == "cuda:0"
    names = list(f.layout)
    close(C.block(names[0], [names[1], names[-1]]).dense(),
          H.block(names[0], [names[1], names[-1]]).dense())  # fmt: skip
    A, B = (M.block(names[0]) for M in (H, C))
    n = A.shape[0]
    close(B.inverse(50.0, rtol=1e-12) @ u[:n], A.inverse(50.0, rtol=1e-12) @ v[:n])
    for kind in ("hessian", "ggn", "gap"):
        forms = f.quadratic_form(*point, np.stack([v, -2 * v]), kind)
        close(f.quadratic_form(*device, cupy.stack([u, -2 * u]), kind), forms)
        part = names[0], names[-1], kind
        close(f.block(*device, *part), f.block(*point, *part))
        host, there = f.layer_forms(*point, kind=kind), f.layer_forms(*device, kind=kind)
        assert list(host) == list(there)
        np.testing.assert_allclose(list(there.values()), list(host.values()), rtol=1e-9, atol=1e-15)
    with pytest.raises(hc.DeviceError, match="operators: expected one on cuda:0"):
        C + H


@pytest.mark.parametrize("corrected", [False, True])
def test_kronecker_factors(corrected):
    net = hc.Sequential(hc.Conv2d(2, 4, 3, groups=2), hc.Tanh(), hc.ConvTranspose2d(4, 2, 2),
                        hc.Flatten(), hc.LayerNorm(18), hc.Linear(18, 3))  # fmt: skip
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(2, 4, 4))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2, 4, 4)), rng.integers(0, 3, 6)
    point = f.init(dtype="float64"), x, y
    v = rng.normal(size=(2, f.num_params))
    together = f.evaluate(*to_device(point), ("grad", "kron"), seed=3)
    close(together["grad"], f.value_and_grad(*point)[1])
    close(together["kron"].diagonal(), f.kron(*point, seed=3).diagonal())
    here = f.kron(*point, kind="exact", corrected=corrected)
    there = f.kron(*to_device(point), kind="exact", corrected=corrected)
    for name, factor in here.factors.items():
        assert isinstance(there.factors[name].A, cupy.ndarray)
        close(there.factors[name].A, factor.A)
        close(there.factors[name].G, factor.G)
    close(there.diagonal(), here.diagonal())
    close(there @ to_device(v[0]), here @ v[0])
    close(there.solve(to_device(v), 0.1), here.solve(v, 0.1))
    close(there.solve(to_device(v), 0.1, pi=False), here.solve(v, 0.1, pi=False))
    assert abs(there.logdet(0.1) - here.logdet(0.1)) < 1e-9 * abs(here.logdet(0.1))
