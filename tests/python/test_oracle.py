"""The references among themselves: dense forward arithmetic, JAX, and the NumPy recursion."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from oracle import Net, Reference, Spec, losses, make_data, random_graph, recursion
from oracle.activations import VARIANTS, derivatives
from oracle.shrink import shrink

LOSSES = [
    {"name": "CrossEntropyLoss"},
    {"name": "CrossEntropyLoss", "weight": [0.5, 1.5, 2.0, 0.7], "label_smoothing": 0.1},
    {"name": "CrossEntropyLoss", "weight": [0.5, 1.5, 2.0, 0.7], "ignore_index": 0},
    {"name": "CrossEntropyLoss", "soft": True, "label_smoothing": 0.2, "weight": [1, 2, 3, 1.0]},
    {"name": "MSELoss"},
    {"name": "BCEWithLogitsLoss"},
    {"name": "BCEWithLogitsLoss", "pos_weight": [2.5]},
    {"name": "BCEWithLogitsLoss", "pos_weight": [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6]},
    {"name": "GaussianNLLLoss"},
    {"name": "PoissonNLLLoss"},
    {"name": "HuberLoss", "delta": 0.6},
]


def close(a, b, rtol=1e-12):
    a, b = np.asarray(a), np.asarray(b)
    return np.linalg.norm((a - b).ravel()) <= rtol * max(np.linalg.norm(b.ravel()), 1e-3)


def test_activations_equal_jax():
    jax = pytest.importorskip("jax")
    from oracle.jax_net import ACTIVATIONS

    a = np.concatenate([np.random.default_rng(0).normal(size=40) * 3, [-30.0, 30.0, 8.5, -8.5]])

    def three(f):
        first = jax.grad(f)
        return lambda a: (f(a), first(a), jax.grad(first)(a))

    functions = [three(lambda x, n=n, p=p: ACTIVATIONS[n](x, *p)) for n, p in VARIANTS]
    expected = jax.jit(jax.vmap(lambda a: [f(a) for f in functions]))(a)
    for (name, args), triple in zip(VARIANTS, expected, strict=True):
        for got, want in zip(derivatives(name, args, a), triple, strict=True):
            assert close(got, want), (name, args)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_equal_jax(reduction):
    jax = pytest.importorskip("jax")
    from oracle.jax_net import reduced_loss

    for i, options in enumerate(LOSSES):
        loss = {**options, "reduction": reduction}
        spec = Spec(i, 5, {"x": (4, 2)}, loss, (("act", ("x",), {"name": "Square"}),), (), True)
        data = make_data(spec, Net(spec))
        z = np.random.default_rng(i).normal(size=(5, 4, 2))

        def f(z, loss=loss, data=data):
            return reduced_loss(loss, z, data.y, data.sample_weight)

        value, g, h = jax.jit(lambda z, f=f: (f(z), jax.grad(f)(z), jax.hessian(f)(z)))(z)
        got = losses.evaluate(loss, z, data.y, data.sample_weight)
        blocks = np.einsum("nknl->nkl", np.asarray(h).reshape(5, 8, 5, 8))
        assert close(got.value, value), loss
        assert close(got.g, np.asarray(g).reshape(5, 8)), loss
        assert close(got.h, blocks), loss


@pytest.mark.parametrize("seed", range(8))
def test_reference_equals_jax(seed):
    pytest.importorskip("jax")
    from oracle.jax_net import JaxReference

    spec = random_graph(seed)
    ours, theirs = Reference(spec), JaxReference(spec)
    for name in ("z", "loss", "grad", "hessian", "ggn"):
        assert close(getattr(ours, name), getattr(theirs, name)), (name, spec)


@pytest.mark.parametrize("seed", range(60))
def test_recursion_carries_the_gradient(seed):
    spec = random_graph(seed)
    reference = Reference(spec)
    for kind in ("hesscale", "hesscale_gn", "bl89"):
        assert close(recursion.diagonal(spec, kind)[0], reference.grad), spec


def test_recursion_is_exact_on_the_last_linear_layer():
    checked = 0
    for seed in range(120):
        spec = random_graph(seed)
        net = Net(spec)
        node = net.output
        shared = sum(n.weight == node.weight for n in net.nodes) > 1
        if node.kind != "linear" or shared or len(node.shape) > 1:
            continue
        exact = np.diag(Reference(spec).hessian)[node.weight :]
        for kind in ("hesscale", "hesscale_gn"):
            last = recursion.diagonal(spec, kind)[1][node.weight :]
            assert close(last, exact[: len(last)]), spec
        checked += 1
    assert checked > 30


@pytest.mark.parametrize("seed", range(12))
def test_a_weight_counts_copies(seed):
    spec = dataclasses.replace(random_graph(seed), weighted=False)
    data = make_data(spec, Net(spec))
    copies = np.random.default_rng(seed).integers(1, 4, size=spec.batch)
    repeated = dataclasses.replace(spec, batch=int(copies.sum()))
    many = dataclasses.replace(
        data, x={k: np.repeat(v, copies, 0) for k, v in data.x.items()}, y=data.y.repeat(copies, 0)
    )
    weighted = dataclasses.replace(data, sample_weight=copies.astype(np.float64))
    a, b = Reference(spec, weighted), Reference(repeated, many)
    for name in ("loss", "grad", "hessian", "ggn", "fisher"):
        assert close(getattr(a, name), getattr(b, name)), (name, spec)


def test_shrinking_keeps_only_what_fails():
    def has_product(spec):
        return any(n.kind == "multiply" for n in Net(spec).nodes)

    seeds = [s for s in range(40) if has_product(random_graph(s))]
    for seed in seeds[:6]:
        small = shrink(random_graph(seed), has_product)
        assert has_product(small) and len(Net(small).nodes) <= 4
        assert small.batch == 1 and eval(repr(small)) == small
