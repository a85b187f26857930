"""Every quantity under every option of every loss, at outputs of one to three axes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("jax")

from oracle_layers import Net, Spec, build, make_data
from oracle_layers.compare import check
from oracle_layers.jax_net import JaxReference

WEIGHT, POS_WEIGHT = [0.4, 1.5, 0.0, 2.0], [0.3, 2.5, 1.0, 0.7]
CLASSES = {"name": "CrossEntropyLoss"}
LOSSES = [
    CLASSES,
    {**CLASSES, "weight": WEIGHT},
    {**CLASSES, "ignore_index": 1},
    {**CLASSES, "label_smoothing": 0.2},
    {**CLASSES, "weight": WEIGHT, "ignore_index": 0, "label_smoothing": 0.1},
    {**CLASSES, "soft": True},
    {**CLASSES, "soft": True, "weight": WEIGHT, "label_smoothing": 0.3},
    {"name": "MSELoss"},
    {"name": "BCEWithLogitsLoss"},
    {"name": "BCEWithLogitsLoss", "pos_weight": [2.5]},
    {"name": "GaussianNLLLoss"},
    {"name": "PoissonNLLLoss"},
    {"name": "HuberLoss", "delta": 0.7},
]
SHAPES = [(4,), (4, 3), (4, 2, 2)]


def problem(loss: dict, shape: tuple[int, ...], seed: int, act: str = "Tanh") -> Spec:
    """A network of two layers; the loss sees its output as (4, ...)."""
    nodes = [
        ("linear", ("x",), {"out": 3}),
        ("act", (0,), {"name": act}),
        ("linear", (1,), {"out": math.prod(shape)}),
    ]
    if len(shape) > 1:
        nodes.append(("unflatten", (2,), {"axis": 1, "sizes": (4, math.prod(shape) // 4)}))
    if len(shape) > 2:
        nodes.append(("unflatten", (3,), {"axis": 2, "sizes": shape[1:]}))
    return Spec(seed, 5, {"x": (2,)}, loss, tuple(nodes))


def cases():
    for i, loss in enumerate(LOSSES):
        for k, shape in enumerate(SHAPES):
            act = ("Tanh", "ReLU")[(i + k) % 2]  # curved below the loss, or piecewise straight
            for reduction in ("mean", "sum"):
                yield problem({**loss, "reduction": reduction}, shape, 100 * i + k, act)
    for shape in SHAPES:
        many = (POS_WEIGHT * math.prod(shape))[: math.prod(shape)]
        yield problem({"name": "BCEWithLogitsLoss", "pos_weight": many}, shape, 7)


def name(spec: Spec) -> str:
    loss = {k: v for k, v in spec.loss.items() if k != "name"}
    return f"{spec.loss['name']} {Net(spec).output.shape} {loss}"


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("spec", list(cases()), ids=name)
def test_every_quantity_equals_jax(spec, weighted):
    """Loss, gradient, products, and all diagonals, HesScale's by the recursion in NumPy."""
    check(dataclasses.replace(spec, weighted=weighted))


def expected_fisher(spec: Spec, reference: JaxReference) -> np.ndarray:
    """The Fisher matrix of the model: that of Gauss and Newton but for the Gaussian likelihood."""
    if spec.loss["name"] != "GaussianNLLLoss":
        return reference.ggn
    z = np.asarray(reference.z)
    k = z.shape[1] // 2
    share = np.diagonal(reference.seed.h, axis1=1, axis2=2).reshape(z.shape)[:, :k] * np.exp(
        z[:, k:]
    )  # the weight of each term in the loss
    moments = np.concatenate([share * np.exp(-z[:, k:]), 0.5 * share], 1).reshape(len(z), -1)
    jac = np.asarray(reference.jacobian).reshape(*moments.shape, -1)
    return np.einsum("nkp,nk,nkq->pq", jac, moments, jac)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("spec", [c for i, c in enumerate(cases()) if i % 3 == 0], ids=name)
def test_sampled_labels_have_the_moments_of_the_model(spec, weighted):
    if spec.loss["name"] == "HuberLoss":
        pytest.skip("no likelihood has this loss")
    spec = dataclasses.replace(spec, weighted=weighted)
    data = make_data(spec, Net(spec))
    f, reference = build.objective(spec, data), JaxReference(spec, data)
    point = data.w, data.x["x"], data.y
    kw = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    samples = 6000
    matrix = f.fisher(*point, kind="mc", samples=samples, seed=3, **kw).dense()
    expected = expected_fisher(spec, reference)
    assert np.linalg.norm(matrix - expected) < 0.08 * np.linalg.norm(expected)
    few = f.fisher(*point, kind="mc", samples=3, seed=5, **kw).dense()
    diagonal = f.diag(*point, kind="ggn_mc", samples=3, seed=5, **kw)
    v = np.linspace(-1, 1, f.num_params)
    product = f.fishervp(*point, v, kind="mc", samples=3, seed=5, **kw)
    np.testing.assert_allclose(product, few @ v, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(diagonal, np.diag(few), rtol=1e-10, atol=1e-15)
