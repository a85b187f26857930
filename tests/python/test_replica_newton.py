"""Quasi-Newton from replicas: the algebra on quadratics, and steps against NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import hesscore as hc
import problems


def quadratic(rng, n, indefinite=False):
    """A symmetric matrix with eigenvalues from 0.5 to 50, some of them negative if indefinite."""
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    values = np.geomspace(0.5, 50, n)
    if indefinite:
        values[::3] *= -1
    return (q * values) @ q.T


def centred(a):
    return a - a.mean(0)


# ---- the inverse -----------------------------------------------------------------------------


@pytest.mark.parametrize("indefinite", [False, True])
@pytest.mark.parametrize("centring", [False, True])
@pytest.mark.parametrize("replicas", [1, 2, 4, 8, 15])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-3)])
def test_inverse_on_the_span_and_identity_beside_it(
    rng, replicas, centring, indefinite, dtype, tolerance
):
    n = 20
    for _ in range(20):
        H = quadratic(rng, n, indefinite)
        W = rng.normal(size=(replicas, n))
        W = centred(W) if centring else W
        G = W @ H
        rank = replicas - centring
        inside = rng.normal(size=replicas) @ G
        basis = np.linalg.svd(G)[2]
        outside = rng.normal(size=n - rank) @ basis[rank:]

        def apply(z, W=W, G=G):
            x, report = hc.replica_inverse(*(a.astype(dtype) for a in (W, G, z)), rtol=1e-5)
            assert x.dtype == dtype
            return x, report

        if rank:
            x, report = apply(inside)
            expected = np.linalg.solve(H, inside)
            assert np.linalg.norm(x - expected) <= tolerance * np.linalg.norm(expected)
            assert report.slope == pytest.approx(inside @ expected, rel=max(tolerance, 1e-9))
            assert report.rank == rank
        x, report = apply(outside)
        exact = 1e-12 if dtype == "float64" else tolerance
        assert np.linalg.norm(x - outside) <= exact * np.linalg.norm(outside)
        z = rng.normal(size=n)
        dense = z + (W - G).T @ np.linalg.pinv(G.T, rcond=1e-5) @ z
        np.testing.assert_allclose(apply(z)[0], dense, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("indefinite", [False, True])
def test_one_replica_more_than_parameters_is_newton(rng, indefinite):
    for n in (3, 10, 20):
        H = quadratic(rng, n, indefinite)
        minimum, w = rng.normal(size=n), rng.normal(size=n)
        replicas = w + rng.normal(size=(n + 1, n))
        W, G = centred(replicas), centred((replicas - minimum) @ H)
        x, report = hc.replica_inverse(W, G, H @ (w - minimum), rtol=1e-7)
        np.testing.assert_allclose(w - x, minimum, rtol=0, atol=1e-8)
        assert report.rank == n
        assert report.eigenvalue == pytest.approx(np.linalg.eigvalsh(H)[-1], rel=1e-8)


def test_ritz_values_are_those_of_the_span(rng):
    H = quadratic(rng, 20)
    W = rng.normal(size=(4, 20))
    q = np.linalg.qr(W.T)[0]
    _, report = hc.replica_inverse(W, W @ H, W[0])
    assert report.eigenvalue == pytest.approx(np.linalg.eigvalsh(q.T @ H @ q)[-1], rel=1e-12)
    assert report.eigenvalue < np.linalg.eigvalsh(H)[-1]


def test_directions_below_the_tolerance_are_dropped(rng):
    """A singular value of 0.005 of the largest one counts for rtol = 1e-3 and not for 1e-2."""
    n = 6
    W = np.eye(n)[:2]
    G = W * np.array([[1.0], [0.005]])
    z = rng.normal(size=n)
    for rtol, second in ((1e-3, 200.0), (1e-2, 1.0)):
        x, report = hc.replica_inverse(W, G, z, rtol=rtol)
        np.testing.assert_allclose(x, z * ([1, second] + [1] * 4), rtol=1e-12)
        assert report.rank == 1 + (rtol < 0.005)
    x, report = hc.replica_inverse(0 * W, 0 * G, z, rtol=0.0)
    assert (x == z).all() and report == (0, 0.0, 0.0)
    twice = np.concatenate([W, W])
    x, report = hc.replica_inverse(twice, 2 * twice, z, rtol=0.0)
    np.testing.assert_allclose(x, z * ([0.5] * 2 + [1] * 4), rtol=1e-12)


def test_bad_arguments():
    W, z = np.ones((2, 3)), np.ones(3)
    cases = [
        ((W, W[:1], z), hc.ShapeError, "G"),
        ((W[:, :2], W, z), hc.ShapeError, "W"),
        ((z, z, z), hc.ShapeError, "W"),
        ((W, W, W), hc.ShapeError, "z"),
        ((W.astype("f4"), W, z), hc.DTypeError, "W"),
        ((W, W * np.nan, z), hc.NonFiniteError, "G"),
        ((W[:0], W[:0], z), hc.ShapeError, "W"),
    ]
    for arguments, error, name in cases:
        with pytest.raises(error, match=name):
            hc.replica_inverse(*arguments)
    for rtol in (-1.0, np.nan, "x"):
        with pytest.raises(hc.OptionError, match="rtol"):
            hc.replica_inverse(W, W, z, rtol=rtol)


# ---- the optimizer ---------------------------------------------------------------------------


def shards(n, count):
    sizes = [n // count + (m < n % count) for m in range(count)]
    ends = np.cumsum([0, *sizes])
    return [slice(a, b) for a, b in pairwise(ends)]


class ByHand:
    """The method in NumPy, by singular values of G instead of its Gram matrix."""

    def __init__(
        self, f, lr, replicas, form="paired", span_step=1.0, rtol=1e-2, ritz=False, clip=lambda z: z
    ):
        self.f, self.lr, self.M, self.form = f, lr, replicas, form
        self.span_step, self.rtol, self.ritz = span_step, rtol, ritz
        self.offsets = np.zeros((replicas, f.num_params))
        self.fell_back, self.clip = False, clip

    def grad(self, w, x, y):
        return self.f.value_and_grad(w, x, y)[1]

    def step(self, w, x, y):
        parts = shards(len(x), self.M)
        p = np.array([s.stop - s.start for s in parts]) / len(x)
        at = w + self.offsets if self.form == "carried" else [w] * self.M
        g = np.array([self.grad(v, x[s], y[s]) for v, s in zip(at, parts, strict=True)])
        z = p @ g
        if self.form == "carried":
            W, G = self.offsets, g - z
            self.offsets = -self.lr * G
        else:
            W = -self.lr * g
        if self.form == "paired":
            G = np.array([self.grad(w + v, x[s], y[s]) for v, s in zip(W, parts, strict=True)]) - g
        if self.form == "centred":
            G = np.array([self.grad(w + v, x, y) for v in W])
            W, G = W - p @ W, G - p @ G
        z = self.clip(z)
        left, sizes, right = np.linalg.svd(G, full_matrices=False)
        keep = sizes > self.rtol * sizes[0]
        U = right[keep].T
        P = W.T @ left[:, keep] / sizes[keep]
        lr = 1 / self.eigenvalue(W, G) if self.ritz and self.eigenvalue(W, G) > 0 else self.lr
        newton = P @ (U.T @ z)
        self.fell_back = bool(keep.any() and not newton @ z > 0)
        if newton @ z > 0:
            return w - lr * (z - U @ (U.T @ z)) - self.span_step * newton
        return w - lr * z

    def eigenvalue(self, W, G):
        left, sizes, basis = np.linalg.svd(W, full_matrices=False)
        keep = sizes > self.rtol * sizes[0]
        if not keep.any():
            return 0.0
        T = basis[keep] @ (G.T @ (left[:, keep] / sizes[keep]))
        return np.linalg.eigvalsh((T + T.T) / 2)[-1]


@pytest.mark.parametrize("loss", [None, "sum"])
@pytest.mark.parametrize("options", [{}, {"span_step": 0.05}, {"ritz": True}], ids=str)
@pytest.mark.parametrize("form", ["paired", "centred", "carried"])
@pytest.mark.parametrize("replicas", [1, 2, 3, 7])
def test_fifty_steps_are_those_of_numpy(form, replicas, options, loss):
    f = problems.mlp(5, 6, 3, loss=hc.CrossEntropyLoss(reduction="sum") if loss else None)
    start, x, y = problems.batch(f, 40, 5, classes=3)
    lr = 0.05 / 16 if loss else 0.05
    w, v = start.copy(), start.copy()
    if loss:  # gradients of a summed loss over a shard are scaled up to the batch's
        mean = problems.mlp(5, 6, 3)
        by_hand = Summed(mean, lr, replicas, form, **options)
    else:
        by_hand = ByHand(f, lr, replicas, form, **options)
    opt = hc.Optimizer(f, "replica_newton", lr=lr, replicas=replicas, form=form, **options)
    for k in range(50):
        rows = np.arange(17 * k, 17 * k + 16 + k % 3) % 40
        if "ritz" in options:  # such rates are often too large to stay near a minimum
            w[:] = v = start * (1 + k / 50)
        v = by_hand.step(v, x[rows], y[rows])
        info = opt.step(w, x[rows], y[rows])
        assert info.fell_back == by_hand.fell_back
        np.testing.assert_allclose(w, v, rtol=0, atol=1e-9 * np.abs(v).max())
        assert info.accepted and info.step == k + 1


class Summed(ByHand):
    """A sum over a batch of n is n times the mean; so is a shard's share of it, scaled up."""

    def step(self, w, x, y):
        self.n = len(x)
        return super().step(w, x, y)

    def grad(self, w, x, y):
        return self.n * super().grad(w, x, y)


def least_squares(rng, n, replicas, rows):
    """Shards whose Hessians are the same, while their gradients differ."""
    part = rng.normal(size=(rows, n))
    x = np.tile(part, (replicas, 1))
    f = hc.Objective(hc.Linear(n, 1, bias=False), hc.MSELoss())
    return f, x, rng.normal(size=(replicas * rows, 1))


@pytest.mark.parametrize(("form", "more"), [("paired", 0), ("centred", 1)])
def test_enough_replicas_minimise_a_quadratic_in_one_step(rng, form, more):
    for n in (2, 5, 8):
        f, x, y = least_squares(rng, n, n + more, rows=3 * n)
        w = rng.normal(size=n)
        opt = hc.Optimizer(f, "replica_newton", lr=0.1, replicas=n + more, form=form, rtol=1e-7)
        info = opt.step(w, x, y)
        minimum = np.linalg.lstsq(x, y, rcond=None)[0][:, 0]
        np.testing.assert_allclose(w, minimum, rtol=0, atol=1e-8)
        top = np.linalg.eigvalsh(f.hessian(w, x, y).dense())[-1]
        assert info.eigenvalue == pytest.approx(top, rel=1e-6) and not info.fell_back


def test_the_gradient_replaces_a_step_that_ascends(rng):
    """Along the gradient of a concave function the Newton step would go up."""
    f = hc.Objective(hc.Sequential(hc.Linear(1, 1, bias=False), hc.Sin()), hc.MSELoss())
    x, y = np.full((4, 1), 1.0), np.full((4, 1), -1.0)
    w = np.array([1.2])  # (sin w + 1)^2 is concave there
    h = f.hessian(w, x, y).dense()[0, 0]
    g = f.value_and_grad(w, x, y)[1]
    assert h < 0 < g[0]
    info = hc.Optimizer(f, "replica_newton", lr=1e-3).step(w, x, y)
    assert info.fell_back and info.eigenvalue == pytest.approx(h, rel=0.1)
    np.testing.assert_allclose(w, 1.2 - 1e-3 * g, rtol=1e-12)


def test_shards_are_weighted_like_the_batch(rng):
    """With sample weights, class weights and ignored labels, lr z is the gradient of the batch."""
    loss = hc.CrossEntropyLoss(weight=np.array([1.0, 2.0, 0.5]), ignore_index=1)
    f = problems.mlp(4, 5, 3, loss=loss)
    w, x, y = problems.batch(f, 11, 4, classes=3)
    y[:4] = 1  # the first of three shards counts for nothing
    weight = rng.uniform(0.5, 2, 11)
    g = f.value_and_grad(w, x, y, sample_weight=weight)[1]
    for form in ("paired", "centred", "carried"):
        v = w.copy()
        opt = hc.Optimizer(f, "replica_newton", lr=0.1, replicas=3, form=form, span_step=0.1)
        info = opt.step(v, x, y, sample_weight=weight)
        assert info.loss == pytest.approx(f.loss(w, x, y, sample_weight=weight), rel=1e-12)
        if form == "carried":  # no differences in the first step
            np.testing.assert_allclose(v, w - 0.1 * g, rtol=1e-12, atol=1e-14)
        for _ in range(3):
            opt.step(v, x, y, sample_weight=weight)
        assert np.isfinite(v).all()


def test_running_statistics_follow_the_batch():
    net = hc.Sequential(hc.Linear(4, 6), hc.BatchNorm1d(6), hc.Tanh(), hc.Linear(6, 3))
    f = hc.Objective(net, hc.CrossEntropyLoss())
    w, x, y = problems.batch(f, 12, 4, classes=3)
    f.update_buffers(w, x)
    once = {k: v.copy() for k, v in f.buffers.items()}
    g = hc.Objective(net, hc.CrossEntropyLoss())
    for name, value in g.buffers.items():
        assert not np.array_equal(value, once[name])
    hc.Optimizer(g, "replica_newton", replicas=3).step(w, x, y)
    for name, value in g.buffers.items():
        np.testing.assert_array_equal(value, once[name])


def test_more_replicas_than_samples():
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 11, 4, classes=3)
    before = w.copy()
    opt = hc.Optimizer(f, "replica_newton", replicas=4)
    with pytest.raises(hc.OptionError, match="replicas: expected at most 3"):
        opt.step(w, x[:3], y[:3])
    with pytest.raises(hc.OptionError, match="replicas: expected at most 3"):
        opt.run(w, x, y, batch_size=8, epochs=1, progress=False)
    assert (w == before).all() and opt.state_dict()["step"] == 0
    opt.run(w, x, y, batch_size=6, epochs=2, progress=False)
    assert opt.state_dict()["step"] == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("replicas", 0), ("replicas", 2.5), ("form", "raw"), ("span_step", -1.0), ("rtol", 1.0),
     ("rtol", -0.1), ("lr", np.inf), ("ritz", 1)],
)  # fmt: skip
def test_bad_options(name, value):
    with pytest.raises(hc.OptionError, match=name):
        hc.Optimizer(problems.mlp(4, 5, 3), "replica_newton", **{name: value})
