"""Quadratic forms and blocks of an objective's Hessian, Gauss-Newton matrix and their gap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from . import _core, errors
from ._arrays import module_of
from ._batches import batches_of, weight_of
from ._curvature import Curvature
from ._evaluations import Train
from .errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .losses import Reduction

Form = Literal["hessian", "ggn", "gap"]

_P = _core.Product
_FORMS = {"hessian": _P.hessian, "ggn": _P.ggn, "gap": _P.gap}
_VECTORS = 16  # restricted vectors that share a pass


class Forms(Curvature):
    """The part of `Objective` that reads numbers and blocks off its matrices."""

    if TYPE_CHECKING:
        reduction: Reduction

        @property
        def layout(self) -> dict[str, tuple[int, tuple[int, ...]]]: ...

        @property
        def num_params(self) -> int: ...

        def value_and_grad(self, *point: Any, **options: Any) -> tuple[float, NDArray[Any]]: ...

    def quadratic_form(
        self,
        w: Any,
        x: Any,
        y: Any = None,
        v: Any = None,
        kind: Form = "hessian",
        *,
        sample_weight: Any = None,
        train: Train = False,
    ) -> float | NDArray[Any]:
        """Compute ``v' H v``, ``v' G v``, or their gap ``v' (H - G) v``.

        The gap is what the Gauss-Newton approximation, the approximate chain rule, drops. It is not
        a difference of the two: ``(H - G) v`` is the backward pass's tangent with nothing arriving
        from the loss's Hessian, which leaves the second-order terms of the network alone. So where
        there are none, as in one layer of a rectified network, it is zero exactly, and elsewhere as
        accurate as ``H v``, in float32, too. Inner products are taken in float64.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `hessian`: one batch or many.
        v : (P,) or (K, P) array
            One direction, or K that share passes.
        kind : {"hessian", "ggn", "gap"}
            Which form.

        Returns
        -------
        float, or (K,) float64 array

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> f.quadratic_form(np.zeros(2), x, y, np.array([1.0, 0.0]), kind="gap")
        0.0
        """
        product = _form(kind)
        shape = getattr(v, "shape", None)
        if shape is None or len(shape) not in (1, 2) or shape[-1] != self.num_params:
            expected = f"({self.num_params},) or (K, {self.num_params})"
            raise ShapeError.about("v", expected, shape or type(v).__name__)
        data = x, y, sample_weight
        forms = self._operator(kind, product, w, data, train, 1, 0, 0, False)._core.forms(v)
        return float(forms[0]) if len(shape) == 1 else forms

    def layer_forms(
        self,
        w: Any,
        x: Any,
        y: Any = None,
        v: Any = None,
        kind: Form = "hessian",
        *,
        sample_weight: Any = None,
        train: Train = False,
    ) -> dict[str, float]:
        """Compute ``v_l' A_ll v_l`` for each parameter tensor l: a quadratic form of its block.

        With the gradient for v these are the Hessian components of the approximate chain rule
        (Skorski 2021): "hessian" is the exact one, "ggn" the rule's, and "gap" its error, which is
        zero in networks of piecewise linear activations and in the last layer.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `hessian`: one batch or many.
        v : (P,) array, optional
            The direction; by default the gradient.
        kind : {"hessian", "ggn", "gap"}
            Which matrix A.

        Returns
        -------
        dict of str to float
            By the names of `layout`.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> f.layer_forms(np.zeros(2), x, y, np.ones(2))
        {'0.weight': 18.0, '0.bias': 2.0}
        """
        _form(kind)
        batches = batches_of(x, y, sample_weight)
        data = (x, y, sample_weight) if batches is None else (batches, None, None)
        if v is None:
            v = self._gradient(w, *data, train)
        if getattr(v, "shape", None) != (self.num_params,):
            got = getattr(v, "shape", type(v).__name__)
            raise ShapeError.about("v", f"({self.num_params},)", got)
        xp = module_of(v)
        names, forms = list(self.layout.items()), {}
        for start in range(0, len(names), _VECTORS):
            part = names[start : start + _VECTORS]
            V = xp.zeros((len(part), len(v)), v.dtype)
            for i, (_, (first, shape)) in enumerate(part):
                end = first + math.prod(shape)
                V[i, first:end] = v[first:end]
            values = self.quadratic_form(
                w, data[0], data[1], V, kind, sample_weight=data[2], train=train
            )
            forms |= {name: float(values[i]) for i, (name, _) in enumerate(part)}  # type: ignore[index]
        return forms

    def block(
        self,
        w: Any,
        x: Any,
        y: Any = None,
        rows: Any = None,
        cols: Any = None,
        kind: Form = "ggn",
        *,
        sample_weight: Any = None,
        train: Train = False,
        progress: bool = False,
    ) -> NDArray[Any]:
        """Compute a block of the Hessian, of the Gauss-Newton matrix or of their difference.

        The block of "ggn" is ``J_rows' H_L J_cols``, the linearisation term: the approximate chain
        rule for any pair of layers (Skorski 2021). It equals that of "hessian" within one layer
        where activations are piecewise linear, and in the last layer; between two layers it does
        not, even there. The block of "gap" is the error, formed by itself.

        Takes as many products as there are columns, or rows where those are fewer, 64 at a time.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `hessian`: one batch or many.
        rows, cols : str, slice, int array or list of them
            Names of parameters or layers, as in `EngineProducts.block`. By default all rows, and
            the columns that rows says.
        kind : {"ggn", "hessian", "gap"}
            Which matrix.
        progress : bool
            Show on stderr how far it is.

        Returns
        -------
        (rows, cols) array

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> f.block(np.zeros(2), x, y, rows="0.weight", cols=["0.bias", "0.weight"]).tolist()
        [[6.0, 18.0]]
        """
        data = x, y, sample_weight
        a = self._operator(kind, _form(kind), w, data, train, 1, 0, 1 << 30, False)
        return a.block(rows, cols).dense(progress)

    def _gradient(self, w: Any, x: Any, y: Any, sample_weight: Any, train: Train) -> NDArray[Any]:
        batches = batches_of(x, y, sample_weight)
        if batches is None:
            return self.value_and_grad(w, x, y, sample_weight=sample_weight, train=train)[1]
        total: Any = None
        weights = 0.0
        for k, item in enumerate(batches):
            weight = weight_of(self._core, w, k, item)
            g = self.value_and_grad(w, item[0], item[1], sample_weight=item[2], train=train)[1]
            total = g * weight if total is None else total + g * weight
            weights += weight
        return total / weights if self.reduction == "mean" else total


def _form(kind: str) -> Any:
    product = _FORMS.get(kind)
    if product is None:
        raise errors.unknown("kind", kind, _FORMS)
    return product
