"""Diagonals of Hessians of dense networks: estimates, their errors, and a recursion in arrays.

The recursion states HesScale and the published code's reading of Becker & LeCun anew, independently
of the engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import hesscore as hc
from hesscore._arrays import module_of

HESSCALE, HESSCALE_GN, BL89 = "HesScale", "HesScaleGN", "BL89"
GGN, MC, MC50 = "Gauss-Newton, exact", "Gauss-Newton, 1 label", "Gauss-Newton, 50 labels"
HUTCHINSON, HUTCHINSON50 = "Hutchinson, 1 probe", "Hutchinson, 50 probes"
ADAHESSIAN = "AdaHessian, 1 probe"
BUG50, BUG89 = "published AdaHess_50 (a bug)", "published BL89 (a bug)"
SQUARES, ZERO = "squared gradients", "zero"
LABELS = (
    HESSCALE, HESSCALE_GN, BL89, GGN, MC, MC50, HUTCHINSON, ADAHESSIAN, HUTCHINSON50, BUG50, BUG89,
    SQUARES, ZERO,
)  # fmt: skip
KINDS = {
    "hesscale": HESSCALE, "hesscale_gn": HESSCALE_GN, "bl89": BL89, "ggn": GGN, "ggn_mc": MC,
    "hutchinson": HUTCHINSON, "empirical_fisher": SQUARES,
}  # fmt: skip


def estimates(f: hc.Objective, w: Any, x: Any, y: Any, seed: int) -> tuple[Any, dict[str, Any]]:
    """Compute the exact diagonal of the Hessian and every estimate of it."""
    one = f.evaluate(w, x, y, ("hessian", *KINDS), 1, seed)
    many = f.evaluate(w, x, y, ("ggn_mc", "hutchinson"), 50, seed + 1)
    found = {label: one[kind] for kind, label in KINDS.items()}
    found[MC50], found[HUTCHINSON50] = many["ggn_mc"], many["hutchinson"]
    found[ADAHESSIAN] = abs(one["hutchinson"])
    found[BUG50] = found[ADAHESSIAN] / 50  # 50 samples are concatenated, the first of them divided
    found[BUG89] = recursion(f, w, x, y, output="none")
    found[ZERO] = 0 * w
    return one["hessian"], found


def recursion(f: hc.Objective, w: Any, x: Any, y: Any, output: str = "softmax") -> Any:
    """HesScale of a dense network with softmax cross-entropy, layer by layer in arrays.

    `output` is where it starts: "softmax", p - p^2; "bl89", the softmax taken element-wise; "none",
    zero, which is what the published code's BL89 does.
    """
    xp, views = module_of(w), f.views(w)
    names = sorted({int(name.split(".")[0]) for name in views})
    relu = any(isinstance(layer, hc.ReLU) for layer in getattr(f.net, "layers", ()))
    inputs, h, a = [], x, x
    for k in names:
        inputs.append(h)
        a = h @ views[f"{k}.weight"].T + views[f"{k}.bias"]
        h = xp.maximum(a, 0) if relu else xp.tanh(a)
    p = xp.exp(a - a.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    true = (y[:, None] == xp.arange(p.shape[1])) * 1.0
    e = (p - true) / len(p)
    start = {"softmax": 1 - p, "bl89": true * (1 - p), "none": 0 * p}
    d = p * start[output] / len(p)
    found: dict[str, Any] = {}
    for k, h in zip(reversed(names), reversed(inputs), strict=True):
        found[f"{k}.weight"], found[f"{k}.bias"] = d.T @ h**2, d.sum(axis=0)
        weight = views[f"{k}.weight"]
        c, r = d @ weight**2, e @ weight
        first = (h > 0) * 1.0 if relu else 1 - h * h
        second = 0.0 if relu else -2 * h * first
        d, e = first**2 * c + second * r, first * r
    return f.flatten(found)


class Errors:
    """Sums over samples: of |estimate - exact| for each estimate, and of |exact|."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = dict.fromkeys(LABELS, 0.0)
        self.exact: Any = 0.0

    def add(self, exact: Any, found: dict[str, Any]) -> None:
        self.exact = self.exact + abs(exact).sum()
        for label in LABELS:
            self.sums[label] = self.sums[label] + abs(found[label] - exact).sum()

    def relative(self) -> dict[str, float]:
        """Return the sum of errors over that of the exact diagonal's magnitudes."""
        return {label: float(total) / float(self.exact) for label, total in self.sums.items()}


def last_layer(f: hc.Objective) -> slice:
    """Tell where the parameters of the last layer lie."""
    first = min(offset for name, (offset, _) in f.layout.items() if name.split(".")[0] == _last(f))
    return slice(first, f.num_params)


def _last(f: hc.Objective) -> str:
    return str(max(int(name.split(".")[0]) for name in f.layout))


def random_problem(
    sizes: tuple[int, ...], activation: Any, batch: int, seed: int, xp: Any
) -> tuple[hc.Objective, Any, Any, Any]:
    """Make a dense network, its default parameters, normal inputs and random labels."""
    f = hc.Objective(hc.models.mlp(*sizes, activation=activation), hc.CrossEntropyLoss())
    rng = np.random.default_rng(seed)
    x = xp.asarray(rng.standard_normal((batch, sizes[0])))
    y = xp.asarray(rng.integers(0, sizes[-1], batch))
    return f, f.init(seed, dtype="float64", xp=xp), x, y
