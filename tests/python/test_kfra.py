"""KFRA against the recursion of Botev et al. 2017, by JAX."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp

import hesscore as hc
import problems
from kron_cases import FLAT, close, point
from kron_reference import KroneckerReference
from oracle_layers import Spec
from oracle_layers.jax_net import LAYERS, _batch_norm

CHAINS = {
    "mlp": ((5,), [("linear", {"out": 4}), ("act", {"name": "Tanh"}), ("linear", {"out": 6}),
                   ("act", {"name": "GELU"}), ("linear", {"out": 4})]),
    "conv": ((2, 5, 4), [
        ("conv", {**FLAT, "out": 4, "kernel": (2, 2), "groups": 2}), ("act", {"name": "Tanh"}),
        ("avg_pool", {"kernel": (2, 2), "stride": (2, 1), "padding": (0, 0)}),
        ("zero_pad", {"padding": (1, 0, 0, 1)}), ("batch_norm", {"eps": 1e-3, "affine": False}),
        ("conv_transpose", {**FLAT, "out": 2, "kernel": (2, 1), "output_padding": (0, 0)}),
        ("act", {"name": "Sigmoid"}), ("flatten", {}), ("linear", {"out": 4})]),
}  # fmt: skip


def recursion(ref: KroneckerReference, reduce: bool) -> list[np.ndarray]:
    """Botev et al. 2017, by Jacobians of each node alone: G of each block, the last first."""
    net, data = ref.net, ref.data
    m = ref.hessians.sum(0)
    factors = []
    for i in reversed(range(1, len(net.nodes))):
        node, x = net.nodes[i], jnp.asarray(ref.values[net.nodes[i].sources[0]])

        def layer(one, node=node):
            if node.kind == "batch_norm":
                return _batch_norm(net, node, one[None], [], data.buffers)[0].ravel()
            return LAYERS[node.kind](node, [one[None]], net.views(data.w, node))[0].ravel()

        if node.parameters:
            groups, rows = (
                node.args.get("groups", 1),
                node.shape[-1 if node.kind == "linear" else 0],
            )
            shape = (1, rows) if node.kind == "linear" else (rows, int(np.prod(node.shape[1:])))
            t = m.reshape(*shape, *shape)
            t = np.moveaxis(t, (0, 2), (1, 3)) if node.kind != "linear" else t
            t = np.einsum("totp->op" if not reduce else "tosp->op", t)
            own = np.split(t, groups, 0)
            factors += [np.split(o, groups, 1)[k] for k, o in enumerate(own)][::-1]
        j = np.stack([np.asarray(jax.jacobian(layer)(one)) for one in x])
        j = j.reshape(len(x), j.shape[1], -1)
        if node.kind == "act":
            s = np.einsum("nii->ni", j)
            m = np.einsum("n,ni,nj->ij", ref.weights, s, s) * m
        else:
            m = j[0].T @ m @ j[0]
    return factors[::-1]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "GaussianNLLLoss"])
def test_kfra_averages_from_layer_to_layer(chain, weighted, loss):
    shape, layers = CHAINS[chain]
    nodes = tuple((kind, ("x",) if k == 0 else (k - 1,), a) for k, (kind, a) in enumerate(layers))
    ref = KroneckerReference(Spec(3, 5, {"x": shape}, {"name": loss}, nodes, weighted))
    f, at, kw = point(ref.spec, ref)
    for approximation in ("expand", "reduce"):
        K = f.kron(*at, kind="kfra", approximation=approximation, **kw)
        expected = recursion(ref, approximation == "reduce")
        for got, block, g in zip(K.factors.values(), ref.blocks, expected, strict=True):
            assert close(got.A, ref.factors(block, "exact", approximation == "reduce")[0])
            assert close(got.G, g)


def test_kfra_is_exact_for_deep_linear_networks():
    f = hc.Objective(hc.Sequential(hc.Linear(4, 3), hc.Linear(3, 2)), hc.MSELoss())
    w, x, y = problems.batch(f, 9, 4)
    assert close(f.kron(w, x, y, kind="kfra").dense(), f.kron(w, x, y, kind="exact").dense())


def test_kfra_names_what_it_does_not_go_through():
    net = hc.Sequential(hc.Conv2d(1, 2, 3), hc.MaxPool2d(2), hc.Residual(hc.Conv2d(2, 2, 1)),
                        hc.Flatten(), hc.LayerNorm(18), hc.Linear(18, 2))  # fmt: skip
    f = hc.Objective(net, hc.MSELoss(), input_shape=(1, 8, 8))
    rng = np.random.default_rng(0)
    at = f.init(dtype="float64"), rng.normal(size=(3, 1, 8, 8)), rng.normal(size=(3, 2))
    with pytest.raises(hc.UnsupportedError, match=r"MaxPool2d.*Add.*LayerNorm"):
        f.kron(*at, kind="kfra")
    with pytest.raises(hc.OptionError, match="corrected"):
        problems.mlp(3, 2).kron(*problems.batch(problems.mlp(3, 2), 4, 3, classes=2),
                                kind="kfra", corrected=True)  # fmt: skip
