"""One side of the comparison in a process of its own: reads commands and answers in JSON lines.

Commands: {"do": "setup", "case": its key}, {"do": "export", "row", "path"},
{"do": "time", "row", "seconds"}, {"do": "compare", "pair": two rows, "seconds"}. A side is a module
with `versions()` and `rows(problem)`, a dict of name -> (call, export): `call` does the work and
waits for it, `export` makes a flat array of what it returned.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable

# The thread count has to be settled before a numerical library is imported.
parser = argparse.ArgumentParser()
parser.add_argument("side")
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
os.environ.update(OMP_NUM_THREADS=str(args.threads), OPENBLAS_NUM_THREADS=str(args.threads))
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])

import numpy as np  # noqa: E402
from problem import case_of, make  # noqa: E402


def measure(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, for about `seconds`, after an untimed stretch of a fifth of that."""
    times: list[float] = []
    gc.disable()
    warm = time.perf_counter() + seconds / 5
    while time.perf_counter() < warm:
        call()
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    gc.enable()
    return times


def compare(first: Callable[[], object], second: Callable[[], object], seconds: float) -> float:
    """The first's median time over the second's, called in turn, untimed once."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (first, second):
        call()
    gc.disable()
    end = time.perf_counter() + seconds
    while not times[0] or time.perf_counter() < end:
        for call, to in zip((first, second), times, strict=True):
            start = time.perf_counter()
            call()
            to.append(time.perf_counter() - start)
    gc.enable()
    return float(np.median(times[0]) / np.median(times[1]))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers

    def answer(**what: object) -> None:
        print(json.dumps(what), file=answers, flush=True)

    side = importlib.import_module(f"side_{args.side}")
    side.set_threads(args.threads)
    answer(versions=side.versions())
    rows: dict[str, tuple[Callable[[], object], Callable]] = {}
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "setup":
            rows = side.rows(make(case_of(command["case"])))
            answer(rows=list(rows))
            continue
        if command["do"] == "compare":
            calls = [rows[name][0] for name in command["pair"]]
            answer(ratio=compare(*calls, command["seconds"]))
            continue
        call, export = rows[command["row"]]
        if command["do"] == "export":
            np.save(command["path"], export(call()))
            answer(done=True)
        else:
            answer(times=measure(call, command["seconds"]))


if __name__ == "__main__":
    main()
