"""Plots of training runs, curvature, spectra and losses, on Matplotlib axes that may be restyled.

Matplotlib is imported when a function is called, not with this module.
"""

from __future__ import annotations

from .curvature import curvature
from .history import history
from .landscape import landscape
from .spectrum import spectrum

__all__ = ["curvature", "history", "landscape", "spectrum"]
