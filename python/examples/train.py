"""Train with a curvature diagonal and with Gauss-Newton steps, on the CPU or on a GPU.

python train.py [--cuda]
"""

from data import accuracy, array_module, digits, perceptron

import hesscore as hc

xp = array_module(__doc__)
x, y, x_test, y_test = digits(xp)
f = perceptron()

# Small batches: Adam's second moment from the HesScale diagonal.
w = xp.asarray(f.init(seed=0))
opt = hc.Optimizer(f, "adahesscale", lr=lambda step: 1e-2 * 0.998**step)
opt.run(w, x, y, batch_size=64, epochs=10, shuffle_seed=0)
print(f"adahesscale: test accuracy {accuracy(f, w, x_test, y_test):.3f}")

# Large batches: Gauss-Newton steps by conjugate gradients; the damping finds itself.
w = xp.asarray(f.init(seed=0))
opt = hc.Optimizer(f, "gauss_newton", damping=1.0)
for _ in range(15):
    info = opt.step(w, x, y)
    print(
        f"gauss_newton {info.step}: loss {info.loss:.4f}, damping {info.damping:.3g}, "
        f"{info.iterations} CG iterations"
    )
print(f"gauss_newton: test accuracy {accuracy(f, w, x_test, y_test):.3f}")
