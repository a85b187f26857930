"""Layers and containers: descriptions of a network, without any arrays in them."""

from .base import Builder, Layer, Shape, as_layers
from .containers import Concat, Gate, Parallel, Residual, Sequential
from .conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from .linear import Linear
from .structure import Dropout, Flatten, Identity

__all__ = [
    "Builder",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dropout",
    "Flatten",
    "Gate",
    "Identity",
    "Layer",
    "Linear",
    "Parallel",
    "Residual",
    "Sequential",
    "Shape",
    "as_layers",
]
