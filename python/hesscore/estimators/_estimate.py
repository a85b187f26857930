"""What an estimator returns: a value, how far off it may be, and what it cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import NonFiniteError


class Estimate:
    """A stochastic estimate and its standard error.

    ``float(estimate)`` is the value, where that is one number.

    Attributes
    ----------
    value : float or (n,) array
        The estimate.
    standard_error : float or (n,) array
        Estimated standard deviation of `value` over seeds, element by element; NaN where one sample
        cannot tell it. The estimator's docstring says how it is computed.
    samples : int
        Random vectors drawn.
    products : int
        Products with vectors made.
    method : str
        The estimator.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> hc.trace(np.diag([1.0, 2.0, 4.0]), samples=4)
    Estimate(7 +- 0, hutchinson: samples=4, products=4)
    """

    def __init__(
        self, value: Any, standard_error: Any, samples: int, products: int, method: str
    ) -> None:
        self.value = value
        self.standard_error = standard_error
        self.samples = samples
        self.products = products
        self.method = method

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        shape = getattr(self.value, "shape", ())
        known = f"{self.value:.6g} +- {self.standard_error:.2g}" if not shape else f"shape={shape}"
        counts = f"samples={self.samples}, products={self.products}"
        return f"Estimate({known}, {self.method}: {counts})"


def mean_of(values: Any, name: str = "A") -> tuple[float, float]:
    """Mean of independent numbers, and its standard error ``s / sqrt(m)``."""
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise NonFiniteError.about(name, "finite products", values[~np.isfinite(values)][0])
    m = len(values)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(m)) if m > 1 else float("nan")
