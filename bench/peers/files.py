"""Results files: what was measured, where and with what, as JSON with its page and picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hesscore.seeds.machine import describe

from hesscore.errors import OptionError

from . import picture, tables
from .floor import Peaks
from .result import Result
from .targets import verdicts

NEEDED = ("times", "processor", "date", "commit", "versions")


def document(
    results: list[Result], peaks: dict[int, Peaks], versions: dict[str, str]
) -> tables.Document:
    """Put results, machine and versions together."""
    about = describe("cpu")
    about["versions"] |= versions
    return about | {
        "threads": list(peaks),
        "peaks": [
            {
                "threads": threads,
                "gflops": round(p.flops / 1e9, 1),
                "gigabytes_per_second": round(p.bandwidth / 1e9, 2),
            }
            for threads, p in peaks.items()
        ],
        "times": [entry for r in results for entry in r.times()],
        "floors": [entry for r in results for entry in r.floors()],
        "skipped": [entry for r in results for entry in r.reasons()],
        "ratios": verdicts(results),
        "float64": [
            {"case": r.case.name, "row": row, "relative_difference_from_jax": value}
            for r in results
            for row, value in r.independent.items()
        ],
    }


def save(found: tables.Document, folder: Path) -> list[Path]:
    """Write peers-DATE-COMMIT.json, .md and .png."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"peers-{found['date'][:10]}-{found['commit'] or found['versions']['hesscore']}"
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    return [path, *illustrate(found, folder / stem)]


def illustrate(found: tables.Document, stem: Path) -> list[Path]:
    """Write the page and the picture of a results file."""
    page, image = Path(f"{stem}.md"), Path(f"{stem}.png")
    page.write_text(tables.page(found))
    picture.draw(found, image)
    return [page, image]


def load(path: Path) -> tables.Document:
    """Read a results file."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise OptionError.about("show", "a results file (JSON)", f"{path}: {error}") from error
    if not isinstance(found, dict) or any(key not in found for key in NEEDED):
        raise OptionError.about("show", f"a results file with {', '.join(NEEDED)}", str(path))
    if not found["times"] or "threads" not in found["times"][0]:
        raise OptionError.about("show", "a results file with times by threads", str(path))
    return found


def default_folder() -> Path:
    """bench/results of a clone, else a folder here."""
    here = Path(__file__).resolve().parent
    in_clone = here.name == "peers" and here.parent.name == "bench"
    return here.parent / "results" if in_clone else Path("hesscore-bench")


def import_seconds(rounds: int = 11) -> float:
    """Median time of `import hesscore`, compiled as pip leaves it, in a process that has NumPy."""
    code = (
        "from time import perf_counter as now; import numpy; start = now(); import hesscore;"
        "print(now() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment: dict[str, Any] = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", code]
        runs = [
            float(subprocess.check_output(command, text=True, env=environment))
            for _ in range(rounds + 1)
        ]
    return float(np.median(runs[1:]))
