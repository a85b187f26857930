"""One side of the comparison in a process of its own: reads commands and answers in JSON lines.

    {"do": "setup", "case": its key}                 names of the rows
    {"do": "first", "row", "path" or null}           prepares and calls once; answers go to the path
    {"do": "time", "row", "seconds"}                 seconds of each call
    {"do": "compare", "pair": two rows, "seconds"}   the ratio of their times, called in turn
    {"do": "peak", "row"}                            bytes, see memory.py
    {"do": "reference", "row", "path"}               the answer in float64
    {"do": "peaks"}                                  FLOPs and bytes per second

A side is a module with `versions()`, `set_threads(n)` and `rows(problem)`, a dict name -> Row.
COMPILES in it says that first calls compile. A command that fails is answered by {"error"}.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def settle() -> argparse.Namespace:
    """Read the arguments, and settle the threads before a numerical library is imported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--path", help="of a package that is not installed")
    chosen = parser.parse_args()
    count = str(chosen.threads)
    os.environ.update(OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count, MKL_NUM_THREADS=count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: chosen.threads])
    if chosen.path:
        sys.path.insert(0, chosen.path)
    return chosen


def find_package() -> None:
    """Make this folder the package `peers`: as a script it has none, and hesscore may be absent."""
    folder = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != folder]
    start = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "peers", start, submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    sys.modules["peers"] = importlib.util.module_from_spec(spec)


class Worker:
    """The rows of one side for the case that was set up last; each is prepared when first used."""

    def __init__(self, side: ModuleType) -> None:
        from peers import cases, clock, memory, problem

        self.side, self.cases, self.clock = side, cases, clock
        self.memory, self.problem = memory, problem
        self.calls: dict[str, Callable[[], object]] = {}

    def setup(self, case: list) -> dict[str, Any]:
        self.calls = {}
        self.given = self.problem.make(self.cases.case_of(case))
        self.rows = self.side.rows(self.given)
        return {"rows": list(self.rows)}

    def first(self, row: str, path: str | None) -> dict[str, Any]:
        self.calls.pop(row, None)
        spent, found = self.clock.once(self._call(row))
        answer = self.rows[row].answer
        if path and answer:
            self._write(path, answer(found))
        del found
        if getattr(self.side, "COMPILES", False):
            spent, _ = self.clock.once(self._call(row))
        return {"seconds": spent, "answered": answer is not None}

    def time(self, row: str, seconds: float) -> dict[str, Any]:
        return {"times": self.clock.measure(self._call(row), seconds)}

    def compare(self, pair: list[str], seconds: float) -> dict[str, Any]:
        first, second = map(self._call, pair)
        return {"ratio": self.clock.compare(first, second, seconds)}

    def peak(self, row: str) -> dict[str, Any]:
        self.calls.pop(row, None)
        return {"bytes": self.memory.peak_of(lambda: self._call(row)())}

    def reference(self, row: str, path: str) -> dict[str, Any]:
        with getattr(self.side, "float64", contextlib.nullcontext)():
            made = self.side.rows(self.given.double())[row]
            if made.answer is not None:
                self._write(path, made.answer(made.prepare()()))
        return {"answered": made.answer is not None}

    def peaks(self) -> dict[str, Any]:
        return self.side.peaks()._asdict()

    def _call(self, row: str) -> Callable[[], object]:
        if row not in self.calls:
            self.calls[row] = self.rows[row].prepare()
        return self.calls[row]

    def _write(self, path: str, array: Any) -> None:
        import numpy as np

        np.save(path, array)


def main() -> None:
    chosen = settle()
    find_package()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers

    def answer(**what: object) -> None:
        print(json.dumps(what), file=answers, flush=True)

    side = importlib.import_module(f"peers.side_{chosen.side}")
    side.set_threads(chosen.threads)
    answer(versions=side.versions())
    worker = Worker(side)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer(**getattr(worker, command.pop("do"))(**command))
        except Exception as error:
            traceback.print_exc()
            text = (str(error).strip().splitlines() or [""])[0]
            answer(error=f"{type(error).__name__}: {text}"[:200])


if __name__ == "__main__":
    main()
