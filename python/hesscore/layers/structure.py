"""Layers without parameters that move values or drop them."""

from __future__ import annotations

from .. import _check
from .base import Builder, Layer


class Flatten(Layer):
    """Joins all axes but the first, the batch, into one.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> net = hc.Sequential(hc.Flatten(), hc.Linear(784, 10))
    >>> f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(1, 28, 28))
    >>> f.predict(f.init(), np.zeros((5, 1, 28, 28), np.float32)).shape
    (5, 10)
    """

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.flatten(x)


class Identity(Layer):
    """Returns its input."""

    _keeps_shape = True

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.identity(x)


class Dropout(Layer):
    """In training, sets elements to zero with probability `p` and divides the others by `1 - p`.

    The mask is a function of (seed, step): the same in every quantity of a step, on every device
    and for any number of threads. Without `train` the layer does nothing.

    Parameters
    ----------
    p : float
        In [0, 1).

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Dropout(0.5), hc.MSELoss(), input_shape=8)
    >>> w, x = f.init(), np.ones((1, 8), np.float32)
    >>> bool((f.predict(w, x) == x).all())
    True
    >>> set(f.predict(w, x, train=(0, 7)).ravel().tolist()) <= {0.0, 2.0}
    True
    """

    _keeps_shape = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = _check.number("p", p)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.dropout(x, self.p)

    def _arguments(self) -> tuple[str, ...]:
        return (str(self.p),)
