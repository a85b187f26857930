"""The matrices of an objective at one point: curvature, and the Jacobian of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _check
from .._batches import Batches, weight_of
from .._parameters import diag_kinds
from .products import EngineProducts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..objective import Objective

_GOLDEN, _LARGEST = 0x9E3779B97F4A7C15, (1 << 63) - 1
_SWEEPS = {"hessian": "hessian", "ggn": "ggn", "fisher_empirical": "empirical_fisher"}


def _batch_seed(seed: int, k: int) -> int:
    """Make the seed of the k-th batch, as the engine does."""
    return (seed + k * _GOLDEN) & _LARGEST


class CurvatureProducts(EngineProducts):
    """The Hessian, Gauss-Newton or Fisher matrix of an objective at one point.

    Made by `Objective.hessian`, `ggn` and `fisher`; it keeps a copy of w, is linearised once and
    applied often. `A @ V` with columns V (P, K) is one pass.

    Attributes
    ----------
    kind : str
        "hessian", "ggn", "gap", "fisher_empirical" or "fisher_mc".

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> from scipy.sparse.linalg import eigsh
    >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
    >>> H = f.hessian(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
    >>> float(eigsh(H, k=1, return_eigenvectors=False)[0].round(6))
    20.0
    """

    def __init__(self, core: Any, kind: str, f: Objective, w: Any, data: Any, train: Any) -> None:
        super().__init__(core)
        self.kind = kind
        self._f = f
        self._w = w
        self._data = data  # Batches, or one (x, y, sample_weight)
        self._train = train
        self._layouts = (f.layout, f.layout)

    def diagonal(
        self, kind: str | None = None, samples: int = 1, seed: int = 0, *, progress: bool = False
    ) -> NDArray[Any]:
        """Compute a diagonal at this point.

        Parameters
        ----------
        kind : str, optional
            As in `Objective.diag`. By default the exact diagonal of this matrix: P products for the
            sampled Fisher matrix, else one evaluation.
        samples, seed : int
            For the sampled kinds.
        progress : bool
            Show on stderr how far P products are.

        Returns
        -------
        (P,) array

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> H = f.hessian(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> H.diagonal().tolist(), H.diagonal("hesscale").tolist()
        ([18.0, 2.0], [18.0, 2.0])
        """
        if kind is None:
            kind = _SWEEPS.get(self.kind)
            if kind not in diag_kinds:
                return super().diagonal(progress=progress)
        if not isinstance(self._data, Batches):
            return self._diag(self._data, kind, samples, seed, self._train)
        return self._mean_diag(self._data, kind, samples, _check.integer("seed", seed, 0))

    def _diag(self, item: Any, kind: str, samples: int, seed: int, train: Any) -> NDArray[Any]:
        x, y, sample_weight = item
        return self._f.diag(
            self._w, x, y, kind, samples, seed, sample_weight=sample_weight, train=train
        )

    def _mean_diag(self, batches: Batches, kind: str, samples: int, seed: int) -> NDArray[Any]:
        result: Any = None
        total = 0.0
        for k, item in enumerate(batches):
            weight = weight_of(self._f._core, self._w, k, item)
            train = self._train
            if train is not False:
                first, step = (0, 0) if train is True else train
                train = (_batch_seed(first, k), step)
            part = self._diag(item, kind, samples, _batch_seed(seed, k), train)
            result = part * weight if result is None else result + part * weight
            total += weight
        return result if self._f.reduction == "sum" else result / total

    def __repr__(self) -> str:
        return f"<{self.kind} operator of shape {self.shape}, {self.dtype}>"


class JacobianProducts(EngineProducts):
    """The Jacobian of the network's outputs in the parameters, at one point.

    Made by `Objective.jacobian`: (N * outputs, P), the rows in the order of ``f.predict(w,
    x).ravel()``. `matvec` and `matmat` are tangent passes, `rmatvec` and `rmatmat` backward passes,
    after one forward pass.
    """

    def __init__(self, core: Any, f: Objective) -> None:
        super().__init__(core)
        self._layouts = (None, f.layout)

    def __repr__(self) -> str:
        return f"<jacobian operator of shape {self.shape}, {self.dtype}>"
