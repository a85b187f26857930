"""Activations: layers that act on each element."""

from __future__ import annotations

from .. import _check
from ..errors import GraphError
from .base import Builder, Layer


class Activation(Layer):
    """Base of the activations, which act on each element.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.LeakyReLU(0.1), hc.MSELoss(), input_shape=3)
    >>> f.predict(f.init(dtype="float64"), np.array([[-1.0, 0.0, 2.0]])).tolist()
    [[-0.1, 0.0, 2.0]]
    """

    _keeps_shape = True
    _kind = ""

    def _alpha(self) -> float | None:
        return None

    def _build(self, builder: Builder, x: int, path: str) -> int:
        return builder.engine.activation(x, self._kind, self._alpha())

    def _arguments(self) -> tuple[str, ...]:
        alpha = self._alpha()
        return () if alpha is None else (str(alpha),)


class ReLU(Activation):
    """``max(x, 0)``; the slope at 0 is 0."""

    _kind = "relu"


class LeakyReLU(Activation):
    """``x`` for x > 0, else ``negative_slope * x``."""

    _kind = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = _check.number("negative_slope", negative_slope)

    def _alpha(self) -> float | None:
        return self.negative_slope


class ELU(Activation):
    """``x`` for x > 0, else ``alpha (exp(x) - 1)``."""

    _kind = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _check.number("alpha", alpha)

    def _alpha(self) -> float | None:
        return self.alpha


class SELU(Activation):
    """ELU with the self-normalising constants of Klambauer et al. 2017."""

    _kind = "selu"


class CELU(Activation):
    """``x`` for x > 0, else ``alpha (exp(x / alpha) - 1)``."""

    _kind = "celu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _check.number("alpha", alpha)

    def _alpha(self) -> float | None:
        return self.alpha


class GELU(Activation):
    """``x Phi(x)``, or with ``approximate="tanh"`` its approximation by a tanh."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise GraphError.about("approximate", "'none' or 'tanh'", repr(approximate))
        self.approximate = approximate
        self._kind = "gelu" if approximate == "none" else "gelu_tanh"

    def _arguments(self) -> tuple[str, ...]:
        return () if self.approximate == "none" else ("'tanh'",)


class SiLU(Activation):
    """``x s(x)`` with the logistic function s."""

    _kind = "silu"


class Mish(Activation):
    """``x tanh(log(1 + exp(x)))``."""

    _kind = "mish"


class Tanh(Activation):
    """``tanh(x)``."""

    _kind = "tanh"


class Sigmoid(Activation):
    """The logistic function ``1 / (1 + exp(-x))``."""

    _kind = "sigmoid"


class Softplus(Activation):
    """``log(1 + exp(x))``."""

    _kind = "softplus"


class LogSigmoid(Activation):
    """``-log(1 + exp(-x))``."""

    _kind = "log_sigmoid"


class Hardtanh(Activation):
    """``x`` clipped to [-1, 1]."""

    _kind = "hardtanh"


class ReLU6(Activation):
    """``x`` clipped to [0, 6]."""

    _kind = "relu6"


class Hardswish(Activation):
    """``x clip(x + 3, 0, 6) / 6``."""

    _kind = "hardswish"


class Hardsigmoid(Activation):
    """``clip(x + 3, 0, 6) / 6``."""

    _kind = "hardsigmoid"


class Softsign(Activation):
    """``x / (1 + |x|)``."""

    _kind = "softsign"


class Sin(Activation):
    """``sin(x)``."""

    _kind = "sin"


class Square(Activation):
    """``x^2``."""

    _kind = "square"


class Exp(Activation):
    """``exp(x)``."""

    _kind = "exp"
