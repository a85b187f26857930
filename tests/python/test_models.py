"""Networks of `hc.models`: published parameter counts, norms, arguments."""

from __future__ import annotations

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
