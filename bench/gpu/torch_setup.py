"""A case as PyTorch computes it, on a GPU if there is one, in the faster memory format."""

from __future__ import annotations

import time

import torch
from networks import Case, NetCase, layers, make
from torch import nn
from torch_nets import network

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def faster_format(net: nn.Module, x: torch.Tensor) -> torch.memory_format:
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


class Setup:
    """A case on the device: module, batch, and parameters with the state of an optimizer."""

    def __init__(self, case: Case | NetCase) -> None:
        self.given, self.layers = make(case), layers(case)
        self.net = network(self.given).to(DEVICE)
        x = torch.from_numpy(self.given.x).to(DEVICE)
        self.y = torch.from_numpy(self.given.y).to(DEVICE)
        self.format = faster_format(self.net, x)
        self.net.to(memory_format=self.format)
        self.x = x.to(memory_format=self.format)
        self.w = [p.detach().clone() for p in self.net.parameters()]
        self.m, self.u = ([torch.zeros_like(p) for p in self.w] for _ in range(2))

    def step(self, function, *options):
        with torch.no_grad():
            return function(self.layers, self.w, self.m, self.u, self.x, self.y, *options)
