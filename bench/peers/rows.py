"""What is measured: one row for each quantity, with its title and how exact it has to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """How one side computes one quantity.

    `prepare` does what need be done once, such as a linearisation, and returns the call that is
    timed; it may be called again. `answer` makes a flat array of what the call returns; None where
    that is a matter of chance.
    """

    prepare: Callable[[], Callable[[], object]]
    answer: Callable[..., np.ndarray] | None = None


#: Name -> title, in the order of all tables.
LABELS = {
    "gradient": "gradient",
    "gradient, channels last": "gradient, channels last",
    "adam_step": "Adam step",
    "adahesscale_step": "AdaHesScale step",
    "adahessian_step": "AdaHessian step",
    "hesscale": "gradient + HesScale",
    "hesscale_gn": "gradient + HesScale-GN",
    "bl89": "gradient + BL89",
    "ggn": "gradient + GGN diagonal",
    "ggn_mc": "gradient + GGN-MC diagonal",
    "hessian": "gradient + Hessian diagonal",
    "hutchinson": "gradient + Hutchinson's diagonal",
    "per_sample_grads": "gradients of single samples",
    "grad_moments": "their moments and norms",
    "kfac": "gradient + Kronecker factors",
    "hvp": "Hessian-vector product",
    "hvp, linearised once": "Hessian product, linearised once",
    "ggnvp": "GGN-vector product, linearised once",
    "ggnvp, linearised anew": "GGN-vector product",
    "cg50": "50 CG iterations on the GGN",
    "lanczos": "100 Lanczos steps on the Hessian",
    "probes": "Hessian's trace from 32 probes",
    "products": "32 Hessian products",
}

#: Relative error up to which a float32 answer counts as right.
EXACT = {
    **dict.fromkeys(("gradient", "gradient, channels last", "per_sample_grads"), 1e-5),
    **dict.fromkeys(("hesscale", "hesscale_gn", "bl89", "ggn", "hessian", "grad_moments"), 1e-4),
    **dict.fromkeys(("hvp", "hvp, linearised once", "ggnvp", "ggnvp, linearised anew"), 1e-4),
    **{"kfac": 1e-4, "adam_step": 1e-3, "adahesscale_step": 1e-3, "cg50": 1e-3, "lanczos": 1e-3},
}
#: Where rounding decides whether a rectifier of thousands is open, answers of float32 differ.
WITH_KINKS = 1000

#: Column -> title, in the order of all tables.
SIDES = {
    "hesscore": "hesscore",
    "torch": "PyTorch",
    "backpack": "BackPACK",
    "func": "torch.func",
    "compile": "torch.compile",
    "curvlinops": "curvlinops",
    "pyhessian": "PyHessian",
    "hesscale": "HesScale",
    "jax": "JAX",
}


def tolerance(row: str, is_kinked: bool) -> float:
    """Tell how far an answer in float32 may be from the one in float64, relative to its norm."""
    return EXACT[row] * (WITH_KINKS if is_kinked else 1)
