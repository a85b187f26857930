"""Shared set-up of the Python tests: marks, data folder, small problems."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config):
    # A shell's background jobs ignore Ctrl-C, which some tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "statistics: many-sample tests at five standard errors")
    config.addinivalue_line("markers", "data: needs the data sets beside the repository")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the data sets; the test is skipped where there is none."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("HESSCORE_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no data sets: HESSCORE_DATA is not set, and none lie beside the repository")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)
