"""Tests on a CUDA device, in a process of their own: test_cuda.py starts it.

HESSCORE_TEST_CUDA is "real" or "emulated"; without it nothing here is collected. Where the real
CuPy cannot work, a stand-in takes its place.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
MODE = os.environ.get("HESSCORE_TEST_CUDA")

if MODE is None:
    collect_ignore_glob = ["test_*.py"]
else:
    sys.path.insert(0, str(HERE))
    try:
        if MODE == "emulated":
            raise ImportError
        import cupy  # noqa: F401
    except ImportError:
        sys.path.insert(0, str(HERE.parent / "fakes"))


@pytest.fixture(params=["float64", "float32"])
def dtype(request) -> np.dtype:
    return np.dtype(request.param)
