"""PyHessian: products with a graph of the gradients that is kept, and what is made of them."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools

import pyhessian
import torch
from pyhessian.utils import hessian_vector_product

from .cases import has_batch_norm
from .problem import LANCZOS_STEPS, PROBES, Problem, join
from .rows import Row
from .torch_sides import (
    batch,
    join_tensors,
    loss,
    on_network,
    set_threads,
    vectors,
    versions_with,
)

__all__ = ["rows", "set_threads", "versions"]

versions = functools.partial(versions_with, "pyhessian")


def rows(problem: Problem) -> dict[str, Row]:
    if has_batch_norm(problem.case.layers):  # it looks at running statistics only
        return {}
    torch.eig = removed_eig
    data, v = batch(problem), vectors(problem)
    on = functools.partial(on_network, problem)

    def hessian(net):
        return pyhessian.hessian(net, loss, data=data, cuda=False)

    def product(net):
        H = hessian(net)
        return lambda: hessian_vector_product(H.gradsH, H.params, v)

    def trace(net):
        H = hessian(net)
        return lambda: H.trace(maxIter=PROBES, tol=0.0)

    return {
        "hvp, linearised once": on(product, join_tensors),
        "probes": on(trace),
        "lanczos": on(
            lambda net: lambda: hessian(net).density(iter=LANCZOS_STEPS, n_v=1),
            lambda r: join([max(r[0][0])]),
        ),
    }


def removed_eig(matrix: torch.Tensor, eigenvectors: bool):
    """What PyHessian calls, which PyTorch has no more: (real, imaginary) rows, and vectors."""
    values, vectors = torch.linalg.eig(matrix)
    return torch.view_as_real(values), vectors.real
