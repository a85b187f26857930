"""SciPy's classes of the operators, and which are made for which device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .. import _core
from .._batches import batches_of
from .matrices import CurvatureProducts, JacobianProducts
from .products import EngineProducts

if TYPE_CHECKING:
    from ..objective import Objective


class EngineOperator(EngineProducts, LinearOperator):
    """See `EngineProducts`."""

    def __init__(self, core: Any) -> None:
        self._core = core
        super().__init__(np.dtype(core.dtype), (core.rows, core.cols))


class CurvatureOperator(CurvatureProducts, EngineOperator):
    """See `CurvatureProducts`."""


class JacobianOperator(JacobianProducts, EngineOperator):
    """See `JacobianProducts`."""


def engine_operator(core: Any) -> EngineOperator:
    """Wrap an operator of the engine for SciPy, or on a CUDA device for CuPy."""
    return _classes(core).EngineOperator(core)


def curvature_operator(
    f: Objective,
    kind: str,
    product: Any,
    w: Any,
    data: Any,
    train: Any,
    samples: int = 1,
    seed: int = 0,
    max_memory: int = 1 << 30,
    progress: bool = False,
) -> CurvatureOperator:
    """Make the operator of `Objective.hessian`, `ggn` and `fisher`; `data` is (x, y, weight)."""
    batches = batches_of(*data)
    if batches is None:
        x, y, sample_weight = data
        core, w, *data = _core.curvature(
            f._core, product, w, x, y, sample_weight, train, samples, seed
        )
        return _classes(core).CurvatureOperator(core, kind, f, w, data, train)
    if not callable(batches.items):
        batches.weights(f._core, w)  # errors say which batch
    show = batches.show if progress else None
    core, w = _core.curvature_over(
        f._core, product, w, batches.items, train, samples, seed, max_memory, show
    )
    return _classes(core).CurvatureOperator(core, kind, f, w, batches, train)


def jacobian_operator(f: Objective, w: Any, x: Any, train: Any) -> JacobianOperator:
    """Make the operator of `Objective.jacobian`."""
    core = _core.jacobian(f._core, w, x, train)
    return _classes(core).JacobianOperator(core, f)


def _classes(core: Any) -> Any:
    if core.device == "cpu":
        import sys

        return sys.modules[__name__]
    from .. import _cuda_operators

    return _cuda_operators
