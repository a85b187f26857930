"""Checks that a user can run on a problem of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import module_of
from .errors import DTypeError

if TYPE_CHECKING:
    from .objective import Objective


def check_derivatives(
    f: Objective, w: Any, x: Any, y: Any, *, seed: int = 0, eps: float = 1e-5
) -> dict[str, float]:
    """Compare gradient and products with central differences along a random direction.

    Parameters
    ----------
    f : Objective
        The objective.
    w, x, y
        A point in float64, as in `Objective.loss`.
    seed : int
        Seed of the direction.
    eps : float
        Step of the differences.

    Returns
    -------
    dict
        Relative errors of "grad" and "hvp", about 1e-8 where all is well and `f` is smooth, and
        "symmetry", ``|u'Hv - v'Hu|`` over the size of its terms, about 1e-15.

    Raises
    ------
    DTypeError
        `w` is not float64; differences in float32 tell nothing.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Sequential(hc.Linear(3, 4), hc.Tanh()), hc.MSELoss())
    >>> w = f.init(dtype="float64")
    >>> errors = hc.testing.check_derivatives(f, w, np.ones((2, 3)), np.ones((2, 4)))
    >>> max(errors.values()) < 1e-6
    True
    """
    xp = module_of(w)
    w = xp.asarray(w)
    if w.dtype != np.float64:
        raise DTypeError.about("w", "float64", w.dtype)
    rng = np.random.default_rng(seed)
    u, v = xp.asarray(rng.normal(size=(2, f.num_params)))
    (up, g_up), (down, g_down) = (f.value_and_grad(w + s * eps * v, x, y) for s in (1, -1))
    slope, bend = (up - down) / (2 * eps), (g_up - g_down) / (2 * eps)
    grad = f.value_and_grad(w, x, y)[1]
    hu, hv = f.hvp(w, x, y, xp.stack([u, v]))
    size = float(xp.linalg.norm(u) * xp.linalg.norm(hv)) or 1.0
    return {
        "grad": abs(float(grad @ v) - slope) / (abs(slope) or 1.0),
        "hvp": float(xp.linalg.norm(hv - bend) / (xp.linalg.norm(bend) or 1.0)),
        "symmetry": abs(float(u @ hv - v @ hu)) / size,
    }
