"""The optimizer of paper 000 as its published code runs it, on arrays and the engine's products.

The code departs from the paper's text: the diagonal is Hutchinson's, d = z * (H z) with a Gaussian
probe for each variable by itself, and bias corrections stay those of the first step for ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import hesscore as hc
from hesscore._arrays import module_of


class PublishedAdam:
    """Adam with d^2 for g^2; `step` and `run` are those of `hc.Optimizer`, as far as needed."""

    def __init__(
        self, f: hc.Objective, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
        eps: float = 1e-4, seed: int = 0,
    ) -> None:  # fmt: skip
        self.f, self.lr, self.beta1, self.beta2, self.eps = f, lr, beta1, beta2, eps
        self.rng = np.random.default_rng(seed)
        self.m: Any = None
        self.u: Any = None

    def step(self, w: Any, x: Any, y: Any) -> None:
        xp = module_of(w)
        if self.m is None:
            self.m, self.u = xp.zeros(w.shape, w.dtype), xp.zeros(w.shape, w.dtype)
        change = self.f.value_and_grad(w, x, y)[1]
        change -= self.m
        change *= 1 - self.beta1
        self.m += change
        d = self.diagonal(w, x, y)
        d *= d
        d -= self.u
        d *= 1 - self.beta2
        self.u += d
        d = xp.sqrt(self.u)
        d *= (1 - self.beta2) ** -0.5
        d += self.eps
        change = self.m / d
        change *= self.lr / (1 - self.beta1)
        w -= change

    def diagonal(self, w: Any, x: Any, y: Any) -> Any:
        """Estimate the diagonal of each tensor's own block of the Hessian."""
        z = module_of(w).asarray(self.rng.standard_normal(len(w), dtype=np.float32))
        layout = list(self.f.layout.values())
        probes = module_of(w).zeros((len(layout), len(w)), w.dtype)
        parts = [slice(first, first + int(np.prod(shape))) for first, shape in layout]
        for row, part in zip(probes, parts, strict=True):
            row[part] = z[part]
        products = self.f.hvp(w, x, y, probes)
        for row, part in zip(products, parts, strict=True):
            z[part] *= row[part]
        return z

    def run(
        self, w: Any, x: dict[str, Any], y: Any, batch_size: int, epochs: int, first_epoch: int,
        shuffle_seed: int, progress: bool,
    ) -> None:  # fmt: skip
        xp = module_of(w)
        for epoch in range(first_epoch, first_epoch + epochs):
            order = np.random.default_rng((shuffle_seed, epoch)).permutation(len(y))
            for first in range(0, len(y), batch_size):
                at = xp.asarray(order[first : first + batch_size])
                self.step(w, {name: part[at] for name, part in x.items()}, y[at])
