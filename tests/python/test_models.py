"""Networks of `hc.models`: published parameter counts, and the same nets built with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

IMAGE, DIGIT = (3, 32, 32), (1, 28, 28)
PUBLISHED = {
    "mlp": (lambda: hc.models.mlp(784, 512, 256, 10), (784,), 535_818),
    "lenet5": (hc.models.lenet5, DIGIT, 61_706),
    "cnn_3c3d": (hc.models.cnn_3c3d, IMAGE, 895_210),
    "all_cnn_c": (hc.models.all_cnn_c, IMAGE, 1_387_108),
    "resnet18_cifar": (hc.models.resnet18_cifar, IMAGE, 11_173_962),
    "resnet20": (hc.models.resnet20, IMAGE, 272_474),
}


def objective(net, shape):
    return hc.Objective(net, hc.CrossEntropyLoss(), input_shape=shape)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name):
    make, shape, count = PUBLISHED[name]
    f = objective(make(), shape)
    assert f.num_params == count
    assert f.output_shape == ((100,) if name == "all_cnn_c" else (10,))


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_norms_of_the_residual_nets(norm):
    for make in (hc.models.resnet18_cifar, hc.models.resnet20, hc.models.efficient_block_net):
        names = list(objective(make(norm=norm), IMAGE).layout)
        assert ("0.bias" in names) == (norm == "none")
    with pytest.raises(hc.OptionError, match="norm"):
        hc.models.resnet20(norm="layer")


def test_bad_arguments():
    with pytest.raises(hc.OptionError, match="two widths"):
        hc.models.mlp(3)
    with pytest.raises(hc.OptionError, match="contexts"):
        hc.models.skipgram(5, 2, contexts=0)


# ---- PyTorch -----------------------------------------------------------------------------------


def translate(layer, nn):
    """The same module, made by PyTorch."""
    of = {hc.ReLU: nn.ReLU, hc.Tanh: nn.Tanh, hc.SiLU: nn.SiLU, hc.Sigmoid: nn.Sigmoid}
    if type(layer) in of:
        return of[type(layer)]()
    if isinstance(layer, (hc.Flatten, hc.Identity)):
        return getattr(nn, type(layer).__name__)()
    if isinstance(layer, hc.Dropout):
        return nn.Dropout(layer.p)
    if isinstance(layer, hc.Linear):
        return nn.Linear(layer.in_features, layer.out_features, layer.bias)
    if isinstance(layer, hc.Conv2d):
        sizes = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups
        return nn.Conv2d(layer.in_channels, layer.out_channels, *sizes, layer.bias)
    if isinstance(layer, hc.MaxPool2d):
        return nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding, ceil_mode=True)
    if isinstance(layer, hc.AvgPool2d):
        return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
    if isinstance(layer, hc.GlobalAvgPool2d):
        return nn.AdaptiveAvgPool2d(1)
    if isinstance(layer, hc.BatchNorm2d):
        return nn.BatchNorm2d(layer.num_features)
    if isinstance(layer, hc.GroupNorm):
        return nn.GroupNorm(layer.num_groups, layer.num_channels)
    assert isinstance(layer, hc.Sequential), layer
    branch = nn.Sequential(*(translate(inner, nn) for inner in layer.layers))
    shortcut = getattr(layer, "shortcut", None)
    gate, residual = isinstance(layer, hc.Gate), isinstance(layer, hc.Residual)
    other = nn.Identity() if shortcut is None else translate(shortcut, nn)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch, self.other = branch, other

        def forward(self, x):
            if gate:
                return x * self.branch(x)
            return self.branch(x) + self.other(x) if residual else self.branch(x)

    return Block()


NETS = {
    "lenet5": (hc.models.lenet5, DIGIT),
    "cnn_3c3d": (hc.models.cnn_3c3d, IMAGE),
    "all_cnn_c": (lambda: hc.models.all_cnn_c(10), IMAGE),
    "resnet18_cifar": (hc.models.resnet18_cifar, (3, 16, 16)),
    "resnet20": (hc.models.resnet20, IMAGE),
    "resnet20 with groups": (lambda: hc.models.resnet20(norm="group"), IMAGE),
    "resnet20 without norms": (lambda: hc.models.resnet20(norm="none"), IMAGE),
    "efficient_block_net": (lambda: hc.models.efficient_block_net(width=4), IMAGE),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_outputs_and_gradients_equal_those_of_pytorch(name, train, rng):
    torch = pytest.importorskip("torch")
    make, shape = NETS[name]
    if train and name == "all_cnn_c":
        pytest.skip("its dropout draws other masks")
    net = make()
    f = objective(net, shape)
    torch.set_num_threads(1)  # its threads and ours would wait for each other
    theirs = translate(net, torch.nn).double().train(train)
    w = f.init(dtype="float64")
    w += 0.01 * rng.normal(size=w.shape)
    parameters = list(theirs.parameters())
    assert sum(p.numel() for p in parameters) == f.num_params
    with torch.no_grad():
        for p, view in zip(parameters, f.views(w).values(), strict=True):
            p.copy_(torch.from_numpy(view))
    x, y = rng.normal(size=(3, *shape)), rng.integers(0, 10, size=3)
    loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y))
    loss.backward()
    value, grad = f.value_and_grad(w, x, y, train=train)
    assert value == pytest.approx(loss.item(), rel=1e-11)
    flat = np.concatenate([p.grad.numpy().ravel() for p in parameters])
    np.testing.assert_allclose(grad, flat, rtol=1e-7, atol=1e-11 * np.abs(flat).max())
