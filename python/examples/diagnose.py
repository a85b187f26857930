"""Look at the curvature of a trained network: how sharp it is, and how much is Gauss-Newton.

python diagnose.py [--cuda]      writes diagnose.png
"""

from data import array_module, digits, perceptron

import hesscore as hc

xp = array_module(__doc__)
x, y, *_ = digits(xp)
f = perceptron()
w = xp.asarray(f.init(seed=0))
hc.Optimizer(f, "adam", lr=3e-3).run(w, x, y, batch_size=64, epochs=20, shuffle_seed=0)

H, G = f.hessian(w, x, y), f.ggn(w, x, y)
ends = hc.eigsh(H, k=3, which="BE")[0]
print("extreme eigenvalues of the Hessian:", [round(float(e), 4) for e in ends])
print("trace of the Hessian:", hc.trace(H, samples=32, seed=0))
print("trace of the Gauss-Newton matrix:", hc.trace(G, samples=32, seed=0))

# The same along the gradient, layer by layer: v'Hv, and what the Gauss-Newton matrix misses of it.
exact = f.layer_forms(w, x, y, kind="hessian")
gap = f.layer_forms(w, x, y, kind="gap")
for name, value in exact.items():
    print(f"{name:10} g'Hg {value: .3e}, of which not Gauss-Newton {gap[name]: .3e}")

axes = hc.plot.spectrum(hc.spectral_density(H, seed=0))
axes.figure.savefig("diagnose.png", dpi=150)
print("written: diagnose.png")
