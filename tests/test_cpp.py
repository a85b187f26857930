"""The C++ tests, and the library as a C++ program outside the project finds it."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "cpp"
PATH = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool, path=PATH) for tool in ("cmake", "ninja", "c++")),
    reason="needs cmake, ninja and a C++ compiler",
)


def run(*command: str | Path) -> str:
    program = shutil.which(command[0], path=PATH) or command[0]
    environment = {**os.environ, "PATH": PATH}
    done = subprocess.run([program, *command[1:]], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def build() -> Path:
    """The engine, tests and benches; the CUDA plugin as HESSCORE_CUDA says; strict under CI."""
    options = {
        "HESSCORE_BENCH": "ON",
        "HESSCORE_CUDA": os.environ.get("HESSCORE_CUDA", "OFF"),
        "HESSCORE_WERROR": "ON" if os.environ.get("CI") else "OFF",
        "Python_EXECUTABLE": sys.executable,
    }
    defines = [f"-D{name}={value}" for name, value in options.items()]
    run("cmake", "-G", "Ninja", "-S", ROOT, "-B", BUILD, *defines)
    run("cmake", "--build", BUILD)
    return BUILD


def build_and_run_embed(folder: Path, cmake_dir: Path) -> str:
    run("cmake", "-G", "Ninja", "-S", ROOT / "tests" / "embed", "-B", folder,
        f"-Dhesscore_DIR={cmake_dir}", "-DCMAKE_BUILD_TYPE=Release")  # fmt: skip
    run("cmake", "--build", folder)
    return run(folder / "embed")


@pytest.mark.xdist_group("cpp")
def test_cpp_tests(build):
    jobs = str(os.cpu_count() or 1)
    print(run("ctest", "--test-dir", build, "--output-on-failure", "-j", jobs))


@pytest.mark.xdist_group("cpp")
@pytest.mark.parametrize("variant", ["avx2", "avx512"])
def test_variants_leave_no_code_to_other_processors(build, variant):
    """Of a weak function the linker keeps any copy: one with AVX would run where there is none."""
    objects = list(build.glob(f"CMakeFiles/hesscore_{variant}.dir/**/*.o"))
    if not objects or shutil.which("nm") is None:
        pytest.skip("no such variant, or no nm")
    lines = run("nm", "-C", "--defined-only", *objects).splitlines()
    weak = {line.split(maxsplit=2)[2] for line in lines if re.match("[0-9a-f]+ W ", line)}
    assert not {name for name in weak if variant not in name}


@pytest.mark.xdist_group("cpp")
def test_embedding_an_installed_library(build, tmp_path):
    run("cmake", "--install", build, "--prefix", tmp_path / "prefix")
    (config,) = (tmp_path / "prefix").rglob("hesscoreConfig.cmake")
    assert "->" in build_and_run_embed(tmp_path / "build", config.parent)


@pytest.mark.xdist_group("cpp")
def test_embedding_the_python_package(tmp_path):
    hesscore = pytest.importorskip("hesscore")
    assert "->" in build_and_run_embed(tmp_path / "build", Path(hesscore.get_cmake_dir()))


@pytest.mark.xdist_group("cpp")
def test_the_cuda_plugin_loads_or_says_why_not(build, monkeypatch):
    plugin = build / "libhesscore_cuda.so"
    if not plugin.exists():
        pytest.skip("built without CUDA")
    pytest.importorskip("hesscore")
    code = "import hesscore; print(hesscore.show_config(mode='dict')['cuda'])"
    monkeypatch.setenv("HESSCORE_CUDA_PLUGIN", str(plugin))
    status = run(sys.executable, "-c", code)
    assert re.search("^available$|CUDA driver is missing|no CUDA device", status), status
