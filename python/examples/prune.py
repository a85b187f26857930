"""Prune a trained network by the saliency h w^2 / 2 of each weight (optimal brain damage).

LeCun, Denker & Solla 1990; h is a curvature diagonal. Pruning by magnitude alone stands beside it.

python prune.py [--cuda]
"""

from data import accuracy, array_module, digits, perceptron

import hesscore as hc

xp = array_module(__doc__)
x, y, x_test, y_test = digits(xp)
f = perceptron()
w = xp.asarray(f.init(seed=0))
hc.Optimizer(f, "adam", lr=3e-3).run(w, x, y, batch_size=64, epochs=30, shuffle_seed=0)
print(f"trained: test accuracy {accuracy(f, w, x_test, y_test):.3f}")

saliencies = {"magnitude": abs(w)}
for kind in ("hesscale", "ggn", "hessian"):
    saliencies[kind] = abs(f.diag(w, x, y, kind=kind)) * w**2 / 2

print("left over  " + "  ".join(f"{name:>9}" for name in saliencies))
for share in (0.4, 0.3, 0.2, 0.15, 0.1):
    row = []
    for saliency in saliencies.values():
        pruned = w.copy()
        pruned[saliency.argsort()[: int((1 - share) * len(w))]] = 0
        row.append(accuracy(f, pruned, x_test, y_test))
    print(f"{share:9.0%}  " + "  ".join(f"{a:9.3f}" for a in row))
