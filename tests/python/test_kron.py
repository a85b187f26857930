"""Kronecker factors against JAX: every layer and loss, exact cases, random networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("jax")

import hesscore as hc
import problems
from kron_cases import LAYERS, check, close, network, point
from kron_reference import KroneckerReference
from oracle_layers import Net, Spec, make_data, random_network
from oracle_layers.build import objective


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layer", LAYERS)
def test_factors_of_every_layer(layer, weighted):
    loss = {"name": "CrossEntropyLoss"} if weighted else {"name": "MSELoss", "reduction": "sum"}
    check(network(*LAYERS[layer], loss, weighted=weighted))


@pytest.mark.parametrize("padding", [None, 1])
def test_embeddings(padding):
    table = {"rows": 5, "out": 3, "padding_idx": padding, "layer": "t"}
    nodes = [("embedding", ("x",), table), ("act", (0,), {"name": "Tanh"}),
             ("flatten", (1,), {}), ("linear", (2,), {"out": 3})]  # fmt: skip
    for weighted in (False, True):
        check(Spec(1, 4, {"x": (2,)}, {"name": "CrossEntropyLoss"}, tuple(nodes), weighted,
                   integers={"x": 5}))  # fmt: skip


LOSSES = [
    {"name": "CrossEntropyLoss", "weight": [0.5, 2.0, 1.0], "label_smoothing": 0.2},
    {"name": "CrossEntropyLoss", "ignore_index": 0},
    {"name": "CrossEntropyLoss", "soft": True, "weight": [0.5, 2.0, 1.0]},
    {"name": "BCEWithLogitsLoss", "pos_weight": [3.0]},
    {"name": "PoissonNLLLoss"},
    {"name": "HuberLoss", "delta": 0.5},
    {"name": "GaussianNLLLoss"},
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda o: "-".join(map(str, o.values())))
def test_losses_with_all_their_weights(loss):
    """Class weights, ignored labels and the rest act on G (mistake 7), signed columns included."""
    out = 4 if loss["name"] == "GaussianNLLLoss" else 3
    nodes = (("linear", ("x",), {"out": 4}), ("act", (0,), {"name": "Tanh"}),
             ("linear", (1,), {"out": out}))  # fmt: skip
    for weighted in (False, True):
        check(Spec(7, 6, {"x": (3,)}, loss, nodes, weighted))


@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed):
    spec = random_network(500 + seed)
    if Net(spec).couples_samples():
        data = make_data(spec, Net(spec))
        f = objective(spec, data)
        with pytest.raises(hc.UnsupportedError, match=r"kron needs .* BatchNorm"):
            f.kron(data.w, data.x, data.y, train=spec.train)
        return
    f, at, kw, ref = check(dataclasses.replace(spec, train=False))
    v = np.random.default_rng(0).normal(size=(3, f.num_params))
    for bias in ("joint", "separate"):
        K = f.kron(*at, kind="exact", bias=bias, **kw)
        D = K.dense()
        if bias == "joint":
            assert close(D, ref.dense())
        assert close(K @ v.T, D @ v.T)
        assert close(K.diagonal(), np.diag(D))
        assert close(K.trace(), np.trace(D))
        if spec.loss["name"] == "GaussianNLLLoss":
            continue
        damped = D + 0.3 * np.eye(len(D))
        assert close(K.solve(v, 0.3, pi=False), np.linalg.solve(damped, v.T).T, 1e-9)
        assert close(K.logdet(0.3), np.linalg.slogdet(damped)[1], 1e-9)
        if bias == "joint":
            assert close(K.solve(v, 0.3), v @ ref.split_inverse(0.3), 1e-9)


@pytest.mark.parametrize("layer", ["linear", "layer norm", "embedding"])
def test_one_sample_and_one_position_is_the_ggn_of_the_layer(layer):
    nodes = {
        "linear": [("linear", ("x",), {"out": 4})],
        "layer norm": [("layer_norm", ("x",), {"shape": (4,), "eps": 1e-3, "affine": True,
                                               "bias": True})],
        "embedding": [("embedding", ("x",), {"rows": 3, "out": 4, "padding_idx": None}),
                      ("flatten", (0,), {})],
    }[layer]  # fmt: skip
    nodes += [("act", (len(nodes) - 1,), {"name": "Tanh"}), ("linear", (len(nodes),), {"out": 3})]
    integers = {"x": 3} if layer == "embedding" else {}
    shape = (1,) if layer == "embedding" else (4,)
    spec = Spec(2, 1, {"x": shape}, {"name": "CrossEntropyLoss"}, tuple(nodes), integers=integers)
    ref = KroneckerReference(spec)
    f, at, _ = point(spec, ref)
    D, G = f.kron(*at, kind="exact").dense(), f.ggn(*at).dense()
    for b in ref.blocks:
        own = np.ix_(b.index.ravel(), b.index.ravel())
        assert close(D[own], G[own])


def test_reduce_is_exact_where_positions_have_one_adjoint():
    """A linear layer at positions that are summed at once (Eschenhagen et al. 2023)."""
    net = hc.Sequential(hc.Conv1d(3, 2, 1), hc.GlobalAvgPool1d(), hc.Flatten())
    f = hc.Objective(net, hc.MSELoss(), input_shape=(3, 5))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3, 5)), rng.normal(size=(40, 2))
    w = f.init(dtype="float64")
    K = f.kron(w, x, y, kind="exact", approximation="reduce")
    assert close(K.dense(), f.ggn(w, x, y).dense())
    assert not close(f.kron(w, x, y, kind="exact").dense(), f.ggn(w, x, y).dense(), 0.1)


def test_deep_linear_networks_with_squared_error_are_exact():
    """Adjoints do not depend on the sample there (Bernacchia et al. 2018)."""
    net = hc.Sequential(hc.Linear(4, 3), hc.Linear(3, 5), hc.Linear(5, 2))
    f = hc.Objective(net, hc.MSELoss())
    w, x, y = problems.batch(f, 9, 4)
    K, G = f.kron(w, x, y, kind="exact"), f.ggn(w, x, y).dense()
    D = K.dense()
    for first, last in ((0, 15), (15, 35), (35, 47)):
        own = slice(first, last)
        assert close(D[own, own], G[own, own])
    assert np.abs(D[:15, 15:]).max() == 0


def test_groups_are_not_averaged():
    """Factors of each group of channels, though both libraries average them (mistake 11)."""
    ref = KroneckerReference(network(*LAYERS["conv in groups"], {"name": "MSELoss"}, seed=8))
    f, at, _ = point(ref.spec, ref)
    K = f.kron(*at, kind="exact")
    assert list(K.factors) == ["0[0]", "0[1]", "3"]
    assert not close(K.factors["0[0]"].A, K.factors["0[1]"].A, 0.1)
    assert close(K.dense(), ref.dense())


def test_samples_are_unbiased():
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 8, 4, classes=3)
    exact = f.kron(w, x, y, kind="exact")
    draws = [f.kron(w, x, y, samples=4, seed=s) for s in range(200)]
    for name, (a, g) in exact.factors.items():
        assert np.array_equal(draws[0].factors[name].A, a)
        each = np.stack([d.factors[name].G for d in draws])
        error = each.std(0) / np.sqrt(len(each))
        assert (np.abs(each.mean(0) - g) <= 5 * error + 1e-15).all()
    again = f.kron(w, x, y, samples=4, seed=7)
    assert np.array_equal(again.factors["0"].G, draws[7].factors["0"].G)


def test_a_weight_is_as_many_copies():
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 5, 4, classes=3)
    k = np.array([1, 3, 0, 2, 1])
    K = f.kron(w, x, y, kind="exact", sample_weight=k.astype(float))
    L = f.kron(w, np.repeat(x, k, 0), np.repeat(y, k), kind="exact")
    assert close(K.dense(), L.dense())


def test_single_precision_agrees():
    spec = network(*LAYERS["conv"], {"name": "CrossEntropyLoss"}, batch=9)
    ref = KroneckerReference(spec)
    f, (w, x, y), _ = point(spec, ref)
    single = f.kron(w.astype("f4"), x.astype("f4"), y, kind="exact")
    assert single.dtype == np.float32
    for got, block in zip(single.factors.values(), ref.blocks, strict=True):
        a, g = ref.factors(block)
        assert close(got.A, a, 1e-5) and close(got.G, g, 1e-5)


def test_factors_do_not_depend_on_the_number_of_threads():
    f = hc.Objective(hc.Sequential(hc.Conv2d(3, 20, 3), hc.ReLU(), hc.Flatten(),
                                   hc.Linear(20 * 14 * 14, 5)),
                     hc.CrossEntropyLoss(), input_shape=(3, 16, 16))  # fmt: skip
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3, 16, 16)).astype("f4"), rng.integers(0, 5, 30)
    w, before = f.init(), hc.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            hc.set_num_threads(threads)
            results.append(f.kron(w, x, y).factors["0"])
    finally:
        hc.set_num_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(p, q) for p, q in zip(results[0], other, strict=True))


def test_all_layers_that_share_statistics_are_named():
    net = hc.Sequential(hc.Linear(4, 3), hc.BatchNorm1d(3), hc.Linear(3, 3), hc.BatchNorm1d(3))
    f = hc.Objective(net, hc.MSELoss())
    w, x, y = problems.batch(f, 5, 4)
    with pytest.raises(hc.UnsupportedError, match=r"'1'.*'3'"):
        f.kron(w, x, y, train=True)
    assert "kron" in f.supports()[2]["supports"]
    assert "kron" not in f.supports()[2]["supports_training"]
    assert f.kron(w, x, y).shape == (f.num_params, f.num_params)


def test_memory_counts_factors():
    f = problems.mlp(300, 10)
    needed = f.memory(4, "kron")
    factors = 4 * (301 * 301 + 10 * 10)
    assert factors < needed < 4 * factors


@pytest.mark.parametrize("layer", ["conv in groups", "transposed", "layer norm"])
@pytest.mark.parametrize("weighted", [False, True])
def test_factors_and_all_else_at_a_point_together(layer, weighted):
    ref = KroneckerReference(network(*LAYERS[layer], {"name": "CrossEntropyLoss"}, 7, weighted))
    f, at, kw = point(ref.spec, ref)
    names = ("kron", "hesscale", "loss", "grad", "ggn_mc", "empirical_fisher", "grad_moments")
    found = f.evaluate(*at, names, samples=3, seed=5, **kw)
    assert list(found) == list(names)
    loss, gradient = f.value_and_grad(*at, **kw)
    assert found["loss"] == loss and close(found["grad"], gradient)
    for kind in ("hesscale", "ggn_mc", "empirical_fisher"):
        assert close(found[kind], f.diag(*at, kind=kind, samples=3, seed=5, **kw))
    assert close(found["grad_moments"]["norms"], f.grad_moments(*at, **kw)["norms"])
    K, L = found["kron"], f.kron(*at, samples=3, seed=5, **kw)
    assert list(K.factors) == list(L.factors)
    for name, (a, g) in K.factors.items():
        assert close(a, L.factors[name].A) and close(g, L.factors[name].G)
    assert close(K.solve(gradient, 0.1), L.solve(gradient, 0.1))
    assert f.memory(7, ("loss", "grad", "kron")) < f.memory(7, "grad") + f.memory(7, "kron")
