"""Networks that do not fit together are refused when they are put together."""

from __future__ import annotations

import numpy as np
import pytest

import entries
import hesscore as hc

BAD_LAYERS = {
    "zero_features": lambda: hc.Linear(0, 3),
    "negative_features": lambda: hc.Linear(3, -1),
    "float_features": lambda: hc.Linear(2.5, 3),
    "certain_dropout": lambda: hc.Objective(hc.Dropout(1.5), hc.MSELoss(), (2,)),
    "negative_dropout": lambda: hc.Objective(hc.Dropout(-0.1), hc.MSELoss(), (2,)),
    "nan_slope": lambda: hc.LeakyReLU(float("nan")),
    "gelu_kind": lambda: hc.GELU("guess"),
    "smoothing": lambda: hc.Objective(hc.Linear(2, 2), hc.CrossEntropyLoss(label_smoothing=1.5)),
    "class_weights": lambda: hc.Objective(hc.Linear(2, 2), hc.CrossEntropyLoss([1.0, 2.0, 3.0])),
    "negative_weights": lambda: hc.Objective(hc.Linear(2, 2), hc.CrossEntropyLoss([1.0, -2.0])),
    "nan_weights": lambda: hc.CrossEntropyLoss([1.0, float("nan")]),
    "reduction": lambda: hc.MSELoss(reduction="none"),
    "delta": lambda: hc.Objective(hc.Linear(2, 2), hc.HuberLoss(-1.0)),
    "odd_gaussian": lambda: hc.Objective(hc.Linear(2, 3), hc.GaussianNLLLoss()),
    "clash": lambda: hc.Objective(hc.Sequential(hc.Linear(2, 3), hc.Linear(4, 2)), hc.MSELoss()),
    "residual_clash": lambda: hc.Objective(hc.Residual(hc.Linear(2, 3)), hc.MSELoss(), (2,)),
    "gate_clash": lambda: hc.Objective(hc.Gate(hc.Linear(2, 3)), hc.MSELoss(), (2,)),
    "not_a_layer": lambda: hc.Sequential(hc.Linear(2, 2), "relu"),
    "class_not_object": lambda: hc.Sequential(hc.Linear(2, 2), hc.ReLU),
    "not_a_loss": lambda: hc.Objective(hc.Linear(2, 2), "mse"),
    "not_a_net": lambda: hc.Objective(lambda x: x, hc.MSELoss(), (2,)),
    "no_input_shape": lambda: hc.Objective(hc.Sequential(hc.Tanh()), hc.MSELoss()),
}


@pytest.mark.parametrize("kind", BAD_LAYERS)
def test_networks(kind):
    with pytest.raises((ValueError, TypeError)) as caught:
        BAD_LAYERS[kind]()
    assert isinstance(caught.value, hc.Error), type(caught.value)


def _dangling():
    g = hc.Graph()
    x = g.input((3,))
    g(hc.Linear(3, 2), x)
    g.output(g(hc.Linear(3, 2), x))
    return hc.Objective(g, hc.MSELoss())


def _two_inputs_one_name():
    g = hc.Graph()
    g.input((3,), name="a")
    g.input((3,), name="a")


def _no_output():
    g = hc.Graph()
    g(hc.Linear(3, 2), g.input((3,)))
    return hc.Objective(g, hc.MSELoss())


def _another_graphs_node():
    g, other = hc.Graph(), hc.Graph()
    g.input((3,))
    for _ in range(5):
        x = other.input((3,), name=f"x{_}")
    g(hc.Linear(3, 2), x)


def _shared_with_another_shape():
    g = hc.Graph()
    a, b = g.input((3,), name="a"), g.input((4,), name="b")
    layer = hc.Linear(3, 2)
    g.add(g(layer, a), g(layer, b))


def _add_shapes():
    g = hc.Graph()
    g.add(g.input((3,), name="a"), g.input((4,), name="b"))


BAD_GRAPHS = {
    f.__name__[1:]: f
    for f in (
        _dangling, _two_inputs_one_name, _no_output, _another_graphs_node,
        _shared_with_another_shape, _add_shapes,
    )
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_GRAPHS)
def test_graphs(kind):
    with pytest.raises((hc.GraphError, hc.ShapeError)):
        BAD_GRAPHS[kind]()


def test_a_graph_serves_several_objectives():
    g = hc.Graph()
    g.output(g(hc.Linear(3, 2), g.input((3,))))
    a, b = hc.Objective(g, hc.MSELoss()), hc.Objective(g, hc.CrossEntropyLoss())
    w, x = np.ones(8), np.ones((4, 3))
    np.testing.assert_array_equal(a.predict(w, x), b.predict(w, x))


def test_a_deep_chain_does_not_recurse():
    layers = [hc.Linear(2, 2), *(hc.Tanh() for _ in range(20_000)), hc.Linear(2, 1)]
    f = hc.Objective(hc.Sequential(*layers), hc.MSELoss(), input_shape=(2,))
    w = np.full(f.num_params, 0.1)
    loss, grad = f.value_and_grad(w, np.ones((1, 2)), np.ones((1, 1)))
    assert np.isfinite(loss) and np.isfinite(grad).all()


def test_unsupported_quantities_say_so():
    f, args = entries.make()
    supported = ("hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc", "hutchinson",
                 "empirical_fisher", "hessian")  # fmt: skip
    for kind in supported:
        assert f.diag(args["w"], args["x"], args["y"], kind=kind).shape == args["w"].shape
    with pytest.raises(hc.Error) as caught:
        f.diag(args["w"], args["x"], args["y"], kind="nonsense")
    assert isinstance(caught.value, (ValueError, NotImplementedError))
