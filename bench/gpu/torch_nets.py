"""The networks of the comparison as PyTorch modules, and the faster of the two memory formats."""

from __future__ import annotations

import time

import torch
from networks import Case, Layer, Problem
from torch import nn
from torch.nn import functional


def module(layer: Layer, x: tuple[int, ...]) -> nn.Module:
    match layer.kind:
        case "linear":
            return nn.Linear(x[0], layer.out)
        case "conv":
            return nn.Conv2d(x[0], layer.out, layer.kernel, layer.stride, layer.padding)
        case "avg":
            return nn.AvgPool2d(layer.kernel)
        case "max":
            return nn.MaxPool2d(layer.kernel, layer.stride, ceil_mode=True)
        case "mean":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {"tanh": nn.Tanh, "relu": nn.ReLU, "flatten": nn.Flatten}[layer.kind]()


def network(case: Case, given: Problem) -> nn.Sequential:
    """The layers with the given weights."""
    net = nn.Sequential(*map(module, case.layers, case.shapes()))
    parts = [torch.from_numpy(part) for pair in given.layers for part in pair]
    with torch.no_grad():
        for parameter, part in zip(net.parameters(), parts, strict=True):
            parameter.copy_(part)
    return net


class Block(nn.Module):
    """A basic block of a ResNet."""

    def __init__(self, n: int, m: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(nn.Conv2d(n, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU()),
            *(nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m)),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.extend([nn.Conv2d(n, m, 1, stride, bias=False), nn.BatchNorm2d(m)])

    def forward(self, x):
        return functional.relu(self.branch(x) + self.shortcut(x))


def resnet18() -> nn.Sequential:
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for n, m in ((64, 64), (64, 128), (128, 256), (256, 512)):
        layers += [Block(n, m, 2 if m > n else 1), Block(m, m, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def faster_format(net: nn.Module, x: torch.Tensor, wait) -> torch.memory_format:
    """The memory format in which a forward and a backward pass take less time."""
    if x.ndim == 2:
        return torch.contiguous_format
    seconds = {}
    for form in (torch.contiguous_format, torch.channels_last):
        net.to(memory_format=form)
        a = x.to(memory_format=form)
        for _ in range(8):  # the last one counts: the first ones choose algorithms
            wait()
            start = time.perf_counter()
            net(a).sum().backward()
            wait()
            seconds[form] = time.perf_counter() - start
    net.zero_grad()
    return min(seconds, key=lambda form: seconds[form])
