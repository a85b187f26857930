"""Rules of the house that a program can check: who may include whom, the shape of a file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".hpp", ".cpp", ".cu", ".cuh"}

# Public headers belong to the layer that implements them; graph.hpp is also the vocabulary of ops.
PUBLIC = {
    "core": "core",
    "device": "backend",
    "checks": "backend",
    "vector": "backend",
    "linear_operator": "backend",
    "probes": "backend",
    "graph": "graph.hpp",
    "objective": "objective",
    "kronecker": "objective",
    "curvature": "curvature",
    "operators": "solve",
    "solve": "solve",
    "optim": "optim",
}
EVERYTHING = {*PUBLIC.values(), "hesscore"}

# Each layer may include itself and these. `cpu` and `cuda` are leaves: nobody names them.
MAY_INCLUDE = {
    "math": set(),
    "core": set(),
    "backend": {"core", "math"},
    "cpu": {"math", "core", "backend"},
    "cuda": {"math", "core", "backend"},
    "ops": {"math", "core", "backend", "graph.hpp"},
    "graph": {"math", "core", "backend", "ops", "graph.hpp"},
    "plan": {"math", "core", "backend", "ops", "graph", "graph.hpp"},
    "objective": {"math", "core", "backend", "ops", "graph", "graph.hpp", "plan"},
    "solve": {"math", "core", "backend"},
    "curvature": {"math", "core", "backend", "graph", "graph.hpp", "plan", "objective"},
    "optim": {"math", "core", "backend", "graph.hpp", "plan", "objective", "curvature", "solve"},
    "include": EVERYTHING,
    "src": EVERYTHING,  # the Python bindings
}


def sources() -> list[Path]:
    folders = [ROOT / "cpp", ROOT / "cuda", ROOT / "python" / "src", ROOT / "tests", ROOT / "bench"]
    return sorted(p for f in folders for p in f.rglob("*") if p.suffix in SUFFIXES)


def layer_of(path: Path) -> str | None:
    parts = path.relative_to(ROOT).parts
    if parts[0] == "cpp":
        return parts[1]
    return {"cuda": "cuda", "python": "src"}.get(parts[0])


def layer_of_include(name: str, path: Path) -> str | None:
    if name.startswith("hesscore/"):
        return PUBLIC.get(Path(name).stem, "hesscore")
    within = "/" not in name or (layer_of(path) == "cuda" and (ROOT / "cuda" / name).exists())
    return layer_of(path) if within else name.split("/")[0]


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [p for p in sources() if layer_of(p)], ids=relative)
def test_includes_only_layers_above(path):
    layer = layer_of(path)
    allowed = MAY_INCLUDE[layer] | {layer}
    wrong = [n for n in includes(path) if layer_of_include(n, path) not in allowed]
    assert not wrong, f"{layer} must not include {wrong}"


@pytest.mark.parametrize("path", sorted((ROOT / "cpp" / "math").glob("*.hpp")), ids=relative)
def test_formulas_need_only_c_headers(path):
    system = re.findall(r"^\s*#\s*include\s+<([^>]+)>", path.read_text(), re.MULTILINE)
    assert all(re.fullmatch(r"c[a-z]+", name) for name in system), system


@pytest.mark.parametrize("path", sources(), ids=relative)
def test_a_file_says_what_it_is_for_and_is_short(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("//"), "the first line says what the file is for"
    assert len(lines) <= 400, f"{len(lines)} lines"
