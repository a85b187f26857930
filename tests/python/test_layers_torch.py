"""Every layer and option against PyTorch, and curvature diagonals against BackPACK."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

pytest.importorskip("torch")

import torch

from oracle_layers import Net, make_data, random_network
from oracle_layers.build import objective
from oracle_layers.torch_net import output_and_vjp

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")

IMAGE, SEQUENCE = (4, 6, 5), (4, 9)

# (class, positional arguments, options, input without the batch)
CASES = [
    ("Conv2d", (4, 3, 3), {}, IMAGE),
    ("Conv2d", (4, 3, (2, 3)), {"stride": (2, 1), "padding": (1, 2)}, IMAGE),
    ("Conv2d", (4, 6, 3), {"groups": 2, "padding": 1, "bias": False}, IMAGE),
    ("Conv2d", (4, 8, 3), {"groups": 4, "stride": 2, "padding": 1}, IMAGE),
    ("Conv2d", (4, 2, (2, 3)), {"dilation": 2, "padding": "same"}, IMAGE),
    ("Conv2d", (4, 2, (4, 2)), {"padding": "same"}, IMAGE),
    ("Conv2d", (4, 2, 2), {"padding": "valid"}, IMAGE),
    ("Conv2d", (4, 5, 1), {}, IMAGE),
    ("Conv1d", (4, 3, 4), {"stride": 2, "padding": 3}, SEQUENCE),
    ("Conv1d", (4, 4, 3), {"groups": 4, "dilation": 3, "padding": "same"}, SEQUENCE),
    ("ConvTranspose2d", (4, 3, 3), {}, IMAGE),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": (2, 3), "padding": 1, "groups": 2}, IMAGE),
    ("ConvTranspose2d", (4, 3, 2), {"stride": 3, "output_padding": (2, 1)}, IMAGE),
    ("ConvTranspose2d", (4, 4, 2), {"dilation": 2, "groups": 4, "bias": False}, IMAGE),
    ("ConvTranspose1d", (4, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1}, SEQUENCE),
    ("MaxPool2d", (2,), {}, IMAGE),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1}, IMAGE),
    ("MaxPool2d", ((3, 2),), {"stride": 1}, IMAGE),
    ("MaxPool2d", (2,), {"ceil_mode": True, "stride": (2, 3)}, IMAGE),
    ("MaxPool2d", (2,), {"dilation": 2, "stride": 1}, IMAGE),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, SEQUENCE),
    ("AvgPool2d", (2,), {}, IMAGE),
    ("AvgPool2d", ((3, 2),), {"stride": 1, "padding": 1}, IMAGE),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, IMAGE),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, IMAGE),
    ("AvgPool2d", (2,), {"divisor_override": 3}, IMAGE),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, SEQUENCE),
    ("AdaptiveAvgPool2d", ((4, 3),), {}, IMAGE),
    ("AdaptiveAvgPool2d", (1,), {}, IMAGE),
    ("AdaptiveAvgPool1d", (4,), {}, SEQUENCE),
    ("AdaptiveMaxPool2d", ((4, 3),), {}, IMAGE),
    ("BatchNorm2d", (4,), {"eps": 1e-3}, IMAGE),
    ("BatchNorm2d", (4,), {"affine": False}, IMAGE),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, IMAGE),
    ("BatchNorm1d", (4,), {}, (4,)),
    ("BatchNorm1d", (4,), {}, SEQUENCE),
    ("LayerNorm", (5,), {}, IMAGE),
    ("LayerNorm", (IMAGE,), {"eps": 1e-2, "bias": False}, IMAGE),
    ("LayerNorm", (9,), {"elementwise_affine": False}, SEQUENCE),
    ("GroupNorm", (2, 4), {}, IMAGE),
    ("GroupNorm", (1, 4), {"affine": False}, SEQUENCE),
    ("GroupNorm", (4, 4), {"eps": 1e-2}, (4,)),
    ("InstanceNorm2d", (4,), {"affine": True}, IMAGE),
    ("RMSNorm", (5,), {}, IMAGE),
    ("RMSNorm", ((6, 5),), {"eps": 1e-2}, IMAGE),
    ("RMSNorm", (9,), {"elementwise_affine": False}, SEQUENCE),
    ("ZeroPad2d", ((1, 2, 0, 3),), {}, IMAGE),
    ("ZeroPad2d", (2,), {}, IMAGE),
    ("Upsample", (), {"scale_factor": 2}, IMAGE),
    ("Upsample", (), {"size": (7, 11)}, IMAGE),
    ("Upsample", (), {"size": 4}, SEQUENCE),
    ("Unflatten", (1, (2, 2)), {}, IMAGE),
    ("Flatten", (), {}, IMAGE),
]


def tensor(a):
    return torch.tensor(np.asarray(a))


def pair(name, args, options, shape):
    """The same parameters in ``Sequential(Conv or Linear, layer)``: ours and PyTorch's."""
    first = (
        (hc.Linear(shape[0], shape[0]), torch.nn.Linear(shape[0], shape[0]))
        if len(shape) == 1
        else (hc.Conv2d(4, 4, 1), torch.nn.Conv2d(4, 4, 1))
        if len(shape) == 3
        else (hc.Conv1d(4, 4, 1), torch.nn.Conv1d(4, 4, 1))
    )
    net = hc.Sequential(first[0], getattr(hc, name)(*args, **options))
    f = hc.Objective(net, hc.MSELoss(), input_shape=shape)
    theirs = torch.nn.Sequential(first[1], getattr(torch.nn, name)(*args, **options)).double()
    w = np.random.default_rng(0).normal(size=f.num_params)
    torch.nn.utils.vector_to_parameters(tensor(w), theirs.parameters())
    return f, theirs, w


@pytest.mark.parametrize(
    ("name", "args", "options", "shape", "train"),
    [(*c, False) for c in CASES] + [(*c, True) for c in CASES if "Batch" in c[0]],
    ids=str,
)
def test_layer(name, args, options, shape, train):
    f, theirs, w = pair(name, args, options, shape)
    theirs.train(train)
    rng = np.random.default_rng(1)
    if "Batch" in name and options.get("track_running_stats", True):
        f.buffers["1.running_mean"][...] = mean = rng.normal(size=4)
        f.buffers["1.running_var"][...] = var = rng.uniform(0.5, 2, size=4)
        theirs[1].running_mean[:], theirs[1].running_var[:] = tensor(mean), tensor(var)
    x = rng.normal(size=(3, *shape))
    z = theirs(tensor(x))
    np.testing.assert_allclose(f.predict(w, x, train=train), z.detach(), rtol=1e-11, atol=1e-12)
    u = rng.normal(size=z.shape)
    (z * tensor(u)).sum().backward()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in theirs.parameters()]
    expected = torch.nn.utils.parameters_to_vector(grads).numpy()
    np.testing.assert_allclose(f.vjp(w, x, u, train=train), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("padding", [None, 2])
def test_embedding(padding):
    f = hc.Objective(hc.Embedding(5, 3, padding_idx=padding), hc.MSELoss(), input_shape=(4,))
    theirs = torch.nn.Embedding(5, 3, padding_idx=padding).double()
    w = np.random.default_rng(0).normal(size=f.num_params)
    torch.nn.utils.vector_to_parameters(tensor(w), theirs.parameters())
    x = np.array([[0, 2, 2, 4], [1, 1, 1, 0], [2, 3, 4, 4]])
    z = theirs(tensor(x))
    np.testing.assert_array_equal(f.predict(w, x), z.detach())
    u = np.random.default_rng(1).normal(size=z.shape)
    (z * tensor(u)).sum().backward()
    np.testing.assert_allclose(f.vjp(w, x, u), theirs.weight.grad.ravel(), rtol=1e-13)


@pytest.mark.parametrize("seed", range(20_000, 20_150))
def test_random_network(seed):
    spec = random_network(seed)
    net = Net(spec)
    data = make_data(spec, net)
    f = objective(spec, data)
    x = data.x if len(data.x) > 1 else next(iter(data.x.values()))
    z, _ = output_and_vjp(net, data.w, data.x, data.buffers)
    np.testing.assert_allclose(f.predict(data.w, x, train=spec.train), z, rtol=1e-9, atol=1e-11)
    u = np.random.default_rng(seed).normal(size=z.shape)
    _, expected = output_and_vjp(net, data.w, data.x, data.buffers, u)
    got = f.vjp(data.w, x, u, train=spec.train)
    error = np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-3)
    assert error < 1e-10, spec


# ---- BackPACK: sequential nets of layers that it has, and has right ----


def lenet(module):
    """A small LeNet; PyTorch and we share the names."""
    return module.Sequential(
        module.Conv2d(2, 3, 3, padding=1), module.Tanh(), module.MaxPool2d(2),
        module.Conv2d(3, 2, 2, stride=2), module.Sigmoid(), module.Flatten(),
        module.Linear(2 * 2 * 2, 3),
    )  # fmt: skip


def transposed(module):
    return module.Sequential(
        module.ConvTranspose2d(2, 3, 2, stride=2), module.ReLU(), module.AvgPool2d(3),
        module.Conv2d(3, 2, 3, dilation=2, padding=2), module.Flatten(),
        module.Linear(2 * 4 * 4, 3),
    )  # fmt: skip


def backpacked(make, *extensions):
    """Our objective, its arguments, and what BackPACK computes at the same point."""
    backpack = pytest.importorskip("backpack")
    shape = (2, 8, 8) if make is lenet else (2, 6, 6)
    f = hc.Objective(make(hc), hc.CrossEntropyLoss(), input_shape=shape)
    rng = np.random.default_rng(4)
    w, x, y = rng.normal(size=f.num_params) * 0.5, rng.normal(size=(5, *shape)), np.arange(5) % 3
    net = backpack.extend(make(torch.nn).double())
    torch.nn.utils.vector_to_parameters(tensor(w), net.parameters())
    loss = backpack.extend(torch.nn.CrossEntropyLoss())(net(tensor(x)), tensor(y))
    with backpack.backpack(*extensions):
        loss.backward()

    def read(field):
        parts = [getattr(p, field) for p in net.parameters()]
        keep = 1 if field == "grad_batch" else 0
        return np.concatenate([np.asarray(p.reshape(*p.shape[:keep], -1)) for p in parts], axis=-1)

    return f, (w, x, y), read


@pytest.mark.parametrize("make", [lenet])
def test_exact_gauss_newton_diagonal_is_backpacks(make):
    extensions = pytest.importorskip("backpack.extensions")
    f, point, read = backpacked(make, extensions.DiagGGNExact())
    got = f.diag(*point, kind="ggn")
    np.testing.assert_allclose(got, read("diag_ggn_exact"), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("make", [lenet, transposed])
def test_own_gradients_are_backpacks(make):
    """Theirs are of the mean loss, 1 / N in each: N times the sum of their squares is ours."""
    extensions = pytest.importorskip("backpack.extensions")
    f, point, read = backpacked(make, extensions.BatchGrad())
    own = read("grad_batch")
    got = f.diag(*point, kind="empirical_fisher")
    np.testing.assert_allclose(got, len(own) * (own**2).sum(0), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(f.value_and_grad(*point)[1], own.sum(0), rtol=1e-9, atol=1e-13)


@pytest.mark.statistics
@pytest.mark.parametrize("make", [lenet])
def test_sampled_gauss_newton_diagonal_agrees_with_backpacks(make):
    """Two estimates of one number, each within five standard errors of the exact one."""
    extensions = pytest.importorskip("backpack.extensions")
    f, point, read = backpacked(make, extensions.DiagGGNMC(mc_samples=4000))
    exact = f.diag(*point, kind="ggn")
    draws = np.array([f.diag(*point, kind="ggn_mc", samples=1, seed=s) for s in range(400)])
    spread = draws.std(0)
    room = 5 * spread + 1e-12 * exact.max()
    assert (np.abs(draws.mean(0) - exact) < room / np.sqrt(400) + 1e-3 * exact).all()
    assert (np.abs(read("diag_ggn_mc") - exact) < 1.5 * room / np.sqrt(4000) + 1e-3 * exact).all()
