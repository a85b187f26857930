"""Take the learning rate of gradient descent from the largest eigenvalue of the Hessian.

Steps up to 2 / lambda_max are stable (LeCun, Simard & Pearlmutter 1993); the eigenvalue is asked
for again as training goes on.

python learning_rate.py [--cuda]
"""

from data import accuracy, array_module, digits, perceptron

import hesscore as hc

xp = array_module(__doc__)
x, y, x_test, y_test = digits(xp)
f = perceptron()


def largest(w):
    """Compute the largest eigenvalue of the Hessian of the whole training loss."""
    return float(hc.eigsh(f.hessian(w, x, y), k=1, which="LA")[0][0])


for factor in (0.5, 1.0, 1.5, 4.0):
    w = xp.asarray(f.init(seed=0))
    rate = factor / largest(w)
    opt = hc.Optimizer(f, "sgd", lr=lambda step: rate)  # noqa: B023
    for step in range(200):
        if step % 10 == 0:
            rate = factor / largest(w)
        loss = opt.step(w, x, y).loss
    print(
        f"lr = {factor} / lambda_max: loss {loss:.4f}, last lr {rate:.3f}, "
        f"test accuracy {accuracy(f, w, x_test, y_test):.3f}"
    )
