"""Replica steps on quadratics and restated in arrays, against the engine's."""

from __future__ import annotations

from typing import Any

import numpy as np

import hesscore as hc
from hesscore._arrays import module_of

from .report import Report
from .settings import Settings, to_host

SIZE, RTOL = 20, 1e-2


def check_quadratics(report: Report, settings: Settings) -> None:
    """The inverse on the span, the identity beside it, Newton's step, and the poster's formula."""
    rng, span, beside, literal = np.random.default_rng(0), [], [], []
    for replicas in (2, 4, 8):
        for indefinite in (False, True):
            H = _matrix(rng, indefinite)
            W = rng.standard_normal((replicas, SIZE))
            W -= W.mean(axis=0)
            G = W @ H
            basis = np.linalg.svd(G)[2]
            inside = rng.standard_normal(replicas) @ G
            outside = rng.standard_normal(SIZE - replicas + 1) @ basis[replicas - 1 :]
            exact = np.linalg.solve(H, inside)
            span.append(_apart(_inverse(W, G, inside, settings), exact))
            beside.append(_apart(_inverse(W, G, outside, settings), outside))
            z = inside + outside
            literal.append(_apart(_as_printed(W, G, z), exact + outside))
    H = _matrix(rng, False)
    w, minimum = rng.standard_normal((2, SIZE))
    points = w + rng.standard_normal((SIZE + 1, SIZE))
    W, G = points - points.mean(axis=0), (points - points.mean(axis=0)) @ H
    newton = _apart(w - _inverse(W, G, H @ (w - minimum), settings), minimum)
    for text, worst, bound in (
        ("the replicas' inverse is that of H on their span", max(span), 1e-10),
        ("beside the span it is the identity", max(beside), 1e-12),
        ("one replica more than parameters gives Newton's step", newton, 1e-8),
    ):
        report.check(text, worst < bound, f"at most {worst:.1e} apart, {SIZE} parameters, float64")
    table = report.table("quadratics: error over the result's length, largest")
    table.add("as corrected", max(*span, *beside), 3e-14)
    table.add("singular values as printed (not their roots)", max(literal), 1.3)
    report.claim(
        "the poster's formula gives the inverse on the span",
        max(literal) < 1e-6,
        f"as printed it is {min(literal):.2g} to {max(literal):.2g} off; with the square roots of "
        f"the eigenvalues and one direction less {max(span):.0e}",
    )


def check_steps(report: Report, f: hc.Objective, x: Any, y: Any, settings: Settings) -> None:
    """Steps of the paired form against the same in arrays, from gradients of the engine."""
    apart = []
    for replicas, span_step in ((2, 1.0), (4, 1.0), (8, 0.01)):
        w = f.init(0, dtype="float64", xp=settings.xp)
        v = w.copy()
        opt = hc.Optimizer(f, "replica_newton", lr=0.01, replicas=replicas, span_step=span_step)
        for _ in range(5):
            opt.step(w, x, y)
            v -= paired_step(f, v, x, y, 0.01, replicas, span_step)
        apart.append(_apart(to_host(w), to_host(v)))
    report.check("the engine's steps are those of arrays", max(apart) < 1e-8,
                 f"at most {max(apart):.1e} apart after 5 steps, float64")  # fmt: skip


def paired_step(
    f: hc.Objective, w: Any, x: Any, y: Any, lr: float, replicas: int, span_step: float
) -> Any:
    """Return what a step takes off w: secants of each shard, uncentred."""
    xp = module_of(w)
    rows = np.array_split(np.arange(len(y)), replicas)
    shards = [(x[k[0] : k[-1] + 1], y[k[0] : k[-1] + 1]) for k in rows]
    g = xp.stack([f.value_and_grad(w, *shard)[1] for shard in shards])
    W = -lr * g
    moved = zip(W, shards, strict=True)
    G = xp.stack([f.value_and_grad(w + step, *shard)[1] for step, shard in moved]) - g
    z = xp.asarray([len(k) / len(y) for k in rows]) @ g
    squares, V = np.linalg.eigh(to_host(G @ G.T))
    keep = squares > RTOL**2 * squares[-1]
    c = xp.asarray(V[:, keep] @ ((V[:, keep].T @ to_host(G @ z)) / squares[keep]))
    newton = c @ W
    if float(newton @ z) <= 0:
        return lr * z
    return lr * (z - c @ G) + span_step * newton


def _matrix(rng: np.random.Generator, indefinite: bool) -> np.ndarray:
    q = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
    values = np.geomspace(0.5, 50, SIZE)
    values[::3] *= -1 if indefinite else 1
    return (q * values) @ q.T


def _inverse(W: np.ndarray, G: np.ndarray, z: np.ndarray, settings: Settings) -> np.ndarray:
    put = settings.put
    return to_host(hc.replica_inverse(put(W), put(G), put(z), rtol=1e-6)[0])


def _as_printed(W: np.ndarray, G: np.ndarray, z: np.ndarray) -> np.ndarray:
    """z_perp + sum_m (u_m'z) W v_m / sigma_m with sigma_m the eigenvalue of the Gram matrix."""
    squares, V = np.linalg.eigh(G @ G.T)
    U = [G.T @ v / np.linalg.norm(G.T @ v) for v in V.T[1:]]  # the first one is null
    parts = zip(U, squares[1:], V.T[1:], strict=True)
    return z - sum((u @ z) * u for u in U) + sum((u @ z) / s * (W.T @ v) for u, s, v in parts)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
