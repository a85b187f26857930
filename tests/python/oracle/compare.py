"""Every quantity of the engine against the reference, for one problem."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from . import build, recursion
from .reference import Reference
from .spec import Data, Net, Spec, make_data

RTOL = {"float64": 1e-10, "float32": 32 * float(np.finfo(np.float32).eps)}
EXACT_DIAGONALS = ("hesscale", "hesscale_gn", "bl89", "ggn", "empirical_fisher", "hessian")


class Mismatch(AssertionError):
    """A quantity that differs from its reference."""


def relative_error(got, expected, scale: float = 0.0) -> float:
    """Norm-wise relative error; ``scale`` is the size of the terms that were summed."""
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected)
    if got.shape != expected.shape:
        raise Mismatch(f"shape {got.shape} instead of {expected.shape}")
    size = max(float(np.linalg.norm(expected.ravel())), scale, 1e-12)
    return float(np.linalg.norm((got - expected).ravel())) / size


def check(spec: Spec, dtype: str = "float64") -> float:
    """Compare all quantities; raise Mismatch with the first few that differ. Worst error."""
    net = Net(spec)
    data = make_data(spec, net, dtype)
    reference = Reference(spec, _as_float64(data))
    f = build.objective(spec)
    if f.num_params != net.num_params:
        raise Mismatch(f"num_params {f.num_params} instead of {net.num_params}")
    shapes = [tuple(shape) for _, shape in f.layout.values()]
    if shapes != net.shapes:
        raise Mismatch(f"layout {shapes} instead of {net.shapes}")
    tol, slack = RTOL[dtype], 1e-3
    if dtype == "float32":
        slack = 1.0
        longest = max(n.shape[-1] for n in net.nodes)
        longest = max(longest, spec.batch * math.prod(net.output.shape))
        tol *= math.sqrt(longest)
    worst, wrong = 0.0, []
    for name, got, expected, scale in quantities(f, spec, data, reference):
        if not isinstance(got, float) and got.dtype != data.w.dtype:
            wrong.append(f"{name}: {got.dtype} instead of {data.w.dtype}")
        error = relative_error(got, expected, slack * scale)
        worst = max(worst, error / tol)
        if not error <= tol:
            wrong.append(f"{name}: relative error {error:.2e} > {tol:.1e}")
    if wrong:
        raise Mismatch("; ".join(wrong[:6]))
    return worst


def _as_float64(data: Data) -> Data:
    def up(a):
        return a if a is None or a.dtype == np.int64 else a.astype(np.float64)

    return Data(up(data.w), {k: up(v) for k, v in data.x.items()}, up(data.y),
                up(data.sample_weight))  # fmt: skip


def quantities(f, spec: Spec, data: Data, ref: Reference) -> Iterator:
    """(name, from the engine, from the reference, magnitude of the summands)."""
    w, y = data.w, data.y
    x = data.x if len(data.x) > 1 else next(iter(data.x.values()))
    kw = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    rng = np.random.default_rng(spec.seed + 1)
    vs = rng.normal(size=(3, len(w))).astype(w.dtype)
    u = rng.normal(size=ref.z.shape).astype(w.dtype)
    v = vs[0]
    jac = float(np.linalg.norm(ref.jacobian))
    curved = float(np.abs(ref.hessian).sum())
    bent = float(np.abs(ref.seed.h).max()) * jac**2  # of J' H_L J before its terms cancel

    yield "loss", f.loss(w, x, y, **kw), ref.loss, 1.0
    yield "predict", f.predict(w, x), ref.z, 1.0
    loss, grad = f.value_and_grad(w, x, y, **kw)
    yield "value", loss, ref.loss, 1.0
    yield "grad", grad, ref.grad, float(np.abs(ref.seed.g).max()) * jac
    us = rng.normal(size=(2, *ref.z.shape)).astype(w.dtype)
    yield "jvp", f.jvp(w, x, v), ref.jvp(v), jac * float(np.linalg.norm(v))
    yield "jvp (K, P)", f.jvp(w, x, vs), np.stack([ref.jvp(v) for v in vs]), 3 * jac
    yield "vjp", f.vjp(w, x, u), ref.vjp(u), jac
    yield "vjp (K, N, ...)", f.vjp(w, x, us), np.stack([ref.vjp(u) for u in us]), 2 * jac
    products = {
        "hvp": (f.hvp, ref.hessian),
        "ggnvp": (f.ggnvp, ref.ggn),
        "fishervp": (_empirical(f.fishervp), ref.fisher),
    }
    for name, (call, matrix) in products.items():
        size = max(bent, curved) * float(np.linalg.norm(v))
        yield name, call(w, x, y, v, **kw), matrix @ v, size
        yield f"{name} (K, P)", call(w, x, y, vs, **kw), vs @ matrix, size
    slope = float(np.abs(ref.seed.g).max()) * spec.batch
    yield from of_samples(f, (w, x, y), kw, ref.rows, slope * jac)
    for kind in EXACT_DIAGONALS:
        expected = expected_diagonal(spec, data, ref, kind)
        scale = float(np.abs(expected).sum())
        if kind.startswith("hes") or kind == "bl89":
            scale = max(scale, curved, bent)
        yield f"diag {kind}", f.diag(w, x, y, kind=kind, **kw), expected, scale


def of_samples(f, point, kw, rows, scale: float) -> Iterator:
    """Gradients of single samples, their moments and norms, as `quantities` gives them."""
    yield "per_sample_grads", f.per_sample_grads(*point, **kw), rows, scale
    moments = f.grad_moments(*point, **kw)
    yield "mean of rows", moments["mean"], rows.mean(0), scale
    yield "second moment", moments["second_moment"], (rows**2).mean(0), scale**2
    yield "variance", moments["variance"], rows.var(0), scale**2
    yield "norms", moments["norms"], np.linalg.norm(rows, axis=1), scale


def expected_diagonal(spec, data, ref: Reference, kind: str) -> np.ndarray:
    """The reference of ``f.diag``."""
    if kind == "ggn":
        return np.diag(ref.ggn)
    if kind == "empirical_fisher":
        return np.diag(ref.fisher)
    if kind == "hessian":
        return np.diag(ref.hessian)
    return recursion.diagonal(spec, kind, _as_float64(data))[1]


def _empirical(fishervp):
    return lambda *args, **kw: fishervp(*args, kind="empirical", **kw)
