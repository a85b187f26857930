"""What all sides share that run on PyTorch."""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from torch import nn

from .problem import Problem, join
from .rows import Row
from .torch_nets import network

loss = nn.CrossEntropyLoss()


def set_threads(count: int) -> None:
    torch.set_num_threads(count)


def versions_with(*packages: str) -> dict[str, str]:
    return {"torch": torch.__version__} | {name: version(name) for name in packages}


def batch(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(problem.x), torch.from_numpy(problem.y)


def vectors(problem: Problem) -> list[torch.Tensor]:
    """The vector of the products, as tensors like the parameters."""
    return [torch.from_numpy(part) for part in problem.views(problem.v)]


def on_network(problem: Problem, prepare: Callable, answer: Callable | None = None) -> Row:
    """A row on a network of its own; `prepare` takes it."""
    return Row(lambda: prepare(network(problem)), answer)


def join_tensors(tensors) -> np.ndarray:
    return join([t.detach().numpy() for t in tensors])


def join_samples(tensors) -> np.ndarray:
    """(N, P) of tensors (N, ...), flat."""
    return join([torch.cat([t.detach().flatten(1) for t in tensors], 1).numpy()])


def rademacher(tensors) -> list[torch.Tensor]:
    return [torch.empty_like(t).bernoulli_().mul_(2).sub_(1) for t in tensors]
