"""PyTorch by itself: gradients, its Adam, double backward, and AdaHessian written with these."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools

import torch
from torch import nn

from .cases import Case
from .problem import ADAM, PROBES, Problem
from .rows import Row
from .torch_nets import network
from .torch_sides import (
    batch,
    join_tensors,
    loss,
    on_network,
    rademacher,
    set_threads,
    vectors,
    versions_with,
)

__all__ = ["rows", "set_threads", "versions"]

versions = versions_with


def rows(problem: Problem) -> dict[str, Row]:
    x, y = batch(problem)
    v = vectors(problem)
    on = functools.partial(on_network, problem)

    def moved(tensors):
        return join_tensors(tensors) - problem.w

    found = {
        "gradient": on(lambda net: gradient(net, x, y), join_tensors),
        "adam_step": on(lambda net: adam(net, x, y), moved),
        "adahessian_step": on(lambda net: AdaHessian(net, x, y).step),
        "hutchinson": on(lambda net: lambda: hutchinson(net, x, y)),
        "hvp": on(lambda net: lambda: hvp(net, x, y, v), join_tensors),
        "hvp, linearised once": on(lambda net: kept(net, x, y, v), join_tensors),
        "products": on(lambda net: many(net, x, y, v)),
    }
    if not isinstance(problem.case, Case):
        found["gradient, channels last"] = Row(lambda: channels_last(problem), join_tensors)
    return found


def gradient(net: nn.Module, x: torch.Tensor, y: torch.Tensor):
    def call():
        net.zero_grad()
        loss(net(x), y).backward()
        return [p.grad for p in net.parameters()]

    return call


def channels_last(problem: Problem):
    x, y = batch(problem)
    net = network(problem).to(memory_format=torch.channels_last)
    return gradient(net, x.contiguous(memory_format=torch.channels_last), y)


def adam(net: nn.Module, x: torch.Tensor, y: torch.Tensor):
    params, betas = list(net.parameters()), (ADAM["beta1"], ADAM["beta2"])
    optimizer = torch.optim.Adam(params, ADAM["lr"], betas, ADAM["eps"], fused=True)

    def call():
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
        return params

    return call


def taped(net: nn.Module, x: torch.Tensor, y: torch.Tensor):
    """Parameters, and gradients that can be differentiated."""
    params = list(net.parameters())
    return params, torch.autograd.grad(loss(net(x), y), params, create_graph=True)


def hvp(net: nn.Module, x: torch.Tensor, y: torch.Tensor, v: list[torch.Tensor]):
    params, grads = taped(net, x, y)
    return torch.autograd.grad(grads, params, grad_outputs=v)


def kept(net: nn.Module, x: torch.Tensor, y: torch.Tensor, v: list[torch.Tensor]):
    """Products from a graph that is kept."""
    params, grads = taped(net, x, y)
    return lambda: torch.autograd.grad(grads, params, grad_outputs=v, retain_graph=True)


def many(net: nn.Module, x: torch.Tensor, y: torch.Tensor, v: list[torch.Tensor]):
    one = kept(net, x, y, v)
    return lambda: [one() for _ in range(PROBES)]


def hutchinson(net: nn.Module, x: torch.Tensor, y: torch.Tensor):
    """Gradient, and z * Hz for one vector of random signs."""
    params, grads = taped(net, x, y)
    z = rademacher(params)
    products = torch.autograd.grad(grads, params, grad_outputs=z)
    return grads, [a * b for a, b in zip(z, products, strict=True)]


class AdaHessian:
    """Adam with squares of a Hutchinson diagonal for those of the gradient (Yao et al. 2021)."""

    def __init__(self, net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
        self.net, self.x, self.y, self.steps = net, x, y, 0
        self.params = list(net.parameters())
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]

    def step(self) -> None:
        """Moments, and the step, by operations over all tensors at once."""
        grads, diagonal = hutchinson(self.net, self.x, self.y)
        beta1, beta2 = ADAM["beta1"], ADAM["beta2"]
        self.steps += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.means, [g.detach() for g in grads], 1 - beta1)
            torch._foreach_mul_(self.squares, beta2)
            torch._foreach_addcmul_(self.squares, diagonal, diagonal, 1 - beta2)
            roots = torch._foreach_sqrt(self.squares)
            torch._foreach_div_(roots, (1 - beta2**self.steps) ** 0.5)
            torch._foreach_add_(roots, ADAM["eps"])
            rate = -ADAM["lr"] / (1 - beta1**self.steps)
            torch._foreach_addcdiv_(self.params, self.means, roots, rate)
