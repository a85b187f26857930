"""Trust-region steps against dense solutions by eigendecomposition."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems


def symmetric(values, seed=0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(len(values), len(values))))
    a = (q * values) @ q.T
    return (a + a.T) / 2, q


def model(a, g, s):
    return g @ s + s @ a @ s / 2


def dense_minimum(a, g, radius):
    """The least value of the model: by bisection for the multiplier in the eigenbasis."""
    d, q = np.linalg.eigh(a)
    c = q.T @ g
    least = max(0.0, -d[0])

    def step(multiplier):
        below = d + multiplier
        safe = np.where(np.abs(below) < 1e-13 * np.abs(d).max(), np.inf, below)
        return -c / safe

    if d[0] > 0 and np.linalg.norm(step(0)) <= radius:
        return model(a, g, q @ step(0))
    low, high = least, least + np.linalg.norm(g) / radius + 1
    for _ in range(200):
        middle = (low + high) / 2
        if np.linalg.norm(step(middle)) > radius:
            low = middle
        else:
            high = middle
    y = step(high)
    if high - least < 1e-6:  # the hard case, or nearly: what y[0] is follows from the radius
        y[0] = np.copysign(np.sqrt(max(radius**2 - y[1:] @ y[1:], 0)), y[0])
    return model(a, g, q @ y)


def check(a, g, radius, **options):
    s, report = hc.trust_region(a, g, radius, rtol=1e-10, **options)
    best, scale = dense_minimum(a, g, radius), np.abs(np.linalg.eigvalsh(a)).max() * radius**2
    assert np.linalg.norm(s) <= radius * (1 + 1e-12)
    assert model(a, g, s) <= best + 1e-9 * max(abs(best), scale)
    assert report.decrease == pytest.approx(-model(a, g, s), abs=1e-11 * max(abs(best), scale))
    assert report.converged
    assert report.on_boundary == (np.linalg.norm(s) > radius * (1 - 1e-9))
    left = (a + report.multiplier * np.eye(len(g))) @ s + g
    assert report.residual == pytest.approx(np.linalg.norm(left), abs=1e-9 * (1 + scale))
    if not report.on_boundary:
        assert report.multiplier == 0
    least = np.linalg.eigvalsh(a)[0]
    assert report.multiplier >= -least - 1e-6 * np.abs(a).max()
    return s, report


@pytest.mark.parametrize("radius", [1e-6, 1e-2, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("kind", ["definite", "indefinite", "clustered", "semidefinite"])
def test_random_problems(kind, radius, rng):
    values = {
        "definite": rng.uniform(0.1, 5, 40),
        "indefinite": rng.normal(size=40),
        "clustered": np.repeat([-1.0, 2.0, 3.0, 5.0], 10) + 1e-8 * rng.normal(size=40),
        "semidefinite": np.r_[np.zeros(10), rng.uniform(0.1, 5, 30)],
    }[kind]
    for seed in range(3):
        a, _ = symmetric(values, seed)
        check(a, np.random.default_rng(seed).normal(size=40), radius)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("radius", [0.5, 10.0, 1e3])
def test_hard_case(copies, radius, rng):
    values = np.r_[np.full(copies, -2.0), rng.uniform(-1.5, 4, 40 - copies)]
    a, q = symmetric(values)
    g = rng.normal(size=40)
    g -= q[:, :copies] @ (q[:, :copies].T @ g)
    _, report = check(a, g, radius)
    assert report.hard_case == (radius > 1)
    g += 1e-9 * q[:, 0]  # nearly
    check(a, g, radius)


def test_hard_case_where_the_krylov_space_ends_at_once():
    for n in (2, 3, 8):
        a = np.diag(np.r_[4.0, np.full(n - 1, -3.0)])
        g = np.eye(n)[0]
        s, report = check(a, g, 2.0)
        assert report.hard_case and report.multiplier == pytest.approx(3)
        assert s[0] == pytest.approx(-1 / 7)
        s, report = hc.trust_region(a, g, 2.0, hard_case=False)
        assert not report.hard_case and s[1:].any() == 0


def test_zero_gradient():
    a = np.diag([1.0, -3.0, 2.0])
    s, report = hc.trust_region(a, np.zeros(3), 2.0)
    assert abs(s[1]) == pytest.approx(2) and report.hard_case
    assert report.decrease == pytest.approx(6) and report.multiplier == pytest.approx(3)
    s, report = hc.trust_region(np.eye(3), np.zeros(3), 2.0)
    assert not s.any() and not report.on_boundary
    s, report = hc.trust_region(a, np.zeros(3), 2.0, method="steihaug")
    assert not s.any() and report.converged


def test_singular_systems(rng):
    a = np.diag(np.r_[np.zeros(3), np.ones(5)])
    g = np.r_[np.zeros(3), rng.normal(size=5)]
    s, report = check(a, g, 100.0)
    assert not report.on_boundary
    np.testing.assert_allclose(s[3:], -g[3:], atol=1e-9)
    g[0] = 1.0
    assert check(a, g, 100.0)[1].on_boundary


@pytest.mark.parametrize("method", ["gltr", "steihaug"])
def test_preconditioners_change_the_norm(method, rng):
    scale = np.geomspace(0.01, 100, 30)
    a = symmetric(rng.uniform(-1, 2, 30))[0] * np.outer(scale, scale)
    g = rng.normal(size=30) * scale
    m = 1 / scale**2
    s, report = hc.trust_region(a, g, 0.7, M=m, method=method, rtol=1e-10)
    assert np.sqrt(s @ (s / m)) == pytest.approx(0.7) and report.on_boundary
    assert report.decrease == pytest.approx(-model(a, g, s), rel=1e-8)
    scaled = a / np.outer(scale, scale)
    best = dense_minimum(scaled, g / scale, 0.7)
    if method == "gltr":
        assert model(a, g, s) == pytest.approx(best, rel=1e-9)
    else:
        assert best <= model(a, g, s) <= best / 2


def test_steihaug_is_cg_inside_and_stops_at_the_boundary(rng):
    a, _ = symmetric(rng.uniform(0.5, 5, 40))
    g = rng.normal(size=40)
    s, report = hc.trust_region(a, g, 1e3, method="steihaug", rtol=1e-11)
    assert report.converged and not report.on_boundary
    np.testing.assert_allclose(s, -np.linalg.solve(a, g), atol=1e-9)
    inside = np.linalg.norm(s)
    for fraction in (1e-3, 0.3, 0.9):
        s, report = hc.trust_region(a, g, fraction * inside, method="steihaug", rtol=1e-11)
        assert report.status == "boundary"
        assert np.linalg.norm(s) == pytest.approx(fraction * inside, rel=1e-12)
        assert report.decrease == pytest.approx(-model(a, g, s), rel=1e-10)
        # at least half of the best decrease (Yuan 2000)
        assert report.decrease >= 0.5 * -dense_minimum(a, g, fraction * inside)
    s, report = hc.trust_region(-a, g, 2.0, method="steihaug")
    assert report.status == "negative_curvature" and report.on_boundary
    np.testing.assert_allclose(s, -2 * g / np.linalg.norm(g), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hessians_of_networks(dtype):
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 12, 4, classes=3)
    w, x = w.astype(dtype), x.astype(dtype)
    H, g = f.hessian(w, x, y), f.value_and_grad(w, x, y)[1]
    s, report = hc.trust_region(H, g, 0.5)
    assert s.dtype == dtype and report.on_boundary
    best = dense_minimum(H.dense().astype(float), g.astype(float), 0.5)
    assert report.decrease == pytest.approx(-best, rel=1e-4 if dtype == "float32" else 1e-9)


def test_a_small_basis_is_an_outcome(rng):
    a, _ = symmetric(np.geomspace(1e-3, 1, 60))
    _, report = hc.trust_region(a, rng.normal(size=60), 1e3, maxiter=4, hard_case=False)
    assert report.status == "max_iterations" and report.iterations == 4 and report.decrease > 0


def test_bad_input():
    eye, g = np.eye(3), np.ones(3)
    for options, error, name in (
        ({"radius": 0.0}, hc.OptionError, "radius"),
        ({"radius": np.inf}, hc.OptionError, "radius"),
        ({"radius": 1.0, "method": "dogleg"}, hc.OptionError, "method"),
        ({"radius": 1.0, "rtol": -1.0}, hc.OptionError, "rtol"),
        ({"radius": 1.0, "M": eye}, hc.OptionError, "M"),
        ({"radius": 1.0, "maxiter": 0}, hc.OptionError, "maxiter"),
        ({"radius": 1.0, "hard_case": 2}, hc.OptionError, "hard_case"),
    ):
        with pytest.raises(error, match=name):
            hc.trust_region(eye, g, **options)
    with pytest.raises(hc.ShapeError, match="A"):
        hc.trust_region(eye, np.ones(4), 1.0)
    with pytest.raises(hc.NonFiniteError, match="g"):
        hc.trust_region(eye, np.full(3, np.nan), 1.0)
    broken = np.full((3, 3), np.nan)
    s, report = hc.trust_region(broken, g, 1.0)
    assert report.status == "breakdown" and not s.any()
