"""Stochastic estimates of traces, diagonals, norms and spectra from products alone."""

from __future__ import annotations

from ._estimate import Estimate
from .diagonal import diagonal
from .spectrum import SpectralDensity, spectral_density
from .trace import frobenius_norm, trace

__all__ = [
    "Estimate",
    "SpectralDensity",
    "diagonal",
    "frobenius_norm",
    "spectral_density",
    "trace",
]
