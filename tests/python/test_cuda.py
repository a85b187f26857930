"""The tests of tests/python/on_cuda, on the emulated GPU; HESSCORE_TEST_CUDA=real: on a real one.

They run in a process of their own, as a process has one CUDA plugin: HESSCORE_CUDA_PLUGIN, or the
emulated one that tests/test_cpp.py builds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "build" / "cpp" / "tests" / "emulator" / "libhesscore_cuda_emulated.so"


def test_on_a_cuda_device():
    mode = os.environ.get("HESSCORE_TEST_CUDA", "emulated")
    plugin = os.environ.get("HESSCORE_CUDA_PLUGIN") or (str(BUILT) if BUILT.exists() else "")
    if not plugin:
        pytest.skip("no CUDA plugin: the emulated one is built by tests/test_cpp.py, or by CMake "
                    "(target hesscore_cuda_emulated) for HESSCORE_CUDA_PLUGIN")  # fmt: skip
    environment = {**os.environ, "HESSCORE_TEST_CUDA": mode, "HESSCORE_CUDA_PLUGIN": plugin}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(HERE / "on_cuda")], env=environment, capture_output=True, text=True
    )
    print(done.stdout[-4000:], done.stderr[-4000:])
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
