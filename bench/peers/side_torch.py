"""PyTorch on the CPU, and BackPACK on top of it."""

from __future__ import annotations

import contextlib

import backpack
import torch
from backpack import extensions
from backpack.hessianfree.ggnvp import ggn_vector_product
from problem import LANCZOS_STEPS, MOST_COLUMNS, Case, Problem, join, join_scaled
from torch import nn
from torch_nets import network


def set_threads(count: int) -> None:
    torch.set_num_threads(count)


def versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    known = {"torch": torch.__version__, "backpack": version("backpack-for-pytorch")}
    with contextlib.suppress(PackageNotFoundError):
        known["pyhessian"] = version("pyhessian")
    return known


def rows(problem: Problem) -> dict:
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    net = network(problem)
    rows = {"gradient": (gradient(net, x, y), join_tensors)}
    if problem.case.has_products:
        rows |= product_rows(problem, net, x, y)
    if not isinstance(problem.case, Case):
        channels_last = network(problem).to(memory_format=torch.channels_last)
        images = x.contiguous(memory_format=torch.channels_last)
        rows["gradient, channels last"] = (gradient(channels_last, images, y), join_tensors)
    if any(kind in ("batch_norm", "residual") for kind, *_ in problem.case.layers):
        return rows
    return rows | backpack_rows(problem, x, y)


def gradient(net: nn.Module, x: torch.Tensor, y: torch.Tensor):
    loss = nn.CrossEntropyLoss()

    def call():
        net.zero_grad()
        loss(net(x), y).backward()
        return [p.grad for p in net.parameters()]

    return call


def product_rows(problem: Problem, net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict:
    params, loss = list(net.parameters()), nn.CrossEntropyLoss()
    v = [torch.from_numpy(part) for part in problem.views(problem.v)]

    def hvp():
        grads = torch.autograd.grad(loss(net(x), y), params, create_graph=True)
        return torch.autograd.grad(grads, params, grad_outputs=v)

    z = net(x)
    value = loss(z, y)

    def ggnvp():
        return ggn_vector_product(value, z, net, v)

    def ggnvp_anew():  # as curvlinops does for each product
        z = net(x)
        return ggn_vector_product(loss(z, y), z, net, v)

    calls = {"hvp": hvp, "ggnvp": ggnvp, "ggnvp, linearised anew": ggnvp_anew}
    return {name: (call, join_tensors) for name, call in calls.items()}


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

    def kfac():
        net.zero_grad()
        with backpack.backpack(extensions.KFAC(mc_samples=1)):
            loss(net(x), y).backward()
        return [p.kfac for p in params]

    def sample_grads():
        net.zero_grad()
        with backpack.backpack(extensions.BatchGrad()):
            loss(net(x), y).backward()
        return [p.grad_batch for p in params]

    def moments():
        net.zero_grad()
        with backpack.backpack(extensions.SumGradSquared(), extensions.BatchL2Grad()):
            loss(net(x), y).backward()
        return [(p.grad, p.sum_grad_squared, p.batch_l2) for p in params]

    n = len(x)
    rows = {
        "backpack per_sample_grads": (sample_grads, lambda r: n * join_rows(r)),
        "backpack grad_moments": (moments, lambda r: n * join_tensors([m[1] for m in r])),
        "func per_sample_grads": functional_rows(network(problem), x, y),
    }
    if ("mean",) not in problem.case.layers:  # KFAC knows no adaptive pooling
        rows["backpack kfac"] = (kfac, join_inputs)
    rows |= {"backpack ggn_mc": make(extensions.DiagGGNMC(mc_samples=1), "diag_ggn_mc")}
    if problem.case.classes <= MOST_COLUMNS:
        rows["backpack ggn"] = make(extensions.DiagGGNExact(), "diag_ggn_exact")
    if isinstance(problem.case, Case) and problem.case.has_hessian_diagonal:
        rows["backpack hessian"] = make(extensions.DiagHessian(), "diag_h")
    if isinstance(problem.case, Case):
        rows |= lanczos_rows(network(problem), x, y)
    return rows


def lanczos_rows(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict:
    """PyHessian's run for a spectral density."""
    try:
        import pyhessian
    except ImportError:
        return {}
    torch.eig = removed_eig

    def run():
        found = pyhessian.hessian(net, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
        return found.density(iter=LANCZOS_STEPS, n_v=1)

    return {"pyhessian lanczos": (run, lambda r: join([max(r[0][0])]))}


def removed_eig(matrix: torch.Tensor, eigenvectors: bool):
    """What PyHessian calls, which PyTorch has no more: (real, imaginary) rows, and vectors."""
    values, vectors = torch.linalg.eig(matrix)
    return torch.view_as_real(values), vectors.real


def functional_rows(net: nn.Module, x: torch.Tensor, y: torch.Tensor):
    """Gradients of single samples by torch.func."""
    loss = nn.CrossEntropyLoss()
    params = {name: p.detach() for name, p in net.named_parameters()}

    def one(params, x, y):
        return loss(torch.func.functional_call(net, params, (x[None],)), y[None])

    per_sample = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 0))
    return lambda: list(per_sample(params, x, y).values()), join_rows


def join_rows(tensors):
    """(N, P) of tensors (N, ...), flat."""
    return join([torch.cat([t.detach().flatten(1) for t in tensors], 1).numpy()])


def join_tensors(tensors):
    return join([t.detach().numpy() for t in tensors])


def join_inputs(factors):
    """The factors of the inputs, which weights have behind those of the adjoints."""
    return join_scaled([m[1].numpy() for m in factors if len(m) > 1])
