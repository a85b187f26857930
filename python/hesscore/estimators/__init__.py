"""Stochastic estimates of traces, diagonals, norms and spectra from products alone."""

from __future__ import annotations

from ._estimate import Estimate
from .diagonal import diagonal
from .trace import frobenius_norm, trace

__all__ = ["Estimate", "diagonal", "frobenius_norm", "trace"]
