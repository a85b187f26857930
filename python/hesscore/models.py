"""Networks that papers and benchmarks use, built from the layers.

Every function returns a network without arrays: give it to `Objective` with a loss and, but for
`mlp` and `skipgram`, the `input_shape` that its docstring names.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from . import _check, errors
from .graph import Graph
from .layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Identity,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    SiLU,
    SqueezeExcite,
    Tanh,
)

_NORMS = ("batch", "group", "none")


def mlp(*sizes: int, activation: Callable[[], Layer] = Tanh) -> Sequential:
    """Make a multilayer perceptron with the given widths, the input's first.

    Parameters
    ----------
    *sizes : int
        Two widths or more.
    activation : callable
        Makes the layer between two dense ones, for instance `hc.ReLU`.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.models.mlp(784, 512, 256, 10, activation=hc.ReLU)
    >>> hc.Objective(net, hc.CrossEntropyLoss()).num_params
    535818
    """
    if len(sizes) < 2:
        raise errors.OptionError.about("sizes", "two widths or more", len(sizes))
    layers: list[Layer] = []
    for n, m in pairwise(sizes):
        layers += [Linear(n, m), activation()]
    return Sequential(*layers[:-1])


def lenet5(num_classes: int = 10) -> Sequential:
    """Make LeNet-5 (LeCun et al. 1998) with full connections and tanh, for (1, 28, 28).

    61,706 parameters for ten classes.

    Examples
    --------
    >>> import hesscore as hc
    >>> f = hc.Objective(hc.models.lenet5(), hc.CrossEntropyLoss(), input_shape=(1, 28, 28))
    >>> f.num_params
    61706
    """
    return Sequential(
        *(Conv2d(1, 6, 5, padding=2), Tanh(), AvgPool2d(2)),
        *(Conv2d(6, 16, 5), Tanh(), AvgPool2d(2)),
        *(Flatten(), Linear(400, 120), Tanh(), Linear(120, 84), Tanh()),
        Linear(84, num_classes),
    )


def cnn_3c3d(num_classes: int = 10) -> Sequential:
    """Make DeepOBS' net of three convolutions and three dense layers, for (3, 32, 32).

    895,210 parameters for ten classes (Schneider et al. 2019). A pooling window may reach over the
    end, which is the "same" padding of the original.

    Examples
    --------
    >>> import hesscore as hc
    >>> f = hc.Objective(hc.models.cnn_3c3d(), hc.CrossEntropyLoss(), input_shape=(3, 32, 32))
    >>> f.num_params
    895210
    """

    def pool() -> MaxPool2d:
        return MaxPool2d(3, stride=2, ceil_mode=True)

    return Sequential(
        *(Conv2d(3, 64, 5), ReLU(), pool()),
        *(Conv2d(64, 96, 3), ReLU(), pool()),
        *(Conv2d(96, 128, 3, padding="same"), ReLU(), pool()),
        *(Flatten(), Linear(1152, 512), ReLU(), Linear(512, 256), ReLU()),
        Linear(256, num_classes),
    )


def all_cnn_c(num_classes: int = 100, dropout: bool = True) -> Sequential:
    """Make All-CNN-C (Springenberg et al. 2015), convolutions alone, for (3, 32, 32).

    1,387,108 parameters for 100 classes.

    Parameters
    ----------
    num_classes : int
        Channels of the last convolution.
    dropout : bool
        Whether 20 % of the input and 50 % after each stage are dropped in training.

    Examples
    --------
    >>> import hesscore as hc
    >>> f = hc.Objective(hc.models.all_cnn_c(), hc.CrossEntropyLoss(), input_shape=(3, 32, 32))
    >>> f.num_params
    1387108
    """

    def drop(p: float) -> Layer:
        return Dropout(p) if dropout else Identity()

    def conv(n: int, m: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> list[Layer]:
        return [Conv2d(n, m, kernel, stride, padding), ReLU()]

    return Sequential(
        *(drop(0.2), *conv(3, 96), *conv(96, 96), *conv(96, 96, stride=2), drop(0.5)),
        *(*conv(96, 192), *conv(192, 192), *conv(192, 192, stride=2), drop(0.5)),
        *(*conv(192, 192, padding=0), *conv(192, 192, 1, padding=0)),
        *(*conv(192, num_classes, 1, padding=0), GlobalAvgPool2d(), Flatten()),
    )


def _conv(n: int, m: int, kernel: int, stride: int, norm: str, groups: int = 1) -> list[Layer]:
    """Make a convolution and its normalisation, which takes the bias' place."""
    conv = Conv2d(n, m, kernel, stride, kernel // 2, groups=groups, bias=norm == "none")
    if norm == "none":
        return [conv]
    return [conv, BatchNorm2d(m) if norm == "batch" else GroupNorm(min(8, m), m)]


def _basic_block(n: int, m: int, stride: int, norm: str) -> list[Layer]:
    shortcut = None if n == m and stride == 1 else Sequential(*_conv(n, m, 1, stride, norm))
    branch = [*_conv(n, m, 3, stride, norm), ReLU(), *_conv(m, m, 3, 1, norm)]
    return [Residual(*branch, shortcut=shortcut), ReLU()]


def _resnet(widths: list[int], blocks: int, num_classes: int, norm: str) -> Sequential:
    if norm not in _NORMS:
        raise errors.unknown("norm", norm, _NORMS)
    layers: list[Layer] = [*_conv(3, widths[0], 3, 1, norm), ReLU()]
    n = widths[0]
    for stage, m in enumerate(widths):
        for block in range(blocks):
            layers += _basic_block(n, m, 2 if stage > 0 and block == 0 else 1, norm)
            n = m
    return Sequential(*layers, GlobalAvgPool2d(), Flatten(), Linear(n, num_classes))


def resnet18_cifar(num_classes: int = 10, norm: str = "batch") -> Sequential:
    """Make ResNet-18 (He et al. 2016) with a 3x3 stem and no first pooling, for (3, 32, 32).

    11,173,962 parameters for ten classes.

    Parameters
    ----------
    num_classes : int
        Outputs.
    norm : {"batch", "group", "none"}
        What follows each convolution: "group" has groups of eight, "none" gives them a bias.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.models.resnet18_cifar()
    >>> hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(3, 32, 32)).num_params
    11173962
    """
    return _resnet([64, 128, 256, 512], 2, num_classes, norm)


def resnet20(num_classes: int = 10, norm: str = "batch") -> Sequential:
    """Make the ResNet-20 for CIFAR (He et al. 2016), with projections, for (3, 32, 32).

    272,474 parameters for ten classes.

    Parameters
    ----------
    num_classes, norm
        As in `resnet18_cifar`.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.models.resnet20()
    >>> hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(3, 32, 32)).num_params
    272474
    """
    return _resnet([16, 32, 64], 3, num_classes, norm)


def _mobile_block(n: int, m: int, stride: int, expansion: int, norm: str) -> Layer:
    """Make an inverted bottleneck: expand, depthwise, squeeze and excite, project."""
    wide = n * expansion
    layers = [
        *(*_conv(n, wide, 1, 1, norm), SiLU()),
        *(*_conv(wide, wide, 3, stride, norm, groups=wide), SiLU()),
        SqueezeExcite(wide, max(1, n // 4), activation=SiLU()),
        *_conv(wide, m, 1, 1, norm),
    ]
    return Residual(*layers) if n == m and stride == 1 else Sequential(*layers)


def efficient_block_net(
    num_classes: int = 10, width: int = 16, expansion: int = 4, norm: str = "batch"
) -> Sequential:
    """Make a small net of EfficientNet's blocks (Tan & Le 2019), for images (3, H, W).

    A stem, four inverted bottlenecks with depthwise convolutions and squeeze-and-excitation, two of
    them with stride 2, and a head; SiLU throughout.

    Parameters
    ----------
    num_classes : int
        Outputs.
    width : int
        Channels of the stem; the stages have one, two and four times as many.
    expansion : int
        Channels inside a block over those before it.
    norm : {"batch", "group", "none"}
        As in `resnet18_cifar`.

    Examples
    --------
    >>> import hesscore as hc
    >>> net = hc.models.efficient_block_net(norm="group")
    >>> hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(3, 32, 32)).output_shape
    (10,)
    """
    if norm not in _NORMS:
        raise errors.unknown("norm", norm, _NORMS)
    w, e = _check.integer("width", width, 1), _check.integer("expansion", expansion, 1)
    return Sequential(
        *(*_conv(3, w, 3, 1, norm), SiLU()),
        _mobile_block(w, w, 1, e, norm),
        _mobile_block(w, 2 * w, 2, e, norm),
        _mobile_block(2 * w, 2 * w, 1, e, norm),
        _mobile_block(2 * w, 4 * w, 2, e, norm),
        *(*_conv(4 * w, 8 * w, 1, 1, norm), SiLU()),
        *(GlobalAvgPool2d(), Flatten(), Linear(8 * w, num_classes)),
    )


def skipgram(vocab: int, dim: int, contexts: int = 1) -> Graph:
    """Make word2vec's skip-gram (Mikolov et al. 2013): inner products of words and contexts.

    Two integer inputs, "word" (N,) and "context" (N, contexts), true ones and negative samples; the
    outputs (N, contexts) are logits for `BCEWithLogitsLoss`. There are ``2 vocab dim`` parameters.

    Parameters
    ----------
    vocab, dim : int
        Rows and columns of each table.
    contexts : int
        Contexts for each word.

    Returns
    -------
    Graph

    Examples
    --------
    >>> import hesscore as hc
    >>> f = hc.Objective(hc.models.skipgram(1000, 16, contexts=6), hc.BCEWithLogitsLoss())
    >>> f.inputs, f.num_params, f.output_shape
    (('word', 'context'), 32000, (6,))
    """
    g = Graph()
    word = g.input((), name="word")
    context = g.input((_check.integer("contexts", contexts, 1),), name="context")
    words = g(Embedding(vocab, dim), word, name="words")
    g.output(g.inner(words, g(Embedding(vocab, dim), context, name="contexts")))
    return g
