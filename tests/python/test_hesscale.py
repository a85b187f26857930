"""HesScale, HesScale-GN and BL89: every activation and loss, exactness, and the output rules."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
from oracle import Net, Reference, Spec, make_data, recursion
from oracle.activations import VARIANTS
from oracle.build import objective
from oracle.compare import relative_error

KINDS = ("hesscale", "hesscale_gn", "bl89")
LOSSES = [
    {"name": "CrossEntropyLoss"},
    {"name": "CrossEntropyLoss", "reduction": "sum"},
    {"name": "CrossEntropyLoss", "weight": [0.5, 1.5, 2.0, 0.7], "label_smoothing": 0.1},
    {"name": "CrossEntropyLoss", "weight": [0.5, 1.5, 2.0, 0.7], "ignore_index": 0},
    {"name": "CrossEntropyLoss", "soft": True, "label_smoothing": 0.2},
    {"name": "MSELoss"},
    {"name": "MSELoss", "reduction": "sum"},
    {"name": "BCEWithLogitsLoss", "pos_weight": [0.5, 1.0, 2.0, 3.0]},
    {"name": "GaussianNLLLoss"},
    {"name": "PoissonNLLLoss"},
    {"name": "HuberLoss", "delta": 0.6},
]


def compare(spec: Spec) -> None:
    data = make_data(spec, Net(spec))
    f = objective(spec)
    kw = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    for kind in KINDS:
        got = f.diag(data.w, data.x["x"], data.y, kind=kind, **kw)
        assert relative_error(got, recursion.diagonal(spec, kind)[1], 1e-3) <= 1e-10, kind


def chain(*layers):
    """Linear layers by their width, activations by name and arguments."""
    return tuple(
        ("linear", {"out": item}) if isinstance(item, int)
        else ("act", {"name": item[0], "args": item[1]})
        for item in layers
    )  # fmt: skip


@pytest.mark.parametrize(("name", "args"), VARIANTS)
def test_activation(name, args):
    layers = chain(6, (name, args), 5, (name, args), 3)
    compare(Spec(1, 7, {"x": (4,)}, {"name": "CrossEntropyLoss"}, (), layers))


@pytest.mark.parametrize(("name", "args"), VARIANTS)
def test_activation_under_the_loss(name, args):
    layers = chain(5, ("Tanh", ()), 3, (name, args))
    compare(Spec(2, 6, {"x": (4,)}, {"name": "MSELoss"}, (), layers))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss(loss, weighted):
    layers = chain(6, ("Tanh", ()), 5, ("SiLU", ()), 4)
    compare(Spec(3, 6, {"x": (4,)}, loss, (), layers, weighted))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("kind", ["hesscale", "hesscale_gn", "ggn"])
def test_exact_on_the_last_linear_layer(loss, kind):
    spec = Spec(4, 6, {"x": (4,)}, loss, (), chain(6, ("Tanh", ()), 4), True)
    net, reference = Net(spec), Reference(spec)
    data = reference.data
    got = objective(spec).diag(
        data.w, data.x["x"], data.y, kind=kind, sample_weight=data.sample_weight
    )
    last = net.output.weight
    assert relative_error(got[last:], np.diag(reference.hessian)[last:]) <= 1e-10


def test_dag_with_fan_out_gates_residuals_and_sharing():
    nodes = (
        ("linear", ("x",), {"out": 5, "layer": "a"}),
        ("act", (0,), {"name": "Tanh"}),
        ("linear", (1,), {"out": 5, "layer": "b"}),
        ("act", (2,), {"name": "Sigmoid"}),
        ("multiply", (1, 3), {}),
        ("add", (4, 1, 2), {}),
        ("linear", (5,), {"out": 5, "layer": "b"}),
        ("concat", (6, 4), {"axis": 1}),
        ("linear", (7,), {"out": 3}),
    )
    compare(Spec(5, 5, {"x": (4,)}, {"name": "CrossEntropyLoss"}, nodes))


# ---- the rules at the output, by hand: the bias of a single linear layer sees them bare --------


def output_diagonal(loss, y, kind="hesscale", outputs=4):
    f = hc.Objective(hc.Sequential(hc.Linear(3, outputs)), loss, input_shape=(3,))
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=f.num_params), rng.normal(size=(len(y), 3))
    return f.predict(w, x), f.diag(w, x, y, kind=kind)[-outputs:]


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


LABELS = np.array([0, 3, 1, 1, 2])


def test_cross_entropy_rule():
    z, d = output_diagonal(hc.CrossEntropyLoss(), LABELS)
    p = softmax(z)
    np.testing.assert_allclose(d, (p - p * p).mean(0), rtol=1e-13)


def test_bl89_takes_the_softmax_element_wise():
    z, d = output_diagonal(hc.CrossEntropyLoss(), LABELS, "bl89")
    p = softmax(z)
    np.testing.assert_allclose(d, (np.eye(4)[LABELS] * p * (1 - p)).mean(0), rtol=1e-13)


def test_bl89_scales_with_soft_targets():
    t = np.random.default_rng(1).dirichlet(np.ones(4), size=5)
    z, d = output_diagonal(hc.CrossEntropyLoss(), t, "bl89")
    p = softmax(z)
    np.testing.assert_allclose(d, (t * p * (1 - p)).mean(0), rtol=1e-13)


def test_mse_rule():
    _, d = output_diagonal(hc.MSELoss(), np.ones((5, 4)))
    np.testing.assert_allclose(d, 2 / 4, rtol=1e-13)


def test_bce_rule():
    y = np.random.default_rng(2).integers(0, 2, size=(5, 4)).astype(float)
    z, d = output_diagonal(hc.BCEWithLogitsLoss(pos_weight=[3.0]), y)
    s = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(d, (s * (1 - s) * (1 + 2 * y)).mean(0) / 4, rtol=1e-12)


def test_gaussian_rule():
    y = np.random.default_rng(3).normal(size=(5, 2))
    z, d = output_diagonal(hc.GaussianNLLLoss(), y)
    mean, v = z[:, :2], np.exp(z[:, 2:])
    expected = np.concatenate([1 / v, (y - mean) ** 2 / (2 * v)], 1)
    np.testing.assert_allclose(d, expected.mean(0) / 2, rtol=1e-12)
    assert (d > 0).all()


def test_poisson_rule():
    z, d = output_diagonal(hc.PoissonNLLLoss(), np.ones((5, 4)))
    np.testing.assert_allclose(d, np.exp(z).mean(0) / 4, rtol=1e-13)


def test_huber_rule():
    y = np.random.default_rng(4).normal(size=(5, 4))
    z, d = output_diagonal(hc.HuberLoss(0.7), y)
    np.testing.assert_allclose(d, (np.abs(z - y) < 0.7).mean(0) / 4, rtol=1e-13)
