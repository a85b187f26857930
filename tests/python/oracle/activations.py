"""Activations over jets, written from their published definitions."""

from __future__ import annotations

import math

import numpy as np

from . import jets
from .jets import Jet


def _constant(x: Jet, value: float) -> Jet:
    return x * 0.0 + value


def _sigmoid(x):
    return jets.where(x.v >= 0, 1 / (1 + _exp_neg_abs(x)), _ratio(x))


def _exp_neg_abs(x):
    return jets.exp(-_absolute(x))


def _ratio(x):
    e = _exp_neg_abs(x)
    return e / (1 + e)


def _absolute(x):
    return x * np.sign(x.v)


def _softplus(x):
    return _relu(x) + jets.log1p(_exp_neg_abs(x))


def _relu(x):
    return x * (x.v > 0)


def _clip(x, low, high):
    return jets.where(x.v < low, _constant(x, low), jets.where(x.v > high, _constant(x, high), x))


def _elu(x, alpha=1.0):
    return jets.where(x.v > 0, x, jets.expm1(x * (x.v <= 0)) * alpha)


def _celu(x, alpha=1.0):
    return jets.where(x.v > 0, x, jets.expm1(x * (x.v <= 0) / alpha) * alpha)


def _selu(x):
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return _elu(x, alpha) * scale


def _gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + jets.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    return 0.5 * x * (1 + jets.erf(x / math.sqrt(2)))


ACTIVATIONS = {
    "ReLU": _relu,
    "LeakyReLU": lambda x, slope=0.01: jets.where(x.v > 0, x, x * slope),
    "ELU": _elu,
    "SELU": _selu,
    "CELU": _celu,
    "GELU": _gelu,
    "SiLU": lambda x: x * _sigmoid(x),
    "Mish": lambda x: x * jets.tanh(_softplus(x)),
    "Tanh": jets.tanh,
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "LogSigmoid": lambda x: -_softplus(-x),
    "Hardtanh": lambda x: _clip(x, -1.0, 1.0),
    "ReLU6": lambda x: _clip(x, 0.0, 6.0),
    "Hardswish": lambda x: x * _clip(x + 3.0, 0.0, 6.0) / 6.0,
    "Hardsigmoid": lambda x: _clip(x + 3.0, 0.0, 6.0) / 6.0,
    "Softsign": lambda x: x / (1 + _absolute(x)),
    "Sin": jets.sin,
    "Square": lambda x: x * x,
    "Exp": jets.exp,
}

# Every activation with the arguments under test.
VARIANTS = [(name, ()) for name in ACTIVATIONS] + [
    ("LeakyReLU", (0.2,)),
    ("ELU", (0.7,)),
    ("CELU", (1.6,)),
    ("GELU", ("tanh",)),
]


def derivatives(name: str, args: tuple, a: np.ndarray):
    """Values, first and second derivatives at ``a``, each of its shape."""
    y = ACTIVATIONS[name](Jet.elementwise(a), *args)
    return y.v, y.d[..., 0], y.h[..., 0, 0]
