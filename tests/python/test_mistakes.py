"""Mistakes found in other curvature libraries, each as a test that ours does not make it."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems
from oracle import Net, Reference, Spec, make_data
from oracle.build import objective


def test_activation_under_the_loss_keeps_its_second_derivative():
    """With one separable layer HesScale is exact, and without s'' it would not be."""
    f = hc.Objective(hc.Sequential(hc.Linear(4, 3), hc.Sigmoid()), hc.MSELoss(), input_shape=(4,))
    w, x, y = problems.batch(f, 6, 4)
    exact = np.diag(f.hessian(w, x, y).dense())
    np.testing.assert_allclose(f.diag(w, x, y, kind="hesscale"), exact, rtol=1e-11)
    assert not np.allclose(f.diag(w, x, y, kind="hesscale_gn"), exact, rtol=1e-2)


def test_bl89_is_not_zero_for_relu_networks():
    f = problems.mlp(6, 12, 12, 4, activation=hc.ReLU)
    w, x, y = problems.batch(f, 20, 6, classes=4)
    d = f.diag(w, x, y, kind="bl89")
    assert all(np.abs(view).max() > 0 for view in f.views(d).values())


def test_gaussian_curvatures_have_the_right_sign():
    f = problems.mlp(3, 2, loss=hc.GaussianNLLLoss())
    w, x, y = problems.batch(f, 8, 3, classes=None, seed=1)[:2] + (np.full((8, 1), 3.0),)
    exact = np.diag(f.hessian(w, x, y).dense())
    for kind in ("hesscale", "bl89", "ggn"):
        d = f.diag(w, x, y, kind=kind)
        assert (d > 0).all()
        np.testing.assert_allclose(d, exact, rtol=1e-11)


def test_rademacher_probes_differ():
    """A constant probe returns row sums of the Hessian, every time."""
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 6, 4, classes=3)
    rows = f.hvp(w, x, y, np.ones_like(w))
    draws = [f.diag(w, x, y, kind="hutchinson", samples=1, seed=s) for s in range(8)]
    for i, a in enumerate(draws):
        assert not np.allclose(np.abs(a), np.abs(rows))
        assert all(not np.allclose(a, b) for b in draws[:i])
    h = f.hessian(w, x, y).dense()  # every draw is z * (H z) for some z of signs
    k = np.argmax(np.abs(h).sum(1))
    possible = np.abs(h[k]).sum()
    assert all(abs(a[k]) <= possible * (1 + 1e-12) for a in draws)


@pytest.mark.parametrize("samples", [1, 7, 100])
def test_sampled_fisher_is_not_scaled_by_its_sample_count(samples):
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 64, 4, classes=3)
    exact = f.diag(w, x, y, kind="ggn").sum()
    repeats = 400 // samples + 1
    draws = [f.diag(w, x, y, kind="ggn_mc", samples=samples, seed=s) for s in range(repeats)]
    assert np.mean(draws, 0).sum() == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("width", [2, 16, 64, 200])
def test_diagonals_do_not_change_formula_with_layer_size(width):
    f = problems.mlp(width, width, 3)
    w, x, y = problems.batch(f, 5, width, classes=3)
    some = np.random.default_rng(0).choice(f.num_params, size=12, replace=False)
    e = np.zeros((len(some), f.num_params))
    e[np.arange(len(some)), some] = 1
    products = {"ggn": f.ggnvp(w, x, y, e), "empirical_fisher": f.fishervp(w, x, y, e)}
    for kind, rows in products.items():
        exact = rows[np.arange(len(some)), some]
        np.testing.assert_allclose(
            f.diag(w, x, y, kind=kind)[some], exact, rtol=1e-9, atol=1e-14, err_msg=kind
        )


@pytest.mark.parametrize(
    "options",
    [{"weight": [0.2, 1.0, 3.0]}, {"ignore_index": 1}, {"weight": [0.2, 1, 3], "ignore_index": 0}],
    ids=str,
)
def test_class_weights_and_ignored_labels_reach_every_curvature(options):
    loss = {"name": "CrossEntropyLoss", **options}
    layers = (("linear", {"out": 5}), ("act", {"name": "Tanh"}), ("linear", {"out": 3}))
    spec = Spec(11, 7, {"x": (4,)}, loss, (), layers)
    plain = Spec(11, 7, {"x": (4,)}, {"name": "CrossEntropyLoss"}, (), layers)
    reference, f = Reference(spec), objective(spec)
    data = make_data(spec, Net(spec))
    point = data.w, data.x["x"], data.y
    np.testing.assert_allclose(f.diag(*point, kind="ggn"), np.diag(reference.ggn), rtol=1e-9)
    np.testing.assert_allclose(
        f.diag(*point, kind="empirical_fisher"), np.diag(reference.fisher), rtol=1e-9
    )
    v = np.ones_like(data.w)
    np.testing.assert_allclose(f.ggnvp(*point, v), reference.ggn @ v, rtol=1e-9)
    if "ignore_index" not in options:
        unweighted = objective(plain).diag(*point, kind="ggn")
        assert np.abs(unweighted / np.diag(reference.ggn) - 1).max() > 0.05


def test_preconditioned_cg_starts_with_the_right_inner_product():
    """Badly scaled but diagonal-dominant: with its diagonal as M it takes a handful of steps."""
    rng = np.random.default_rng(0)
    n = 60
    d = 10.0 ** rng.uniform(-4, 4, size=n)
    q = rng.normal(size=(n, n)) * 0.02
    a = np.sqrt(d)[:, None] * (np.eye(n) + q @ q.T) * np.sqrt(d)
    b = rng.normal(size=n)
    x, report = hc.cg(a, b, rtol=1e-12, M=1 / d, maxiter=60)
    assert report.status == "converged"
    assert report.iterations <= 12
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-6)


def test_hutchinson_averages_all_its_samples():
    """Fifty samples, not one sample divided by fifty."""
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 16, 4, classes=3)
    exact = np.diag(f.hessian(w, x, y).dense())
    draws = [f.diag(w, x, y, kind="hutchinson", samples=50, seed=s) for s in range(40)]
    assert np.mean(draws, 0) @ exact / (exact @ exact) == pytest.approx(1, abs=0.1)


def test_empirical_fisher_is_not_the_squared_mean_gradient():
    """Two samples that pull in opposite directions: no mean gradient, a full Fisher diagonal."""
    f = hc.Objective(hc.Linear(2, 1), hc.MSELoss(), input_shape=(2,))
    w, x = np.zeros(f.num_params), np.ones((2, 2))
    y = np.array([[1.0], [-1.0]])
    _, grad = f.value_and_grad(w, x, y)
    np.testing.assert_allclose(grad, 0, atol=1e-15)
    np.testing.assert_allclose(f.diag(w, x, y, kind="empirical_fisher"), 4.0, rtol=1e-14)


def test_first_and_second_order_scale_alike():
    """The batch twice: a mean stays, a sum doubles, in every quantity."""
    names = ("loss", "grad", "hesscale", "hesscale_gn", "bl89", "ggn", "empirical_fisher")
    for reduction, factor in (("mean", 1.0), ("sum", 2.0)):
        f = problems.mlp(4, 6, 3, loss=hc.CrossEntropyLoss(reduction=reduction))
        w, x, y = problems.batch(f, 9, 4, classes=3)
        v = np.random.default_rng(0).normal(size=w.shape)
        one = f.evaluate(w, x, y, names)
        two = f.evaluate(w, np.concatenate([x, x]), np.concatenate([y, y]), names)
        for name in names:
            np.testing.assert_allclose(two[name], factor * one[name], rtol=1e-10, atol=1e-14)
        for call in (f.hvp, f.ggnvp, f.fishervp):
            twice = call(w, np.concatenate([x, x]), np.concatenate([y, y]), v)
            np.testing.assert_allclose(twice, factor * call(w, x, y, v), rtol=1e-9, atol=1e-13)


def test_parameters_stay_where_the_line_search_fails():
    """At a stationary point of a periodic loss no step length helps: rejected, and w unmoved."""
    f = hc.Objective(
        hc.Sequential(hc.Linear(1, 1, bias=False), hc.Sin()), hc.MSELoss(), input_shape=(1,)
    )
    w, x, y = np.zeros(1), np.ones((1, 1)), np.zeros((1, 1))
    w[0] = 1e-160  # the loss underflows: it cannot fall
    before = w.tobytes()
    opt = hc.Optimizer(f, "gauss_newton", lr=1.0, damping=1.0)
    info = opt.step(w, x, y)
    assert info.accepted or w.tobytes() == before

    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 30, 4, classes=3)
    opt = hc.Optimizer(f, "gauss_newton", lr=1e9, damping=1e-9, damping_rule="constant")
    for _ in range(5):
        before, at = w.tobytes(), f.loss(w, x, y)
        info = opt.step(w, x, y)
        if info.accepted:
            assert f.loss(w, x, y) <= at
        else:
            assert w.tobytes() == before
