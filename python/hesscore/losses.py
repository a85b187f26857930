"""Losses: what the network's output `z` is compared with, and how samples are put together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from . import _check, _core
from .errors import OptionError

Reduction = Literal["mean", "sum"]


class Loss:
    """Base of the losses.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        How the terms are put together. Every quantity of an objective is that of the reduced loss.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        if reduction not in ("mean", "sum"):
            raise OptionError.about("reduction", "'mean' or 'sum'", repr(reduction))
        self.reduction: Reduction = reduction

    def _engine(self, mean: bool) -> Any:
        raise NotImplementedError

    def _options(self) -> dict[str, Any]:
        return {"reduction": self.reduction}

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self._options().items())
        return f"{type(self).__name__}({options})"


class CrossEntropyLoss(Loss):
    r"""Softmax cross-entropy on logits.

    ``l = -sum_c q_c log softmax(z)_c``, with ``q`` one-hot or given. Labels are integers `(N,)`, or
    `(N, d1, ...)` for logits `(N, C, d1, ...)`; class probabilities have the logits' shape and
    dtype. The mean is over the summed class weights of the terms that count, as in PyTorch.

    Parameters
    ----------
    weight : sequence of C floats, optional
        A weight for each class.
    ignore_index : int, optional
        Samples with this label contribute nothing and are not counted in the mean.
    label_smoothing : float
        In [0, 1]: this much of the target is spread evenly over all classes.
    reduction : {"mean", "sum"}
        How the terms are put together.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(4, 3), hc.CrossEntropyLoss())
    >>> w = np.zeros(f.num_params)
    >>> round(f.loss(w, np.ones((5, 4)), np.array([0, 1, 2, 0, 1])), 6)  # log 3
    1.098612
    """

    def __init__(
        self,
        weight: Iterable[float] | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.weight = _floats("weight", weight)
        self.ignore_index = (
            None if ignore_index is None else _check.integer("ignore_index", ignore_index, -(2**63))
        )
        self.label_smoothing = _check.number("label_smoothing", label_smoothing)

    def _engine(self, mean: bool) -> Any:
        return _core.cross_entropy(self.weight, self.ignore_index, self.label_smoothing, mean)

    def _options(self) -> dict[str, Any]:
        return {
            "weight": self.weight or None,
            "ignore_index": self.ignore_index,
            "label_smoothing": self.label_smoothing,
            **super()._options(),
        }


class MSELoss(Loss):
    """Squared error ``(z - y)^2``; the mean is over all elements, not over samples.

    `y` has the output's shape and dtype.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(2, 2), hc.MSELoss())
    >>> f.loss(np.zeros(f.num_params), np.ones((2, 2)), np.full((2, 2), 2.0))
    4.0
    """

    def _engine(self, mean: bool) -> Any:
        return _core.mse(mean)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy on logits, ``-w y log s(z) - (1 - y) log(1 - s(z))``.

    `y`, in [0, 1], has the output's shape and dtype; the mean is over all elements.

    Parameters
    ----------
    pos_weight : sequence of floats, optional
        The weight `w` of positive targets: one value, or one for each output element.
    reduction : {"mean", "sum"}
        How the terms are put together.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(2, 1), hc.BCEWithLogitsLoss())
    >>> w = np.zeros(f.num_params)
    >>> round(f.loss(w, np.ones((3, 2)), np.ones((3, 1))), 6)  # log 2
    0.693147
    """

    def __init__(
        self, pos_weight: float | Iterable[float] | None = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.pos_weight = _floats("pos_weight", pos_weight)

    def _engine(self, mean: bool) -> Any:
        return _core.bce_with_logits(self.pos_weight, mean)

    def _options(self) -> dict[str, Any]:
        return {"pos_weight": self.pos_weight or None, **super()._options()}


class GaussianNLLLoss(Loss):
    """Gaussian negative log-likelihood with a mean head and a log-variance head.

    Outputs `(N, 2k, ...)` are k means `m`, then k log-variances `s`; `y` is `(N, k, ...)`.
    ``l = (s + (y - m)^2 exp(-s)) / 2``, without the constant; the mean is over the elements of `y`.
    Its Hessian in `(m, s)` is indefinite, so that `ggn` quantities may have negative eigenvalues.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(3, 2), hc.GaussianNLLLoss())
    >>> f.loss(np.zeros(f.num_params), np.ones((4, 3)), np.full((4, 1), 2.0))
    2.0
    """

    def _engine(self, mean: bool) -> Any:
        return _core.gaussian_nll(mean)


class PoissonNLLLoss(Loss):
    """Poisson negative log-likelihood ``exp(z) - y z``; outputs are log-rates.

    `y` has the output's shape and dtype; the mean is over all elements.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(3, 1), hc.PoissonNLLLoss())
    >>> f.loss(np.zeros(f.num_params), np.ones((4, 3)), np.ones((4, 1)))
    1.0
    """

    def _engine(self, mean: bool) -> Any:
        return _core.poisson_nll(mean)


class HuberLoss(Loss):
    """Huber's loss: ``r^2 / 2`` for ``|r| <= delta``, else ``delta (|r| - delta / 2)``, r = z - y.

    `y` has the output's shape and dtype; the mean is over all elements.

    Parameters
    ----------
    delta : float
        Where the loss turns from quadratic to linear.
    reduction : {"mean", "sum"}
        How the terms are put together.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(3, 1), hc.HuberLoss(delta=1.0))
    >>> f.loss(np.zeros(f.num_params), np.ones((4, 3)), np.full((4, 1), 3.0))
    2.5
    """

    def __init__(self, delta: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.delta = _check.number("delta", delta)

    def _engine(self, mean: bool) -> Any:
        return _core.huber(self.delta, mean)

    def _options(self) -> dict[str, Any]:
        return {"delta": self.delta, **super()._options()}


def _floats(name: str, values: Any) -> list[float]:
    if values is None:
        return []
    items = values if hasattr(values, "__iter__") and not isinstance(values, str) else [values]
    return [_check.number(name, v) for v in items]
