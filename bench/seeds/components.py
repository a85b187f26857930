"""Components of the Hessian along the gradient, layer by layer: exact, and by the chain rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import hesscore as hc

from .settings import to_host

TOGETHER = 8  # directions that share a pass


@dataclass
class Components:
    """Of each weight, one number for each draw: ``h / |g|^2`` and ``a / |g|^2``.

    The component h is ``g' H g``, exact; the chain rule's is ``a = g' G g``.
    """

    exact: dict[str, list[float]] = field(default_factory=dict)
    rule: dict[str, list[float]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(self.exact)

    def error(self, name: str) -> np.ndarray:
        """Return ``|a - h| / |g|^2``, the paper's "relative error"."""
        return np.abs(np.array(self.rule[name]) - np.array(self.exact[name]))

    def relative(self, name: str) -> np.ndarray:
        """Return ``|a - h| / |h|``."""
        return self.error(name) / np.abs(self.exact[name])

    def form(self, name: str) -> np.ndarray:
        """Return ``h / |g|^2``, the paper's "init hessian"."""
        return np.array(self.exact[name])


def weights(f: hc.Objective) -> list[str]:
    """Return the names of all weights: tensors of two axes or more."""
    return [name for name, (_, shape) in f.layout.items() if len(shape) > 1]


def measure(
    f: hc.Objective, points: Sequence[Callable[[], Any]], x: Any, y: Any,
    tick: Callable[[], object], train: Any = False, rule: bool = True,
) -> Components:  # fmt: skip
    """Measure all weights' components at each point, of which each is drawn when it is needed."""
    found = Components()
    for point in points:
        w = point()
        _, g = f.value_and_grad(w, x, y, train=train)
        views = f.views(g)
        for name in weights(f):  # unit directions: squares of a small gradient would be too small
            norm = float(to_host((views[name].astype("float64") ** 2).sum())) ** 0.5
            views[name] /= norm if norm > 0 else 1.0
        for kind, into in (("hessian", found.exact), ("ggn", found.rule)):
            if kind == "hessian" or rule:
                for name, value in _forms(f, w, x, y, g, kind, train).items():
                    into.setdefault(name, []).append(value)
        tick()
    return found


def _forms(
    f: hc.Objective, w: Any, x: Any, y: Any, g: Any, kind: Any, train: Any
) -> dict[str, float]:
    """Compute the quadratic form of each weight's own block along its part of g."""
    forms: dict[str, float] = {}
    layout, names = f.layout, weights(f)
    for start in range(0, len(names), TOGETHER):
        part = names[start : start + TOGETHER]
        directions = hc._arrays.module_of(g).zeros((len(part), len(g)), g.dtype)
        for row, name in zip(directions, part, strict=True):
            first, shape = layout[name]
            at = slice(first, first + int(np.prod(shape)))
            row[at] = g[at]
        values = to_host(f.quadratic_form(w, x, y, directions, kind, train=train))
        forms |= dict(zip(part, values.tolist(), strict=True))
    return forms
