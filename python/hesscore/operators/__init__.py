"""Matrices of an objective as SciPy linear operators. Imported on first use: SciPy is slow to.

On CUDA devices they are CuPy's, which `_cuda_operators` makes of the same parts.
"""

from __future__ import annotations

from .classes import (
    CurvatureOperator,
    EngineOperator,
    JacobianOperator,
    curvature_operator,
    engine_operator,
    jacobian_operator,
)
from .identity import Identity, identity
from .matrices import CurvatureProducts, JacobianProducts
from .products import EngineProducts

__all__ = [
    "CurvatureOperator",
    "CurvatureProducts",
    "EngineOperator",
    "EngineProducts",
    "Identity",
    "JacobianOperator",
    "JacobianProducts",
    "curvature_operator",
    "engine_operator",
    "identity",
    "jacobian_operator",
]
