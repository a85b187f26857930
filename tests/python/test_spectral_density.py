"""Spectral densities against exact spectra: of random matrices and of small networks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigvalsh

import hesscore as hc
import problems

N = 80


def matrix(eigenvalues, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))
    return (q * eigenvalues) @ q.T


def smoothed(eigenvalues, x, width):
    z = (x[:, None] - eigenvalues) / width
    return np.exp(-0.5 * z**2).mean(axis=1) / (width * np.sqrt(2 * np.pi))


def small_network():
    f = problems.mlp(4, 6, 3)
    return f, f.hessian(*problems.batch(f, 30, 4, classes=3))


SPECTRA = {
    "uniform": np.linspace(-1, 2, N),
    "clusters": np.r_[np.full(N // 2, -1.0), np.full(N // 4, 0.5), np.linspace(2, 3, N // 4)],
    "outliers": np.r_[np.random.default_rng(0).normal(size=N - 3), 10, 20, 40],
    "semicircle": eigvalsh((lambda g: (g + g.T) / np.sqrt(8 * N))(
        np.random.default_rng(1).normal(size=(N, N)))),
}  # fmt: skip


@pytest.mark.statistics
@pytest.mark.parametrize("name", SPECTRA)
def test_density_of_exact_spectra(name):
    """All eigenvalues are found by n steps; what is left is the noise of the probes."""
    exact = SPECTRA[name]
    s = hc.spectral_density(matrix(exact), samples=100, steps=N)
    width = (exact.max() - exact.min()) / 30
    x, density, error = s.density(200, width)
    assert density.sum() * (x[1] - x[0]) == pytest.approx(1, abs=2e-4)
    known = smoothed(exact, x, width)
    assert np.max(np.abs(density - known) / (error + 1e-4 * known.max())) < 5
    told = np.sqrt(np.mean(error**2))
    assert 0.3 < np.sqrt(np.mean((density - known) ** 2)) / told < 2
    np.testing.assert_allclose(s.extent, (exact.min(), exact.max()), rtol=1e-9)


@pytest.mark.parametrize("name", SPECTRA)
def test_few_steps_suffice_for_a_wide_gaussian(name):
    exact = SPECTRA[name]
    a, width = matrix(exact), (exact.max() - exact.min()) / 8
    x, few, _ = hc.spectral_density(a, samples=5, steps=30).density(100, width)
    _, all_, _ = hc.spectral_density(a, samples=5, steps=N).density(x, width)
    np.testing.assert_allclose(few, all_, atol=1e-3 * all_.max())


def test_weights_are_those_of_the_first_components():
    """One probe: its own spectral measure, moment for moment. Wrong weights, such as 1 / steps or
    the squares of last components, have neither.
    """
    a = matrix(SPECTRA["outliers"])
    s = hc.spectral_density(a, samples=3, steps=10)
    np.testing.assert_allclose(s.weights.sum(axis=1), 1, rtol=1e-12)
    assert (s.weights >= 0).all()
    z = hc._core.probes(-1, "float64", 0).rows(N, 0, 3)
    for k in range(3):
        v, moments = z[k], []
        for _ in range(20):
            moments.append(z[k] @ v / N)
            v = a @ v
        got = [np.sum(s.weights[k] * s.nodes[k] ** p) for p in range(20)]  # exact to 2 steps - 1
        np.testing.assert_allclose(got, moments, rtol=1e-8)
        even = [np.mean(s.nodes[k] ** p) for p in range(4)]
        assert not np.allclose(even, moments[:4], rtol=0.1)


@pytest.mark.statistics
def test_moments_and_traces_are_calibrated():
    exact = SPECTRA["outliers"] + 45
    a, functions = matrix(exact), {"log": np.log, "inverse": lambda t: 1 / t, "root": np.sqrt}
    found = [hc.spectral_density(a, samples=6, steps=30, seed=s) for s in range(200)]
    for name, function in functions.items():
        estimates = [s.trace(function) for s in found]
        errors = np.array([float(e) for e in estimates]) - function(exact).sum()
        told = np.sqrt(np.mean([e.standard_error**2 for e in estimates]))
        assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(200), name
        assert 0.8 < np.sqrt(np.mean(errors**2)) / told < 1.25, name
    for order in (1, 2, 3):
        errors = np.array([float(s.moment(order)) for s in found]) - np.mean(exact**order)
        assert abs(errors.mean()) < 5 * errors.std() / np.sqrt(200), order
    assert float(found[0].moment(0)) == pytest.approx(1)
    logs = found[0].log_determinant()
    assert abs(float(logs) - np.log(exact).sum()) < 5 * logs.standard_error
    assert float(found[0].log_determinant(3.0)) > float(logs)


@pytest.mark.parametrize("kind", ["hessian", "ggn"])
def test_networks_and_their_layers(kind):
    f = problems.mlp(4, 6, 3)
    a = getattr(f, kind)(*problems.batch(f, 30, 4, classes=3))
    for operator in (a, a.block("0.weight"), a.block("2.bias")):
        exact = np.linalg.eigvalsh(operator.dense())
        s = hc.spectral_density(operator, samples=60, steps=len(exact))
        width = (exact[-1] - exact[0]) / 20
        x, density, error = s.density(100, width)
        known = smoothed(exact, x, width)
        assert np.max(np.abs(density - known) / (error + 1e-3 * known.max())) < 5
        assert s.extent[1] == pytest.approx(exact[-1], rel=1e-8)


def test_single_precision():
    f = problems.mlp(4, 16, 3)
    a = f.ggn(*problems.batch(f, 30, 4, classes=3, dtype="float32"))
    exact = np.linalg.eigvalsh(a.dense().astype(float))
    s = hc.spectral_density(a, samples=50, steps=40)
    assert s.extent[1] == pytest.approx(exact[-1], rel=1e-5)
    e = s.trace(lambda t: t)
    assert abs(float(e) - exact.sum()) < 5 * e.standard_error


def test_invariant_subspaces_end_runs():
    """Three distinct eigenvalues need three steps; further nodes are NaN without weight."""
    exact = np.repeat([1.0, 2.0, 5.0], [20, 10, 10])
    s = hc.spectral_density(matrix(exact), samples=4, steps=12)
    assert (np.count_nonzero(s.weights > 1e-12, axis=1) == 3).all()
    assert np.isnan(s.nodes[s.weights == 0]).all()
    assert float(s.moment(1)) == pytest.approx(float(s.trace(lambda t: t)) / 40)
    s = hc.spectral_density(matrix(exact), samples=300, steps=12)
    shares = [s.weights[np.abs(s.nodes - t) < 1e-3].sum() / 300 for t in (1, 2, 5)]
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], atol=0.03)
    x, density, _ = hc.spectral_density(np.eye(5), samples=2, steps=3).density()
    assert x[np.argmax(density)] == pytest.approx(1, abs=1e-3)


def test_blocks_of_probes_do_not_matter(monkeypatch):
    a = matrix(SPECTRA["uniform"])
    together = hc.spectral_density(a, samples=5, steps=10)
    monkeypatch.setattr("hesscore.estimators.spectrum._BASIS_ELEMENTS", 1)
    alone = hc.spectral_density(a, samples=5, steps=10)
    np.testing.assert_allclose(alone.nodes, together.nodes, rtol=1e-12)
    np.testing.assert_allclose(alone.weights, together.weights, rtol=1e-9)
    assert alone.products == together.products == 50


def test_callables_and_the_cap_on_steps():
    a = matrix(SPECTRA["uniform"])
    s = hc.spectral_density(lambda v: a @ v, samples=2, steps=500, n=N)
    assert s.nodes.shape == (2, N)
    np.testing.assert_allclose(s.extent, (-1, 2), rtol=1e-9)
    assert repr(s) == f"SpectralDensity(n={N}, samples=2, steps={N}, extent=(-1, 2))"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: hc.spectral_density(a, samples=0), hc.OptionError, "samples: .* >= 1"),
        (lambda a: hc.spectral_density(a, steps=0), hc.OptionError, "steps: .* >= 1"),
        (lambda a: hc.spectral_density(a[:2]), hc.ShapeError, "A: expected a square matrix"),
        (lambda a: hc.spectral_density(a * np.nan), hc.NonFiniteError, "A: expected finite"),
        (lambda a: hc.spectral_density(a).density(width=0), hc.OptionError, "width: .* positive"),
        (lambda a: hc.spectral_density(a).density(1), hc.OptionError, "points: .* >= 2"),
        (lambda a: hc.spectral_density(-a).log_determinant(), hc.OptionError, "positive definite"),
        (
            lambda a: hc.spectral_density(a - a).trace(np.log),
            hc.NonFiniteError,
            "function: .* at 0",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        call(np.diag(np.arange(1.0, 6)))
