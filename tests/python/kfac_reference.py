"""KFAC in NumPy: what the engine's steps are held against (Martens & Grosse 2015)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

SHRINK, EVERY = 0.95**5, 5


class Dense:
    """A tanh network with cross-entropy, differentiated by hand."""

    def __init__(self, *sizes):
        self.sizes, self.blocks, at = sizes, [], 0
        for n, m in pairwise(sizes):
            weight = at + np.arange(m * n).reshape(m, n)
            bias = at + m * n + np.arange(m)[:, None]
            self.blocks.append(np.hstack([weight, bias]))
            at += m * (n + 1)

    def forward(self, w, x):
        inputs, h = [], x
        for k, block in enumerate(self.blocks):
            inputs.append(np.hstack([h, np.ones((len(h), 1))]))
            z = inputs[-1] @ w[block].T
            h = np.tanh(z) if k < len(self.blocks) - 1 else z
        p = np.exp(h - h.max(1, keepdims=True))
        return inputs, p / p.sum(1, keepdims=True)

    def loss(self, w, x, y):
        return -np.log(self.forward(w, x)[1][np.arange(len(y)), y]).mean()

    def adjoints(self, w, inputs, seed):
        """Of every layer's output, from `seed` at the last one."""
        found = [seed]
        for k in range(len(self.blocks) - 1, 0, -1):
            seed = (seed @ w[self.blocks[k]][:, :-1]) * (1 - inputs[k][:, :-1] ** 2)
            found.append(seed)
        return found[::-1]

    def deposit(self, w, inputs, seed):
        g = np.zeros_like(w)
        for block, x, e in zip(self.blocks, inputs, self.adjoints(w, inputs, seed), strict=True):
            g[block] = e.T @ x
        return g

    def gradient(self, w, x, y):
        inputs, p = self.forward(w, x)
        return self.deposit(w, inputs, (p - np.eye(p.shape[1])[y]) / len(y))

    def ggnvp(self, w, x, y, v):
        inputs, p = self.forward(w, x)
        tangent = np.zeros_like(x)
        for k, block in enumerate(self.blocks):
            full = np.hstack([tangent, np.zeros((len(x), 1))])
            tangent = inputs[k] @ v[block].T + full @ w[block].T
            if k < len(self.blocks) - 1:
                tangent *= 1 - inputs[k + 1][:, :-1] ** 2
        seed = p * (tangent - (p * tangent).sum(1, keepdims=True))
        return self.deposit(w, inputs, seed / len(y))

    def factors(self, w, x, y, kind, step):
        inputs, p = self.forward(w, x)
        n, labels = len(x), np.eye(p.shape[1])
        if kind == "empirical":
            seeds = [p - labels[y]]
        else:  # the expectation over labels
            seeds = [np.sqrt(p[:, [c]]) * (p - labels[c]) for c in range(p.shape[1])]
        a = [x.T @ x / n for x in inputs]
        g = [np.zeros((m, m)) for m in self.sizes[1:]]
        for seed in seeds:
            for k, e in enumerate(self.adjoints(w, inputs, seed / np.sqrt(n))):
                g[k] += e.T @ e
        return list(zip(self.blocks, a, g, strict=True))


class Engine:
    """Any network, differentiated by the engine, whose factors are tested elsewhere."""

    def __init__(self, f):
        self.f = f
        self.loss, self.ggnvp = f.loss, f.ggnvp

    def gradient(self, w, x, y):
        return self.f.value_and_grad(w, x, y)[1]

    def factors(self, w, x, y, kind, step):
        K = self.f.kron(w, x, y, kind=kind, seed=step_seed(step))
        blocks, at = [], 0
        for a, g in K.factors.values():
            rows, columns = len(g), len(a)
            if columns == 1:
                index = at + np.arange(rows)[:, None]
            else:
                weight = at + np.arange(rows * (columns - 1)).reshape(rows, -1)
                index = np.hstack([weight, at + weight.size + np.arange(rows)[:, None]])
            blocks.append((index, a, g))
            at += index.size
        assert at == len(w)
        return blocks


def step_seed(step):
    """Of the labels: SplitMix64's finaliser."""
    mask = 2**64 - 1
    z = (step + 1) * 0x9E3779B97F4A7C15 & mask
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    return (z ^ (z >> 31)) >> 1


def inverse(factor, damping):
    _, a, g = factor
    pi = np.sqrt(np.trace(a) / len(a) / (np.trace(g) / len(g)))
    root = np.sqrt(damping)
    return (np.linalg.inv(g + root / pi * np.eye(len(g))),
            np.linalg.inv(a + root * pi * np.eye(len(a))))  # fmt: skip


def kfac(net, w, batches, lr=1.0, damping=1.0, damping_rule="lm", momentum="adaptive",
         weight_decay=0.0, kl_clip=0.0, kind="exact", factor_ema=0.95, interval=1,
         inverse_interval=20):  # fmt: skip
    """Yield (w, loss, damping, rho) of every step."""
    averages, inverses = [], []
    last = np.zeros_like(w)
    for t, (x, y) in enumerate(batches):
        rate = lr(t) if callable(lr) else lr
        if damping_rule == "constant":
            now = damping(t) if callable(damping) else damping
        else:
            now = damping if t == 0 else now
        shift = now + weight_decay
        loss, g = net.loss(w, x, y), net.gradient(w, x, y) + weight_decay * w
        if t % interval == 0:
            k = t // interval + 1
            e = min(1 - 1 / k, factor_ema)
            fresh = net.factors(w, x, y, kind, t)
            averages = [(i, e * a0 + (1 - e) * a, e * g0 + (1 - e) * g1)
                        for (i, a, g1), (_, a0, g0) in zip(fresh, averages or fresh,
                                                           strict=True)]  # fmt: skip
        if t < 3 or t % inverse_interval == 0:
            inverses = [inverse(factor, shift) for factor in averages]
        d = np.empty_like(w)
        for (index, _, _), (left, right) in zip(averages, inverses, strict=True):
            d[index] = -left @ g[index] @ right

        def product(v, w=w, x=x, y=y, shift=shift):
            return net.ggnvp(w, x, y, v) + shift * v

        def clipped(rate, d=d, g=g):
            return min(1.0, np.sqrt(kl_clip / (rate**2 * abs(d @ g)))) if kl_clip else 1.0

        if momentum == "adaptive":
            basis = np.stack([d, last] if last.any() else [d])
            B = basis @ np.stack([product(v) for v in basis]).T
            c = -np.linalg.solve(B, basis @ g)
            delta = last = rate * clipped(rate * c[0]) * c @ basis
        else:
            last = clipped(rate) * d + momentum * last
            delta = rate * last
        rho = 0.0
        if damping_rule == "lm" and (t + 1) % EVERY == 0:
            foretold = g @ delta + delta @ product(delta) / 2
            after = net.loss(w + delta, x, y) + weight_decay / 2 * np.sum((w + delta) ** 2)
            rho = (after - loss - weight_decay / 2 * np.sum(w**2)) / foretold
        w = w + delta
        yield w, loss, now, rho
        if rho:
            now *= SHRINK if rho > 0.75 else 1 / SHRINK if rho < 0.25 else 1.0
