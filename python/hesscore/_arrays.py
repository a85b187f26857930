"""The array module of an argument: NumPy, or CuPy for arrays on CUDA devices.

CuPy is never imported here unless its arrays are already there, or the engine has made one.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np


def module_of(array: Any) -> Any:
    """Tell the module whose functions work where `array` lives."""
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


def module_for(device: str) -> Any:
    """Tell the module that makes arrays for a device of the engine."""
    return np if device == "cpu" else importlib.import_module("cupy")
