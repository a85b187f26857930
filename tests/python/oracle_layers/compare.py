"""Every quantity of the engine against JAX and the recursion, for one problem of any layers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import hesscore as hc
from oracle.compare import EXACT_DIAGONALS, RTOL, Mismatch, of_samples, relative_error

from . import build, recursion
from .jax_net import JaxReference
from .shapes import NORMS
from .spec import AllData, Net, Spec, make_data

OWN_GRADIENTS = ("ggn", "ggn_mc", "empirical_fisher")  # squares of each sample's own gradients
OF_SAMPLES = (*OWN_GRADIENTS, "per_sample_grads", "grad_moments")


def check(spec: Spec, dtype: str = "float64", reference: JaxReference | None = None) -> float:
    """Compare all quantities; raise Mismatch with the first few that differ. Worst error."""
    net = Net(spec)
    data = make_data(spec, net, dtype)
    reference = reference or JaxReference(spec, data)
    f = build.objective(spec, data)
    if f.num_params != net.num_params:
        raise Mismatch(f"num_params {f.num_params} instead of {net.num_params}")
    shapes = [tuple(shape) for _, shape in f.layout.values()]
    if shapes != net.shapes:
        raise Mismatch(f"layout {shapes} instead of {net.shapes}")
    tol, slack = RTOL[dtype], 1e-3
    if dtype == "float32":
        slack = 1.0
        tol *= math.sqrt(_longest(net, spec.batch)) * 4 ** sum(n.kind in NORMS for n in net.nodes)
    worst, wrong = 0.0, []
    for name, got, expected, scale in quantities(f, spec, data, reference):
        if not isinstance(got, float) and got.dtype != data.w.dtype:
            wrong.append(f"{name}: {got.dtype} instead of {data.w.dtype}")
        error = relative_error(got, expected, slack * scale)
        worst = max(worst, error / tol)
        if not error <= tol:
            wrong.append(f"{name}: relative error {error:.2e} > {tol:.1e}")
    wrong += refusals(f, spec, net, data)
    if wrong:
        raise Mismatch("; ".join(wrong[:6]))
    return worst


def _longest(net: Net, batch: int) -> int:
    """Terms of the longest sum: a parameter's gradient, over positions and samples."""
    return batch * max(math.prod(n.shape) for n in net.nodes)


def quantities(f, spec: Spec, data: AllData, ref: JaxReference) -> Iterator:
    """(name, from the engine, from the reference, magnitude of the summands)."""
    w, y = data.w, data.y
    x = data.x if len(data.x) > 1 else next(iter(data.x.values()))
    on: dict = {"train": True} if spec.train else {}
    kw = on if data.sample_weight is None else {**on, "sample_weight": data.sample_weight}
    rng = np.random.default_rng(spec.seed + 1)
    vs = rng.normal(size=(3, len(w))).astype(w.dtype)
    us = rng.normal(size=(2, *ref.z.shape)).astype(w.dtype)
    v, u = vs[0], us[0]
    jac = float(np.linalg.norm(ref.jacobian))
    if any(n.kind in NORMS for n in Net(spec).nodes):
        jac = max(jac, 1.0)  # the mean of what was normalised is zero, but for its rounding
    curved = float(np.abs(ref.hessian).sum())
    bent = float(np.abs(ref.seed.h).max()) * jac**2  # of J' H_L J before its terms cancel

    yield "loss", f.loss(w, x, y, **kw), ref.loss, 1.0
    yield "predict", f.predict(w, x, **on), ref.z, 1.0
    loss, grad = f.value_and_grad(w, x, y, **kw)
    yield "value", loss, ref.loss, 1.0
    yield "grad", grad, ref.grad, float(np.abs(ref.seed.g).max()) * jac
    yield "jvp", f.jvp(w, x, v, **on), ref.jvp(v), jac * float(np.linalg.norm(v))
    yield "jvp (K, P)", f.jvp(w, x, vs, **on), np.stack([ref.jvp(v) for v in vs]), 3 * jac
    yield "vjp", f.vjp(w, x, u, **on), ref.vjp(u), jac
    yield "vjp (K, N, ...)", f.vjp(w, x, us, **on), np.stack([ref.vjp(u) for u in us]), 2 * jac
    products = {"hvp": (f.hvp, ref.hessian), "ggnvp": (f.ggnvp, ref.ggn),
                "fishervp": (_empirical(f.fishervp), ref.fisher)}  # fmt: skip
    for name, (call, matrix) in products.items():
        size = max(bent, curved) * float(np.linalg.norm(v))
        yield name, call(w, x, y, v, **kw), matrix @ v, size
        yield f"{name} (K, P)", call(w, x, y, vs, **kw), vs @ matrix, size
    for kind, matrix in (("hessian", ref.hessian), ("ggn", ref.ggn)):
        forms = f.quadratic_form(w, x, y, vs, kind, **kw).astype(w.dtype)
        size = max(bent, curved) * float(np.linalg.norm(vs)) ** 2
        yield f"quadratic_form {kind}", forms, np.einsum("kp,pq,kq->k", vs, matrix, vs), size
    if not Net(spec).couples_samples():
        slope = float(np.abs(ref.seed.g).max()) * spec.batch
        yield from of_samples(f, (w, x, y), kw, ref.rows, slope * jac)
    for kind in EXACT_DIAGONALS:
        if kind in OWN_GRADIENTS and Net(spec).couples_samples():
            continue
        expected = expected_diagonal(spec, data, ref, kind)
        scale = float(np.abs(expected).sum())
        if kind not in OWN_GRADIENTS:
            scale = max(scale, curved, bent)
        yield f"diag {kind}", f.diag(w, x, y, kind=kind, **kw), expected, scale


def expected_diagonal(spec, data, ref: JaxReference, kind: str) -> np.ndarray:
    """The reference of ``f.diag``."""
    if kind == "ggn":
        return np.diag(ref.ggn)
    if kind == "empirical_fisher":
        return np.diag(ref.fisher)
    if kind == "hessian":
        return np.diag(ref.hessian)
    return recursion.diagonal(spec, kind, data)[1]


def _empirical(fishervp):
    return lambda *args, **kw: fishervp(*args, kind="empirical", **kw)


def refusals(f, spec: Spec, net: Net, data: AllData) -> list[str]:
    """Quantities that need each sample's own gradient, where samples share statistics."""
    coupled, wrong = net.couples_samples(), []
    x = data.x if len(data.x) > 1 else next(iter(data.x.values()))
    for kind in OF_SAMPLES if coupled else ():
        try:
            f.evaluate(data.w, x, data.y, kind, train=spec.train)
        except hc.UnsupportedError as error:
            layers = len({n.parameters[0][0] if n.parameters else id(n) for n in coupled})
            if str(error).count("BatchNorm") < layers:
                wrong.append(f"{kind}: not all layers are named in: {error}")
        else:
            wrong.append(f"{kind}: not refused")
    return wrong
