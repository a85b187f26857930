"""The operators of `operators` for arrays on CUDA devices: CuPy's linear operators."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .operators import CurvatureProducts, EngineProducts, JacobianProducts

LinearOperator: Any = import_module("cupyx.scipy.sparse.linalg").LinearOperator


class EngineOperator(EngineProducts, LinearOperator):
    """An operator of the engine; what it does not compose is CuPy's."""

    def __init__(self, core: Any) -> None:
        self._core = core
        super().__init__(core.dtype, (core.rows, core.cols))


class CurvatureOperator(CurvatureProducts, EngineOperator):
    """See `CurvatureProducts`."""


class JacobianOperator(JacobianProducts, EngineOperator):
    """See `JacobianProducts`."""
