"""Fits the polynomials of ``cpp/math/approx.hpp``: ``python bench/fit_approx.py``.

Each is a weighted minimax fit (Lawson's iteratively reweighted least squares on Chebyshev nodes,
float64). The coefficients are rounded to float32 from the highest degree down, and the remaining
ones fitted again after each rounding, so that they make up for it.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

Array = np.ndarray
LN2 = float(np.log(2.0))


def minimax(basis: Array, target: Array, weight: Array) -> Array:
    """Coefficients c that minimise max ``|weight * (basis @ c - target)|``."""
    lawson = np.full(len(target), 1.0 / len(target))
    best, best_error = np.zeros(basis.shape[1]), np.inf
    for _ in range(300):
        w = np.sqrt(lawson) * weight
        c = np.linalg.lstsq(basis * w[:, None], target * w, rcond=None)[0]
        error = np.abs(weight * (basis @ c - target))
        if error.max() < best_error:
            best, best_error = c, error.max()
        lawson *= error + 1e-3 * error.max()
        lawson /= lawson.sum()
    return best


def fit(
    name: str,
    degree: int,
    interval: tuple[float, float],
    variable: Callable[[Array], Array],
    target: Callable[[Array], Array],
    weight: Callable[[Array], Array],
) -> None:
    """Prints float32 coefficients, lowest degree first, and the largest weighted error in ulp."""
    low, high = interval
    nodes = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    x = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    powers = np.vander(variable(x), degree + 1, increasing=True)
    y, w = target(x), weight(x)
    coefficients = np.zeros(degree + 1)
    for k in range(degree, -1, -1):
        fixed = powers[:, k + 1 :] @ coefficients[k + 1 :]
        coefficients[k] = np.float32(minimax(powers[:, : k + 1], y - fixed, w)[k])
    error = np.max(np.abs(w * (powers @ coefficients - y)))
    print(f"{name}: {error * 2**24:.3f} ulp")
    print("  " + ", ".join(f"{c:.9g}f" for c in coefficients))


def mills(a: Array) -> Array:
    """``exp(a^2 / 2) Phi(-a)``, Phi the normal distribution function."""
    return 0.5 * special.erfcx(a / np.sqrt(2.0))


def main() -> None:
    half = 0.5 * LN2
    # Taylor's formulas near zero, where the differences below would cancel.
    fit(
        "exp: (e^r - 1 - r) / r^2",
        4,
        (-half, half),
        lambda r: r,
        lambda r: sum(r**k / special.factorial(k + 2) for k in range(20)),
        lambda r: r**2 * np.exp(-r),
    )
    fit(
        "log: (log(1+f) - f + f^2/2) / f^3",
        8,
        (np.sqrt(0.5) - 1, np.sqrt(2.0) - 1),
        lambda f: f,
        lambda f: sum((-f) ** k / (k + 3) for k in range(90)),
        lambda f: np.abs(f**3 / np.log1p(f)),
    )
    fit(
        "tanh: (tanh(x)/x - 1) / x^2",
        4,
        (1e-3, 0.625),
        lambda x: x**2,
        lambda x: (np.tanh(x) / x - 1) / x**2,
        lambda x: x**3 / np.tanh(x),
    )
    fit(
        "sin: (sin(x)/x - 1) / x^2",
        3,
        (1e-2, np.pi / 4),
        lambda x: x**2,
        lambda x: (np.sin(x) / x - 1) / x**2,
        lambda x: x**3 / np.sin(x),
    )
    fit(
        "cos: (cos(x) - 1 + x^2/2) / x^4",
        2,
        (1e-1, np.pi / 4),
        lambda x: x**2,
        lambda x: (-2 * np.sin(x / 2) ** 2 + x**2 / 2) / x**4,
        lambda x: x**4 / np.cos(x),
    )
    fit(
        "normal: (a + 4) exp(a^2/2) Phi(-a), t = (a - 4) / (a + 4)",
        9,
        (0.0, 15.0),
        lambda a: (a - 4) / (a + 4),
        lambda a: (a + 4) * mills(a),
        lambda a: 1 / ((a + 4) * mills(a)),
    )


if __name__ == "__main__":
    main()
