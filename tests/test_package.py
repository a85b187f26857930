"""The Python package: its version, what an import touches, and why CUDA is absent."""

import os
import re
import subprocess
import sys
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import pytest

hesscore = pytest.importorskip("hesscore")
ROOT = Path(__file__).resolve().parents[1]
installed = pytest.mark.skipif(
    "hesscore" not in packages_distributions(), reason="run from a build tree"
)


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_version_has_one_source():
    build = (ROOT / "CMakeLists.txt").read_text()
    assert re.findall(r"project\(hesscore VERSION (\S+)", build) == [hesscore.__version__]


def test_an_import_brings_numpy_only():
    heavy = {"scipy", "matplotlib", "sklearn", "jax", "torch", "cupy", "tqdm"}
    loaded = python("import sys, hesscore; print(*{m.split('.')[0] for m in sys.modules})")
    assert not heavy & set(loaded.split())


def test_an_import_does_not_open_the_cuda_plugin():
    maps = python("import hesscore; print(open('/proc/self/maps').read())")
    assert "libhesscore" in maps
    assert not re.search("libhesscore_cuda|libcuda|libcublas", maps)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"HESSCORE_NO_CUDA": "1"}, "switched off by HESSCORE_NO_CUDA"),
        ({"HESSCORE_CUDA_PLUGIN": "/nowhere/p.so"}, "there is no /nowhere/p.so"),
        ({"HESSCORE_CUDA_PLUGIN": __file__}, "could not be loaded"),
    ],
)
def test_why_cuda_is_absent(environment, reason):
    text = python("import hesscore; hesscore.show_config()", **environment)
    assert reason in text


@installed
def test_the_c_plus_plus_package_is_inside():
    folder = Path(hesscore.get_cmake_dir())
    assert (folder / "hesscoreConfig.cmake").exists()
    assert (folder.parents[2] / "include" / "hesscore" / "hesscore.hpp").exists()


@installed
def test_the_licence_is_named():
    assert metadata("hesscore")["License-Expression"] == "Apache-2.0"
