"""Sampled curvatures: unbiased at five standard errors, with the variance that theory gives."""

from __future__ import annotations

import numpy as np
import pytest

from oracle import Reference, Spec, random_graph
from oracle.build import objective

pytestmark = pytest.mark.statistics

LIKELIHOODS = ("CrossEntropyLoss", "MSELoss", "BCEWithLogitsLoss", "PoissonNLLLoss")
REPEATS = 200


def problem(seed):
    spec = random_graph(seed)
    reference = Reference(spec)
    data, f = reference.data, objective(spec)
    x = data.x if len(data.x) > 1 else data.x["x"]
    kw = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    return f, (data.w, x, data.y), kw, reference


def likelihood_seeds(count):
    seeds = (s for s in range(20_000, 30_000) if random_graph(s).loss["name"] in LIKELIHOODS)
    return [next(seeds) for _ in range(count)]


def unbiased(estimates, exact):
    """Is the mean of the rows within five standard errors, element by element?"""
    mean = estimates.mean(0)
    error = estimates.std(0, ddof=1) / np.sqrt(len(estimates))
    tiny = 1e-9 * max(np.abs(exact).max(), 1e-6)
    worst = (np.abs(mean - exact) / (5 * error + tiny)).max()
    assert worst <= 1, f"{5 * worst:.1f} standard errors"


@pytest.mark.parametrize("seed", range(20))
def test_hutchinson_is_unbiased(seed):
    f, point, kw, reference = problem(seed)
    draws = [f.diag(*point, kind="hutchinson", samples=4, seed=s, **kw) for s in range(REPEATS)]
    unbiased(np.array(draws), np.diag(reference.hessian))


@pytest.mark.parametrize("samples", [1, 10])
def test_hutchinson_variance(samples):
    f, point, kw, reference = problem(3)
    draws = np.array(
        [f.diag(*point, kind="hutchinson", samples=samples, seed=s, **kw) for s in range(600)]
    )
    h = reference.hessian
    theory = ((h**2).sum() - (np.diag(h) ** 2).sum()) / samples
    assert draws.var(0, ddof=1).sum() == pytest.approx(theory, rel=0.2)


@pytest.mark.parametrize("seed", likelihood_seeds(20))
def test_sampled_ggn_diagonal_is_unbiased(seed):
    f, point, kw, reference = problem(seed)
    draws = [f.diag(*point, kind="ggn_mc", samples=4, seed=s, **kw) for s in range(REPEATS)]
    unbiased(np.array(draws), np.diag(reference.ggn))


@pytest.mark.parametrize("seed", likelihood_seeds(10))
def test_sampled_fisher_product_is_unbiased(seed):
    f, point, kw, reference = problem(seed)
    v = np.random.default_rng(seed).normal(size=f.num_params)
    draws = [f.fishervp(*point, v, kind="mc", samples=4, seed=s, **kw) for s in range(REPEATS)]
    unbiased(np.array(draws), reference.ggn @ v)


def test_more_samples_mean_less_variance_and_the_same_mean():
    spec = Spec(
        9, 7, {"x": (5,)}, {"name": "CrossEntropyLoss"}, (),
        (("linear", {"out": 6}), ("act", {"name": "Tanh"}), ("linear", {"out": 4})),
    )  # fmt: skip
    reference, f = Reference(spec), objective(spec)
    point = reference.data.w, reference.data.x["x"], reference.data.y
    for kind, matrix in (("ggn_mc", reference.ggn), ("hutchinson", reference.hessian)):
        one, many = (
            np.array([f.diag(*point, kind=kind, samples=n, seed=s) for s in range(300)])
            for n in (1, 25)
        )
        ratio = one.var(0).sum() / many.var(0).sum()
        assert ratio == pytest.approx(25, rel=0.3), kind
        unbiased(many, np.diag(matrix))


def test_same_seed_same_bits():
    f, point, kw, _ = problem(5)
    v = np.ones(f.num_params)
    for kind in ("hutchinson", "ggn_mc"):
        a, b, c = (f.diag(*point, kind=kind, samples=3, seed=s, **kw) for s in (7, 7, 8))
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    a, b = (f.fishervp(*point, v, kind="mc", samples=3, seed=7, **kw) for _ in range(2))
    np.testing.assert_array_equal(a, b)
