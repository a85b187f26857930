"""The references for all layers among themselves: JAX, the NumPy recursion, and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

from oracle_layers import Net, Spec, make_data, plain, random_network, recursion
from oracle_layers.jax_net import JaxReference
from oracle_layers.shrink import shrink
from test_oracle import close

FLAT, FLAT_2D = {"stride": (1,), "padding": (1,)}, {"stride": (1, 1), "padding": (1, 1)}
CONV = {"dilation": (1, 1), "groups": 1, "bias": False, **FLAT_2D}

# One layer each, whose input is a (4, 3, 3) image.
LAYERS = [
    ("conv", {**CONV, "out": 2, "kernel": (2, 3)}),
    ("conv", {**CONV, "out": 4, "kernel": (3, 3), "groups": 4, "stride": (2, 1)}),
    ("conv_transpose", {**CONV, "out": 2, "kernel": (3, 2), "stride": (2, 2),
                        "output_padding": (1, 0), "groups": 2}),
    ("max_pool", {**FLAT_2D, "kernel": (2, 2), "dilation": (1, 1), "stride": (2, 2)}),
    ("avg_pool", {**FLAT_2D, "kernel": (2, 2), "stride": (2, 2), "ceil_mode": True}),
    ("avg_pool", {**FLAT_2D, "kernel": (3, 2), "count_include_pad": False}),
    ("adaptive_avg_pool", {"size": (2, 2)}),
    ("adaptive_max_pool", {"size": (3, 2)}),
    ("global_avg_pool", {}),
    ("layer_norm", {"shape": (3, 3), "eps": 1e-3, "affine": True, "bias": True}),
    ("layer_norm", {"shape": (3,), "eps": 1e-3, "affine": False, "bias": True}),
    ("rms_norm", {"shape": (4, 3, 3), "eps": 1e-3, "affine": True}),
    ("group_norm", {"groups": 2, "eps": 1e-3, "affine": True}),
    ("instance_norm", {"eps": 1e-3, "affine": True}),
    ("batch_norm", {"eps": 1e-3, "affine": True}),
    ("zero_pad", {"padding": (1, -1, 0, 2)}),
    ("upsample", {"by": (2, 1)}),
    ("slice", {"axis": 2, "start": 0, "stop": 3, "step": 2}),
    ("act", {"name": "GELU"}),
    ("linear", {"out": 2}),
]  # fmt: skip


def table_under(layers, loss):
    """A table of one row, used once, read as an image (4, 3, 3) by the layers."""
    nodes = [
        ("embedding", ("x",), {"rows": 1, "out": 36, "padding_idx": None}),
        ("flatten", (0,), {}),
        ("unflatten", (1,), {"axis": 1, "sizes": (4, 9)}),
        ("unflatten", (2,), {"axis": 2, "sizes": (3, 3)}),
    ]
    for kind, args in layers:
        nodes.append((kind, (len(nodes) - 1,), args))
    return Spec(5, 1, {"x": (1,)}, {"name": loss}, tuple(nodes), integers={"x": 1})


@pytest.mark.parametrize("seed", range(300, 312))
def test_recursion_carries_jaxs_gradient(seed):
    spec = random_network(seed)
    net, reference = Net(spec), JaxReference(spec)
    data = make_data(spec, net)
    assert close(plain.forward(net, data.w, data.x, data.buffers)[-1], reference.z, 1e-11)
    assert close(reference.seed.value, reference.loss, 1e-11)
    assert close(reference.seed.g.ravel() @ reference.jacobian.reshape(-1, net.num_params),
                 reference.grad)  # fmt: skip
    for kind in ("hesscale", "hesscale_gn", "bl89"):
        assert close(recursion.diagonal(spec, kind)[0], reference.grad, 1e-10), spec


@pytest.mark.parametrize("loss", ["MSELoss", "PoissonNLLLoss"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_recursion_is_exact_through_one_layer(layer, loss):
    """Below one layer, under a loss of single elements, there is nothing that HesScale drops."""
    spec = table_under([layer], loss)
    reference = JaxReference(spec)
    for kind, matrix in (("hesscale", reference.hessian), ("hesscale_gn", reference.ggn)):
        assert close(recursion.diagonal(spec, kind)[1][:36], np.diag(matrix)[:36], 1e-10), kind


@pytest.mark.parametrize("part", range(3))
def test_random_networks_equal_pytorch(part):
    pytest.importorskip("torch")
    from oracle_layers.torch_net import output_and_vjp

    for seed in range(100 * part, 100 * part + 100):
        spec = random_network(seed)
        net = Net(spec)
        data = make_data(spec, net)
        z = plain.forward(net, data.w, data.x, data.buffers)[-1]
        assert close(output_and_vjp(net, data.w, data.x, data.buffers)[0], z, 1e-11), spec


def test_every_kind_is_drawn():
    wanted = {kind for kind, _ in LAYERS} | {"embedding", "residual", "gate", "squeeze_excite"}
    wanted |= {"multiply", "add", "concat", "inner_product", "dropout", "unflatten", "reshape"}
    wanted |= {"parallel", "side_by_side"}
    drawn, trained, shared = set(), 0, 0
    for seed in range(400):
        spec = random_network(seed)
        drawn |= {kind for kind, _, _ in spec.nodes}
        trained += spec.train
        places = [n.parameters[0][0] for n in Net(spec).nodes if n.parameters and n.kind == "conv"]
        shared += len(set(places)) < len(places)
    assert wanted <= drawn, wanted - drawn
    assert trained >= 20 and shared >= 10


def test_shrinking_keeps_only_what_fails():
    def has_pool(spec):
        return any(n.kind == "max_pool" for n in Net(spec).nodes)

    seeds = [s for s in range(60) if has_pool(random_network(s))]
    for seed in seeds[:3]:
        small = shrink(random_network(seed), has_pool, tries=200)
        assert has_pool(small) and len(Net(small).nodes) <= 6
        assert small.batch == 1 and eval(repr(small)) == small
