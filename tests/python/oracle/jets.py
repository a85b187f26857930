"""Second-order forward arithmetic: a value with its full gradient and Hessian. No backward pass.

A jet in P variables holds ``v (...)``, ``d (..., P)`` and ``h (..., P, P)``. Elementary functions
bring their two derivatives; all other rules follow, as in any autodiff.
"""

from __future__ import annotations

import numpy as np
from scipy import special


class Jet:
    __array_ufunc__ = None  # NumPy scalars and arrays leave the arithmetic to us

    def __init__(self, v, d, h):
        self.v, self.d, self.h = v, d, h

    @staticmethod
    def variables(v: np.ndarray) -> Jet:
        """The last axis of ``v`` as independent variables."""
        p = v.shape[-1]
        eye = np.broadcast_to(np.eye(p), (*v.shape, p))
        return Jet(v, eye, np.zeros((*v.shape, p, p)))

    @staticmethod
    def elementwise(v: np.ndarray) -> Jet:
        """Every element its own single variable."""
        return Jet(v, np.ones((*v.shape, 1)), np.zeros((*v.shape, 1, 1)))

    def chain(self, f, f1, f2) -> Jet:
        """A scalar function with values ``f``, ``f1``, ``f2`` of itself and its derivatives."""
        outer = self.d[..., :, None] * self.d[..., None, :]
        h = np.asarray(f1)[..., None, None] * self.h
        return Jet(
            f, np.asarray(f1)[..., None] * self.d, h + np.asarray(f2)[..., None, None] * outer
        )

    def __add__(self, o):
        if isinstance(o, Jet):
            return Jet(self.v + o.v, self.d + o.d, self.h + o.h)
        return Jet(self.v + o, self.d, self.h)

    def __mul__(self, o):
        if not isinstance(o, Jet):
            o = np.asarray(o)
            return Jet(self.v * o, self.d * o[..., None], self.h * o[..., None, None])
        cross = self.d[..., :, None] * o.d[..., None, :]
        h = self.v[..., None, None] * o.h + o.v[..., None, None] * self.h
        d = self.v[..., None] * o.d + o.v[..., None] * self.d
        return Jet(self.v * o.v, d, h + cross + np.swapaxes(cross, -1, -2))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1.0

    def __sub__(self, o):
        return self + (-o)

    def __rsub__(self, o):
        return (-self) + o

    def __truediv__(self, o):
        return self * (reciprocal(o) if isinstance(o, Jet) else 1.0 / np.asarray(o))

    def __rtruediv__(self, o):
        return reciprocal(self) * o

    def __getitem__(self, key) -> Jet:
        """Index the leading axes."""
        return Jet(self.v[key], self.d[key], self.h[key])

    def sum(self, axis: int) -> Jet:
        axis %= self.v.ndim
        return Jet(self.v.sum(axis), self.d.sum(axis), self.h.sum(axis))


def reciprocal(x: Jet) -> Jet:
    return x.chain(1 / x.v, -1 / x.v**2, 2 / x.v**3)


def exp(x: Jet) -> Jet:
    e = np.exp(x.v)
    return x.chain(e, e, e)


def log(x: Jet) -> Jet:
    return x.chain(np.log(x.v), 1 / x.v, -1 / x.v**2)


def log1p(x: Jet) -> Jet:
    return x.chain(np.log1p(x.v), 1 / (1 + x.v), -1 / (1 + x.v) ** 2)


def expm1(x: Jet) -> Jet:
    e = np.exp(x.v)
    return x.chain(np.expm1(x.v), e, e)


def tanh(x: Jet) -> Jet:
    t = np.tanh(x.v)
    return x.chain(t, 1 - t * t, -2 * t * (1 - t * t))


def sin(x: Jet) -> Jet:
    return x.chain(np.sin(x.v), np.cos(x.v), -np.sin(x.v))


def erf(x: Jet) -> Jet:
    d = 2 / np.sqrt(np.pi) * np.exp(-x.v * x.v)
    return x.chain(special.erf(x.v), d, -2 * x.v * d)


def where(condition, a, b) -> Jet:
    """Elementwise choice; a and b are jets of one shape."""
    c = np.asarray(condition)
    return Jet(
        np.where(c, a.v, b.v),
        np.where(c[..., None], a.d, b.d),
        np.where(c[..., None, None], a.h, b.h),
    )
