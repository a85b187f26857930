"""Checks that a user can run on a problem of their own."""

from __future__ import annotations

from ._report import Check, DerivativeError, DerivativeReport
from .derivatives import check_derivatives

__all__ = ["Check", "DerivativeError", "DerivativeReport", "check_derivatives"]
