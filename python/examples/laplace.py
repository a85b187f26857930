"""Say how sure a network is: a Laplace approximation over its last layer.

The posterior of the last layer is a Gaussian around its trained weights, its precision N times the
layer's Gauss-Newton block (exact here) plus the prior's. Probabilities are those of outputs scaled
by their variance (MacKay 1992; Daxberger et al. 2021).

python laplace.py [--cuda]
"""

import numpy as np
from data import accuracy, array_module, digits, perceptron

import hesscore as hc

PRIOR = 1.0  # precision of the weights

xp = array_module(__doc__)
x, y, x_test, y_test = digits(xp)
f = perceptron()
w = xp.asarray(f.init(seed=0))
hc.Optimizer(f, "adam", lr=3e-3, weight_decay=PRIOR / len(x)).run(
    w, x, y, batch_size=64, epochs=30, shuffle_seed=0
)

last = ["4.weight", "4.bias"]
block = f.ggn(w, x, y).block(last).dense().astype("float64")
precision = len(x) * block + PRIOR * xp.eye(len(block))
covariance = xp.linalg.inv(precision)


def probabilities(inputs):
    """Compute the softmax of the outputs, and of the outputs shrunk by their variance."""
    z = f.predict(w, inputs).astype("float64")
    # Outputs are linear in the last layer: their Jacobian is the last hidden layer, class by class.
    jacobian = f.jacobian(w, inputs).block(slice(None), last).dense().reshape(*z.shape, -1)
    variance = xp.einsum("nci,ij,ncj->nc", jacobian, covariance, jacobian)
    plain, scaled = z, z / xp.sqrt(1 + np.pi / 8 * variance)
    return [xp.exp(a - a.max(1)[:, None]) for a in (plain, scaled)]


print(f"test accuracy {accuracy(f, w, x_test, y_test):.3f}")
noise = xp.asarray(np.random.default_rng(0).random((256, 64), dtype="float32"))
for name, inputs in (("digits", x_test), ("noise", noise)):
    for how, p in zip(("trained", "Laplace"), probabilities(inputs), strict=True):
        sure = float((p.max(1) / p.sum(1)).mean())
        print(f"{name}: mean confidence of the {how} network {sure:.3f}")
