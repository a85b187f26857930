"""Layers against PyTorch in float64, where there is one: outputs, gradients, Hessian products."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

torch = pytest.importorskip("torch")
nn = torch.nn

IMAGE, SEQUENCE = (4, 9, 8), (4, 11)
CASES = {
    "conv2d": (hc.Conv2d(4, 6, 3), nn.Conv2d(4, 6, 3), IMAGE),
    "conv2d strided": (
        hc.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), bias=False),
        nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), bias=False),
        IMAGE,
    ),
    "conv2d dilated, in groups": (
        hc.Conv2d(4, 6, 3, 1, 2, 2, 2),
        nn.Conv2d(4, 6, 3, 1, 2, 2, 2),
        IMAGE,
    ),
    "conv2d same": (
        hc.Conv2d(4, 4, (4, 3), padding="same", groups=4),
        nn.Conv2d(4, 4, (4, 3), padding="same", groups=4),
        IMAGE,
    ),
    "conv2d valid": (
        hc.Conv2d(4, 3, 2, padding="valid"),
        nn.Conv2d(4, 3, 2, padding="valid"),
        IMAGE,
    ),
    "conv1d": (hc.Conv1d(4, 6, 3, 2, 1), nn.Conv1d(4, 6, 3, 2, 1), SEQUENCE),
    "conv1d same": (
        hc.Conv1d(4, 6, 4, padding="same", dilation=2),
        nn.Conv1d(4, 6, 4, padding="same", dilation=2),
        SEQUENCE,
    ),
    "conv_transpose2d": (
        hc.ConvTranspose2d(4, 6, 3, 2, 1, 1),
        nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
        IMAGE,
    ),
    "conv_transpose2d in groups": (
        hc.ConvTranspose2d(4, 6, (2, 3), groups=2, bias=False, dilation=2),
        nn.ConvTranspose2d(4, 6, (2, 3), groups=2, bias=False, dilation=2),
        IMAGE,
    ),
    "conv_transpose1d": (
        hc.ConvTranspose1d(4, 2, 3, 3, 0, 2),
        nn.ConvTranspose1d(4, 2, 3, 3, 0, 2),
        SEQUENCE,
    ),
    "max_pool2d": (hc.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1), IMAGE),
    "max_pool2d to the end": (
        hc.MaxPool2d((2, 3), 2, dilation=(2, 1), ceil_mode=True),
        nn.MaxPool2d((2, 3), 2, dilation=(2, 1), ceil_mode=True),
        IMAGE,
    ),
    "max_pool1d": (hc.MaxPool1d(3), nn.MaxPool1d(3), SEQUENCE),
    "avg_pool2d": (hc.AvgPool2d(2), nn.AvgPool2d(2), IMAGE),
    "avg_pool2d padded": (
        hc.AvgPool2d(3, 2, 1, True, False),
        nn.AvgPool2d(3, 2, 1, True, False),
        IMAGE,
    ),
    "avg_pool2d divided": (
        hc.AvgPool2d((3, 2), divisor_override=5),
        nn.AvgPool2d((3, 2), divisor_override=5),
        IMAGE,
    ),
    "avg_pool1d": (hc.AvgPool1d(3, 2, 1), nn.AvgPool1d(3, 2, 1), SEQUENCE),
    "adaptive_avg_pool2d": (
        hc.AdaptiveAvgPool2d((4, None)),
        nn.AdaptiveAvgPool2d((4, None)),
        IMAGE,
    ),
    "adaptive_avg_pool1d": (hc.AdaptiveAvgPool1d(4), nn.AdaptiveAvgPool1d(4), SEQUENCE),
    "adaptive_max_pool2d": (hc.AdaptiveMaxPool2d((4, 3)), nn.AdaptiveMaxPool2d((4, 3)), IMAGE),
    "adaptive_max_pool1d": (hc.AdaptiveMaxPool1d(4), nn.AdaptiveMaxPool1d(4), SEQUENCE),
    "global_avg_pool2d": (hc.GlobalAvgPool2d(), nn.AdaptiveAvgPool2d(1), IMAGE),
    "global_avg_pool1d": (hc.GlobalAvgPool1d(), nn.AdaptiveAvgPool1d(1), SEQUENCE),
    "batch_norm2d": (hc.BatchNorm2d(4), nn.BatchNorm2d(4), IMAGE),
    "batch_norm1d": (hc.BatchNorm1d(4, eps=0.1), nn.BatchNorm1d(4, eps=0.1), SEQUENCE),
    "batch_norm2d of the batch": (
        hc.BatchNorm2d(4, track_running_stats=False),
        nn.BatchNorm2d(4, track_running_stats=False),
        IMAGE,
    ),
    "layer_norm": (hc.LayerNorm((9, 8), eps=0.01), nn.LayerNorm((9, 8), eps=0.01), IMAGE),
    "layer_norm without bias": (
        hc.LayerNorm(8, bias=False),
        nn.LayerNorm(8, bias=False),
        IMAGE,
    ),
    "rms_norm": (hc.RMSNorm(8), nn.RMSNorm(8), IMAGE),
    "group_norm": (hc.GroupNorm(2, 4), nn.GroupNorm(2, 4), IMAGE),
    "instance_norm2d": (
        hc.InstanceNorm2d(4, affine=True),
        nn.InstanceNorm2d(4, affine=True),
        IMAGE,
    ),
    "instance_norm1d": (hc.InstanceNorm1d(4), nn.InstanceNorm1d(4), SEQUENCE),
    "zero_pad2d": (hc.ZeroPad2d((1, 0, 2, -1)), nn.ZeroPad2d((1, 0, 2, -1)), IMAGE),
    "zero_pad1d": (hc.ZeroPad1d((2, 1)), nn.ZeroPad1d((2, 1)), SEQUENCE),
    "upsample": (hc.Upsample(scale_factor=2), nn.Upsample(scale_factor=2), IMAGE),
    "upsample to a size": (hc.Upsample((13, 9)), nn.Upsample((13, 9)), IMAGE),
    "unflatten": (hc.Unflatten(1, (2, -1)), nn.Unflatten(1, (2, -1)), IMAGE),
}


def parameters_of(module):
    return list(module.parameters())


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_layer(name, train, rng):
    layer, module, shape = CASES[name]
    convolve = nn.Conv1d if len(shape) == 2 else nn.Conv2d
    ours = (hc.Conv1d if len(shape) == 2 else hc.Conv2d)(3, shape[0], 1)
    net = hc.Sequential(ours, hc.Tanh(), layer, hc.Sin())
    theirs = nn.Sequential(convolve(3, shape[0], 1), nn.Tanh(), module).double().train(train)
    shape = (3, *shape[1:])
    f = hc.Objective(net, hc.MSELoss(), input_shape=shape)
    w, v = rng.normal(size=(2, f.num_params))
    x, y = rng.normal(size=(5, *shape)), rng.normal(size=(5, *f.output_shape))
    with torch.no_grad():
        for p, view in zip(parameters_of(theirs), f.views(w).values(), strict=True):
            p.copy_(torch.from_numpy(view))
    z = theirs(torch.from_numpy(x)).sin()
    np.testing.assert_allclose(f.predict(w, x, train=train), z.detach().numpy(), atol=1e-12)
    loss = nn.functional.mse_loss(z, torch.from_numpy(y))
    grads = torch.autograd.grad(loss, parameters_of(theirs), create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in grads])
    value, grad = f.value_and_grad(w, x, y, train=train)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(grad, flat.detach().numpy(), rtol=1e-9, atol=1e-12)
    bent = torch.autograd.grad(flat @ torch.from_numpy(v), parameters_of(theirs))
    hv = np.concatenate([b.numpy().ravel() for b in bent])
    np.testing.assert_allclose(
        f.hvp(w, x, y, v, train=train), hv, rtol=1e-8, atol=1e-10 * np.abs(hv).max()
    )


def test_embedding(rng):
    x = rng.integers(0, 6, size=(5, 4))
    net = hc.Sequential(hc.Embedding(6, 3, padding_idx=1), hc.Sin())
    f = hc.Objective(net, hc.MSELoss(), input_shape=(4,))
    w, y = rng.normal(size=f.num_params), rng.normal(size=(5, 4, 3))
    module = nn.Embedding(6, 3, padding_idx=1).double()
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(w.reshape(6, 3)))
    loss = nn.functional.mse_loss(module(torch.from_numpy(x)).sin(), torch.from_numpy(y))
    loss.backward()
    value, grad = f.value_and_grad(w, x, y)
    assert value == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(grad, module.weight.grad.numpy().ravel(), rtol=1e-11, atol=1e-14)
