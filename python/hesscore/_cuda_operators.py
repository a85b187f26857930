"""The operators of `operators` for arrays on CUDA devices: CuPy's linear operators."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .operators import CurvatureProducts, EngineProducts

LinearOperator: Any = import_module("cupyx.scipy.sparse.linalg").LinearOperator


class EngineOperator(EngineProducts, LinearOperator):
    """A symmetric operator of the engine; other compositions than with `identity` are CuPy's."""

    def __init__(self, core: Any) -> None:
        self._core = core
        super().__init__(core.dtype, (core.size, core.size))


class CurvatureOperator(CurvatureProducts, EngineOperator):
    """See `CurvatureProducts`."""
