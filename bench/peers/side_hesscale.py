"""HesScale's own package, on BackPACK, from a clone of it (`--hesscale-path`)."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools

import hesscale

from .cases import has_batch_norm
from .problem import Problem
from .rows import Row
from .side_backpack import extended
from .torch_sides import join_tensors, set_threads, versions_with

__all__ = ["rows", "set_threads", "versions"]

versions = functools.partial(versions_with, "backpack-for-pytorch")


def rows(problem: Problem) -> dict[str, Row]:
    if has_batch_norm(problem.case.layers):
        return {}
    made = {"hesscale": "HesScale", "hesscale_gn": "HesScaleGN"}
    return {
        name: row(problem, getattr(hesscale, method))
        for name, method in made.items()
        if hasattr(hesscale, method)
    }


def row(problem: Problem, method) -> Row:
    field = method().savefield
    return extended(problem, lambda p: getattr(p, field), join_tensors, method)
