"""Registers, stack and shared memory of every CUDA kernel, held against a table: no growth unseen.

Usage: python tests/test_cuda_resources.py [PLUGIN] writes the table anew.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PLUGIN = TESTS.parent / "build" / "cpp" / "libhesscore_cuda.so"
TABLE = TESTS / "cuda_resources.json"
MORE_REGISTERS = 8  # of a kernel, before that counts as growth

# [registers, bytes of stack (spilled registers among them), bytes of static shared memory]
Usage = list[int]


def tool(name: str) -> str | None:
    """A program of the CUDA toolkit, also where its packages put it."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "bin"
    return shutil.which(name, path=f"{packages}{os.pathsep}{os.environ['PATH']}")


def cuobjdump(*arguments: str | Path) -> str:
    program = tool("cuobjdump")
    assert program is not None
    path = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"  # for nvdisasm
    return subprocess.check_output(
        [program, *arguments],
        text=True,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": path},
    )


def readable(mangled: list[str]) -> list[str]:
    """Names without name spaces and parameter lists."""
    names = subprocess.check_output(["c++filt"], input="\n".join(mangled), text=True)
    names = re.sub(r"\(anonymous namespace\)::|hesscore::(\w+::)?|^void ", "", names, flags=re.M)
    return [re.sub(r"(\w|>)\(.*\)$", r"\1", name) for name in names.splitlines()]


def usages(plugin: Path) -> dict[str, dict[str, Usage]]:
    """Usage by architecture and kernel; the largest numbers where two share a readable name."""
    text = cuobjdump("--dump-resource-usage", plugin)
    found: dict[str, dict[str, Usage]] = {}
    for part in re.split(r"(?=^arch = )", text, flags=re.M)[1:]:
        lines = re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)", part)
        kernels = found.setdefault(part.split()[2], {})
        for name, (_, *numbers) in zip(readable([n for n, *_ in lines]), lines, strict=True):
            usage = [int(number) for number in numbers]
            kernels[name] = [
                max(pair) for pair in zip(usage, kernels.get(name, usage), strict=True)
            ]
    return {
        arch: dict(sorted(kernels.items())) for arch, kernels in sorted(found.items()) if kernels
    }


def write_table(found: dict[str, dict[str, Usage]]) -> None:
    """One kernel a line."""
    parts = []
    for arch, kernels in found.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(usage)}" for name, usage in kernels.items()]
        parts.append(f" {json.dumps(arch)}: {{\n" + ",\n".join(lines) + "\n }")
    TABLE.write_text("{\n" + ",\n".join(parts) + "\n}\n")


@pytest.fixture(scope="module")
def plugin() -> Path:
    if not PLUGIN.exists():
        pytest.skip("the CUDA plugin is not built")
    if tool("cuobjdump") is None or shutil.which("c++filt") is None:
        pytest.skip("needs cuobjdump and c++filt")
    return PLUGIN


def test_no_kernel_takes_more_than_the_table_says(plugin):
    table = json.loads(TABLE.read_text())
    worse = []
    for arch, kernels in usages(plugin).items():
        for name, (registers, stack, shared) in kernels.items():
            before = table.get(arch, {}).get(name)
            if before is None:
                worse.append(f"{arch}: {name} is new")
            elif registers > before[0] + MORE_REGISTERS or stack > before[1]:
                worse.append(f"{arch}: {name}: {before} became {[registers, stack, shared]}")
    assert not worse, "\n".join([*worse, "if that is meant: python tests/test_cuda_resources.py"])


def test_tf32_products_use_tensor_cores_and_asynchronous_copies(plugin):
    if tool("nvdisasm") is None:
        pytest.skip("needs nvdisasm")
    text = cuobjdump("--dump-resource-usage", plugin)
    kernels = sorted(set(re.findall(r"Function (\S*product_kernel\S*Tf32\S*):", text)))
    assert kernels
    kernels = kernels[::6]  # disassembling takes seconds for each
    code = cuobjdump("-sass", "-arch", "sm_90", "-fun", ",".join(kernels), plugin)
    functions = re.split(r"^\s*Function : ", code, flags=re.M)[1:]
    assert len(functions) == len(kernels)
    for function in functions:
        name = function.split()[0]
        assert re.search(r"HMMA\S*TF32", function), name
        assert "LDGSTS" in function, name


if __name__ == "__main__":
    write_table(usages(Path(sys.argv[1]) if len(sys.argv) > 1 else PLUGIN))
