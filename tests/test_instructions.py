"""Instructions of the micro-cases of bench/bench_instructions.cpp, held against a table.

Usage: python tests/test_instructions.py [PROGRAM] writes the table anew.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PROGRAM = TESTS.parent / "build" / "cpp" / "bench_instructions"
TABLE = TESTS / "instructions.json"
GROWTH = 0.03  # of a case, before it counts as slower


def count(program: Path) -> dict:
    """The compiler, and how many instructions each case takes, one thread, without AVX-512."""
    with tempfile.TemporaryDirectory() as folder:
        function = "hesscore_measured"
        tool = ["--tool=callgrind", f"--toggle-collect={function}", f"--dump-after={function}"]
        command = ["valgrind", *tool, f"--callgrind-out-file={folder}/out", program]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        compiler, *names = done.stdout.splitlines()
        dumps = [Path(folder, f"out.{i + 1}").read_text() for i in range(len(names))]
    totals = [int(re.findall(r"^totals: (\d+)", text, flags=re.M)[0]) for text in dumps]
    return {"compiler": compiler, "instructions": dict(zip(names, totals, strict=True))}


def test_no_case_takes_more_than_the_table_says():
    if not PROGRAM.exists() or shutil.which("valgrind") is None:
        pytest.skip("needs valgrind, and the benches that tests/test_cpp.py builds")
    table = json.loads(TABLE.read_text())
    found = count(PROGRAM)
    if found["compiler"] != table["compiler"]:
        pytest.skip(f"the table is of another compiler, {table['compiler']}")
    before = table["instructions"]
    worse = [
        f"{name}: {before.get(name)} became {now}"
        for name, now in found["instructions"].items()
        if now > before.get(name, 0) * (1 + GROWTH)
    ]
    assert not worse, "\n".join([*worse, "if that is meant: python tests/test_instructions.py"])


if __name__ == "__main__":
    found = count(Path(sys.argv[1]) if len(sys.argv) > 1 else PROGRAM)
    TABLE.write_text(json.dumps(found, indent=1) + "\n")
