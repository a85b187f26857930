"""The networks as PyTorch modules."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools

import torch
from torch import nn

from .problem import Problem


class Sum(nn.Module):
    """The branch plus the shortcut."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + self.shortcut(x)


def module(kind: str, *numbers) -> nn.Module:
    if kind == "conv":
        *sizes, bias = numbers
        return nn.Conv2d(*sizes, bias=bias)
    if kind == "residual":
        return Sum(*(nn.Sequential(*(module(*layer) for layer in part)) for part in numbers))
    makers = {
        "linear": nn.Linear,
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "flatten": nn.Flatten,
        "batch_norm": nn.BatchNorm2d,
        "mean_pool": nn.AvgPool2d,
        "max_pool": functools.partial(nn.MaxPool2d, ceil_mode=True),
        "mean": functools.partial(nn.AdaptiveAvgPool2d, 1),
    }
    return makers[kind](*numbers)


def network(problem: Problem) -> nn.Sequential:
    net = nn.Sequential(*(module(*layer) for layer in problem.case.layers))
    with torch.no_grad():
        for p, values in zip(net.parameters(), problem.parameters, strict=True):
            p.copy_(torch.from_numpy(values))
    return net
