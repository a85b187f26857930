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


# Layers over a table that is read once as an image (4, 4, 6). Under a loss of single elements and
# above nothing else, HesScale drops nothing: it has to be the diagonal of the Hessian.
OVER_A_TABLE = {
    "average pool": lambda: [hc.AvgPool2d(2)],
    "overlapping average pool": lambda: [hc.AvgPool2d(3, stride=2, padding=1)],
    "average without the padding": lambda: [
        hc.AvgPool2d((3, 2), stride=1, padding=1, count_include_pad=False)
    ],
    "average pool that goes over the edge": lambda: [hc.AvgPool2d(3, ceil_mode=True)],
    "average with a divisor": lambda: [hc.AvgPool2d(2, divisor_override=3)],
    "adaptive average": lambda: [hc.AdaptiveAvgPool2d((3, 4))],
    "global average": lambda: [hc.GlobalAvgPool2d()],
    "overlapping maximum": lambda: [hc.MaxPool2d(3, stride=1, padding=1)],
    "convolution": lambda: [hc.Conv2d(4, 3, 3, stride=2, padding=1)],
    "convolution in groups": lambda: [hc.Conv2d(4, 6, 3, groups=2)],
    "depthwise convolution": lambda: [hc.Conv2d(4, 4, 2, groups=4, padding="same")],
    "transposed convolution": lambda: [hc.ConvTranspose2d(4, 3, 3, stride=2, output_padding=1)],
    "transposed in groups": lambda: [hc.ConvTranspose2d(4, 6, 2, groups=2, dilation=2)],
    "activation": lambda: [hc.Sigmoid()],
    "layer norm": lambda: [hc.LayerNorm(6)],
    "group norm": lambda: [hc.GroupNorm(2, 4)],
    "root mean square norm": lambda: [hc.RMSNorm((4, 6), eps=1e-3)],
}


def over_a_table(layers, loss=None):
    """The objective and its arguments; the 96 elements of the table come first."""
    table = [hc.Embedding(1, 96), hc.Flatten(), hc.Unflatten(1, (4, 24)), hc.Unflatten(2, (4, 6))]
    f = hc.Objective(hc.Sequential(*table, *layers), loss or hc.MSELoss(), input_shape=(1,))
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=f.num_params), np.zeros((1, 1), dtype=np.int64)
    return f, (w, x, rng.poisson(2.0, size=f.predict(w, x).shape).astype(float))


@pytest.mark.parametrize("layers", OVER_A_TABLE.values(), ids=OVER_A_TABLE)
@pytest.mark.parametrize("loss", [hc.MSELoss(), hc.PoissonNLLLoss()], ids=["mse", "poisson"])
def test_diagonals_are_exact_through_one_layer(layers, loss):
    """Pooling with unsquared windows, transposed or grouped weights unsquared: none would be."""
    f, point = over_a_table(layers(), loss)
    products = {
        ("hesscale", "bl89", "hessian"): f.hvp(*point, np.eye(96, f.num_params)),
        ("hesscale_gn", "ggn"): f.ggnvp(*point, np.eye(96, f.num_params)),
    }
    for kinds, rows in products.items():
        exact = rows[np.arange(96), np.arange(96)]
        for kind in kinds:
            got = f.diag(*point, kind=kind)[:96]
            np.testing.assert_allclose(got, exact, rtol=1e-10, atol=1e-14, err_msg=kind)


@pytest.mark.parametrize("k", [2, 3])
def test_average_pooling_divides_curvature_by_the_squared_window(k):
    f, point = over_a_table([hc.AvgPool2d(k, stride=k)], hc.MSELoss(reduction="sum"))
    d = f.diag(*point, kind="hesscale").reshape(4, 4, 6)
    np.testing.assert_allclose(d[:, : 4 // k * k, : 6 // k * k], 2 / k**4, rtol=1e-14)


def test_activation_under_the_loss_of_a_convolution_keeps_its_second_derivative():
    """One position: a linear layer that is written as a convolution."""
    layers = hc.Conv2d(2, 3, (4, 5)), hc.Sigmoid(), hc.Flatten()
    f = hc.Objective(hc.Sequential(*layers), hc.MSELoss(), input_shape=(2, 4, 5))
    rng = np.random.default_rng(0)
    w, x = 0.2 * rng.normal(size=f.num_params), rng.normal(size=(6, 2, 4, 5))
    y = rng.normal(size=(6, 3))
    exact = np.diag(f.hessian(w, x, y).dense())
    np.testing.assert_allclose(f.diag(w, x, y, kind="hesscale"), exact, rtol=1e-10)
    assert not np.allclose(f.diag(w, x, y, kind="hesscale_gn"), exact, rtol=1e-2)


@pytest.mark.parametrize(
    "kind", ["hesscale", "hesscale_gn", "bl89", "ggn", "empirical_fisher", "hessian"]
)
@pytest.mark.parametrize("transposed", [False, True])
def test_groups_are_convolutions_side_by_side(kind, transposed):
    """Of every group its own curvature, not their average."""
    make = hc.ConvTranspose2d if transposed else hc.Conv2d
    halves = [hc.Sequential(hc.Slice(1, 2 * i, 2 * i + 2), make(2, 3, 2)) for i in range(2)]
    nets = [make(4, 6, 2, groups=2), hc.Concat(*halves)]
    rng = np.random.default_rng(1)
    x, weight, bias = rng.normal(size=(5, 4, 3, 4)), rng.normal(size=(2, 24)), np.ones((2, 3))
    got = []
    for net in nets:
        layers = net, hc.Tanh(), hc.AdaptiveAvgPool2d(1), hc.Flatten()
        f = hc.Objective(hc.Sequential(*layers), hc.CrossEntropyLoss(), input_shape=(4, 3, 4))
        if net is nets[0]:
            w = np.concatenate([weight.ravel(), bias.ravel()])
            order = np.r_[0:24, 48:51, 24:48, 51:54]
            got.append(f.diag(w, x, np.arange(5), kind=kind)[order])
        else:
            got.append(f.diag(w[order], x, np.arange(5), kind=kind))
    np.testing.assert_allclose(got[0], got[1], rtol=1e-10, atol=1e-15)


def test_gaussian_curvatures_of_convolutional_heads_have_the_right_sign():
    """Mean and log-variance from a convolution over the whole image."""
    layers = hc.Conv2d(3, 2, (2, 3)), hc.MaxPool2d(1)
    f = hc.Objective(hc.Sequential(*layers), hc.GaussianNLLLoss(), input_shape=(3, 2, 3))
    rng = np.random.default_rng(2)
    w, x, y = rng.normal(size=f.num_params), rng.normal(size=(8, 3, 2, 3)), np.full((8, 1, 1, 1), 3)
    exact = np.diag(f.hessian(w, x, y.astype(float)).dense())
    for kind in ("hesscale", "bl89"):
        d = f.diag(w, x, y.astype(float), kind=kind)
        assert (d > 0).all()
        np.testing.assert_allclose(d, exact, rtol=1e-10)


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
    products = {
        "ggn": f.ggnvp(w, x, y, e),
        "empirical_fisher": f.fishervp(w, x, y, e),
        "hessian": f.hvp(w, x, y, e),
    }
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
        f.diag(*point, kind="hessian"), np.diag(reference.hessian), rtol=1e-9
    )
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
    diagonals = ("hesscale", "hesscale_gn", "bl89", "ggn", "empirical_fisher", "hessian")
    names = ("loss", "grad", *diagonals)
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
