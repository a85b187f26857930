"""Hand gradient and Hessian products to scipy.optimize: parameters are one flat vector.

python scipy_minimize.py
"""

import numpy as np
from data import accuracy, digits
from scipy.optimize import minimize

import hesscore as hc

x, y, x_test, y_test = digits(np)
x = x.astype("float64")  # SciPy iterates in float64
f = hc.Objective(hc.models.mlp(64, 16, 10), hc.CrossEntropyLoss())
w0 = f.init(seed=0, dtype="float64")
DECAY = 1e-3


def value(w):
    """Compute loss and gradient, with a quadratic penalty."""
    loss, g = f.value_and_grad(w, x, y)
    return loss + DECAY / 2 * w @ w, g + DECAY * w


def product(w, v):
    """Multiply the Hessian with v."""
    return f.hvp(w, x, y, v) + DECAY * v


for method, options in (("L-BFGS-B", {}), ("Newton-CG", {"hessp": product})):
    found = minimize(value, w0, jac=True, method=method, options={"maxiter": 60}, **options)
    right = accuracy(f, found.x, x_test.astype("float64"), y_test)
    print(f"{method}: {found.nit} iterations, loss {found.fun:.5f}, test accuracy {right:.3f}")
