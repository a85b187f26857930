"""torch.func's functions, compiled by torch.compile."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools

import torch

from .cases import has_batch_norm
from .problem import Problem
from .rows import Row
from .side_func import Functions
from .torch_sides import join_samples, join_tensors, set_threads, versions_with

__all__ = ["COMPILES", "rows", "set_threads", "versions"]

COMPILES = True
versions = versions_with


def rows(problem: Problem) -> dict[str, Row]:
    torch.compiler.reset()
    f = Functions(problem)

    def row(function, answer, *arguments):
        compiled = torch.compile(function)
        return Row(lambda: functools.partial(compiled, f.w, *arguments), answer)

    found = {
        "gradient": row(f.gradient, join_tensors),
        "hvp": row(f.hvp, join_tensors, f.v),
        "ggnvp, linearised anew": row(f.ggnvp, join_tensors, f.v),
    }
    if not has_batch_norm(problem.case.layers):
        found["per_sample_grads"] = row(f.per_sample_grads, join_samples)
    return found
