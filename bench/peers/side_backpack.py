"""BackPACK: quantities beside PyTorch's gradient, and products by its R- and L-operators."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools

import backpack
import torch
from backpack import extensions
from backpack.hessianfree.ggnvp import ggn_vector_product

from .cases import has_batch_norm
from .problem import CG_ITERATIONS, DAMPING, Problem, join_scaled
from .rows import Row
from .side_torch import gradient
from .torch_nets import network
from .torch_sides import (
    batch,
    join_samples,
    join_tensors,
    loss,
    on_network,
    set_threads,
    vectors,
    versions_with,
)

__all__ = ["rows", "set_threads", "versions"]

versions = functools.partial(versions_with, "backpack-for-pytorch")


def rows(problem: Problem) -> dict[str, Row]:
    found = product_rows(problem)
    if has_batch_norm(problem.case.layers):
        return found
    n, make = len(problem.y), functools.partial(extended, problem)
    ext = extensions
    found |= {
        "ggn": make(lambda p: p.diag_ggn_exact, join_tensors, ext.DiagGGNExact),
        "ggn_mc": make(lambda p: p.diag_ggn_mc, None, ext.DiagGGNMC),
        "per_sample_grads": make(
            lambda p: p.grad_batch, lambda r: n * join_samples(r), ext.BatchGrad
        ),
        "grad_moments": make(
            lambda p: (p.sum_grad_squared, p.batch_l2, p.grad),
            lambda r: n * join_tensors([moments[0] for moments in r]),
            *(ext.SumGradSquared, ext.BatchL2Grad),
        ),
        "hessian": make(lambda p: p.diag_h, join_tensors, ext.DiagHessian),
    }
    if ("mean",) not in problem.case.layers:  # KFAC knows no adaptive pooling
        found["kfac"] = make(lambda p: p.kfac, join_inputs, ext.KFAC)
    return found


def extended(problem: Problem, field, answer, *wanted) -> Row:
    """Loss, gradient and what extensions leave at the parameters."""
    x, y = batch(problem)

    def prepare():
        net = backpack.extend(network(problem))
        criterion, params = backpack.extend(torch.nn.CrossEntropyLoss()), list(net.parameters())

        def call():
            net.zero_grad()
            with backpack.backpack(*(extension() for extension in wanted)):
                criterion(net(x), y).backward()
            return [field(p) for p in params]

        return call

    return Row(prepare, answer)


def join_inputs(factors):
    """The factors of the inputs, which weights have behind those of the adjoints."""
    return join_scaled([m[1].numpy() for m in factors if len(m) > 1])


def product_rows(problem: Problem) -> dict[str, Row]:
    x, y = batch(problem)
    v = vectors(problem)
    on = functools.partial(on_network, problem)

    def once(net):
        z = net(x)
        value = loss(z, y)
        return lambda: ggn_vector_product(value, z, net, v)

    def anew(net):
        def call():
            z = net(x)
            return ggn_vector_product(loss(z, y), z, net, v)

        return call

    return {
        "ggnvp": on(once, join_tensors),
        "ggnvp, linearised anew": on(anew, join_tensors),
        "cg50": on(functools.partial(solver, x, y), lambda r: r.numpy()),
    }


def solver(x: torch.Tensor, y: torch.Tensor, net: torch.nn.Module):
    """Conjugate gradients on flat vectors, the network linearised once."""
    b, params = flat(gradient(net, x, y)()), list(net.parameters())
    sizes = [p.numel() for p in params]

    def call():
        z = net(x)
        value = loss(z, y)

        def damped(u):
            parts = [part.view_as(p) for part, p in zip(u.split(sizes), params, strict=True)]
            return flat(ggn_vector_product(value, z, net, parts)).add_(u, alpha=DAMPING)

        return conjugate_gradients(damped, b)

    return call


def conjugate_gradients(product, b: torch.Tensor) -> torch.Tensor:
    u, r = torch.zeros_like(b), b.clone()
    p, rr = r.clone(), r @ r
    for _ in range(CG_ITERATIONS):
        q = product(p)
        alpha = rr / (p @ q)
        u += alpha * p
        r -= alpha * q
        rr, before = r @ r, rr
        p = r + (rr / before) * p
    return u


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])
