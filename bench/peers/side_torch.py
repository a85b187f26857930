"""PyTorch on the CPU, and BackPACK on top of it."""

from __future__ import annotations

import backpack
import torch
from backpack import extensions
from backpack.hessianfree.ggnvp import ggn_vector_product
from problem import Problem, join
from torch import nn


def set_threads(count: int) -> None:
    torch.set_num_threads(count)


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"torch": torch.__version__, "backpack": version("backpack-for-pytorch")}


def network(problem: Problem) -> nn.Sequential:
    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[problem.case.activation]
    layers: list[nn.Module] = []
    for weight, bias in problem.layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def rows(problem: Problem) -> dict:
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    net, loss = network(problem), nn.CrossEntropyLoss()
    params = list(net.parameters())
    v = [torch.from_numpy(part) for layer in problem.split(problem.v) for part in layer]

    def gradient():
        net.zero_grad()
        loss(net(x), y).backward()
        return [p.grad for p in params]

    def hvp():
        grads = torch.autograd.grad(loss(net(x), y), params, create_graph=True)
        return torch.autograd.grad(grads, params, grad_outputs=v)

    z = net(x)
    value = loss(z, y)

    def ggnvp():
        return ggn_vector_product(value, z, net, v)

    own = {"gradient": gradient, "hvp": hvp, "ggnvp": ggnvp}
    rows = {name: (call, join_tensors) for name, call in own.items()}
    return rows | backpack_rows(problem, x, y)


def backpack_rows(problem: Problem, x: torch.Tensor, y: torch.Tensor) -> dict:
    """Loss, gradient and one of BackPACK's diagonals."""
    net = backpack.extend(network(problem))
    loss = backpack.extend(nn.CrossEntropyLoss())
    params = list(net.parameters())

    def make(extension, field: str):
        def call():
            net.zero_grad()
            with backpack.backpack(extension):
                loss(net(x), y).backward()
            return [getattr(p, field) for p in params]

        return call, join_tensors

    return {
        "backpack ggn_mc": make(extensions.DiagGGNMC(mc_samples=1), "diag_ggn_mc"),
        "backpack ggn": make(extensions.DiagGGNExact(), "diag_ggn_exact"),
        "backpack hessian": make(extensions.DiagHessian(), "diag_h"),
    }


def join_tensors(tensors):
    return join([t.detach().numpy() for t in tensors])
