"""curvlinops: linear operators that go over the data for each product."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools
import warnings

import curvlinops
import torch
from scipy.sparse import linalg

from .problem import CG_ITERATIONS, DAMPING, Problem, join_scaled
from .rows import Row
from .side_torch import gradient
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

versions = functools.partial(versions_with, "curvlinops-for-pytorch")


def rows(problem: Problem) -> dict[str, Row]:
    data = [batch(problem)]
    v = vectors(problem)
    on = functools.partial(on_network, problem)

    def operator(kind: str, net: torch.nn.Module):
        made = getattr(curvlinops, f"{kind}LinearOperator")
        return made(net, loss, list(net.parameters()), data, check_deterministic=False)

    def product(kind: str):
        return on(lambda net: functools.partial(operator(kind, net).__matmul__, v), join_tensors)

    def diagonal(net):
        H = operator("Hessian", net)
        return lambda: curvlinops.hutchinson_diag(H, 1)

    def solver(net):
        b = torch.cat([g.reshape(-1) for g in gradient(net, *data[0])()]).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ggn = operator("GGN", net).to_scipy()
        shape, dtype = ggn.shape, b.dtype
        # scipy takes a shape first and makes one of its own classes of it
        A = linalg.LinearOperator(shape, lambda u: ggn @ u + DAMPING * u, dtype=dtype)  # pyright: ignore
        return lambda: linalg.cg(A, b, rtol=0.0, maxiter=CG_ITERATIONS)[0]

    def factors(net):
        K = operator("KFAC", net)

        def call():
            K.compute_kronecker_factors()
            return K

        return call

    return {
        "hvp": product("Hessian"),
        "ggnvp, linearised anew": product("GGN"),
        "hutchinson": on(diagonal),
        "cg50": on(solver, lambda u: u),
        "kfac": on(factors, join_inputs),
    }


def join_inputs(K):
    return join_scaled([m.detach().numpy() for m in K._input_covariances.values()])
