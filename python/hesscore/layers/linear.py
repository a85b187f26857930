"""Dense layers."""

from __future__ import annotations

from .. import _check
from .base import Builder, Layer, Shape


class Linear(Layer):
    """``y = x W' + b`` on the last axis; `weight` is `(out, in)`, `bias` is `(out,)`.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis before and after.
    bias : bool
        Whether there is a `b`.

    Examples
    --------
    >>> import hesscore as hc
    >>> f = hc.Objective(hc.Sequential(hc.Linear(3, 2), hc.Tanh()), hc.MSELoss())
    >>> f.layout
    {'0.weight': (0, (2, 3)), '0.bias': (6, (2,))}
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = _check.integer("in_features", in_features, 1)
        self.out_features = _check.integer("out_features", out_features, 1)
        self.bias = _check.flag("bias", bias)

    def _build(self, builder: Builder, x: int, path: str) -> int:
        sizes = self.in_features, self.out_features
        make = builder.engine.make_linear
        return builder.call(self, x, lambda: make(*sizes, self.bias, path))

    def _input_shape(self) -> Shape | None:
        return (self.in_features,)

    def _arguments(self) -> tuple[str, ...]:
        sizes = str(self.in_features), str(self.out_features)
        return sizes if self.bias else (*sizes, "bias=False")
