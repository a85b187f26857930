"""``hesscore bench``: our times, all libraries side by side, or how times grow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hesscore._extras import require
from hesscore.errors import Error

from . import files, tables
from .floor import Peaks
from .measure import Measurement
from .options import Options
from .progress import Progress
from .result import Result
from .rows import LABELS, SIDES, tolerance
from .sides import Side, SideError
from .targets import IMPORT_LIMIT

Say = Callable[[str], None]


def alone(options: Options, say: Say = print) -> tables.Document:
    """Print our own times beside the floor."""
    found = measure(options, Progress(say), with_answers=True)
    say(_machine(found))
    for block in tables.blocks(found):
        say(tables.own(found, block))
    return found


def peers(options: Options, say: Say = print) -> tables.Document:
    """Measure all sides; print tables and verdicts.

    Raises
    ------
    Error
        When answers are farther apart than rounding allows, after everything is printed and saved.
    """
    folder = options.out or files.default_folder()
    if options.save:
        require("matplotlib.figure")
    progress = Progress(say)
    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"NOTE: the load average is {load:.1f}; on a busy machine these times mean little")
    wrong: list[str] = []

    def show(result: Result) -> None:
        document = files.document([result], {}, {})
        progress.say(tables.terminal(document, (result.case.name, result.threads)))
        for side, row in result.wrong():
            limit = tolerance(row, result.case.is_kinked)
            apart = f"{result.errors[side, row]:.1e} off, at most {limit:.0e} is right"
            wrong.append(f"{result.case.name}, {SIDES[side]}, {LABELS[row]}: {apart}")

    found = measure(options, progress, with_answers=True, show=show)
    say(_machine(found))
    for f in found["float64"]:
        say(f"  float64, {f['case']}, {LABELS[f['row']]}: "
            f"{f['relative_difference_from_jax']:.1e} from JAX")  # fmt: skip
    _print_verdicts(found["ratios"], say)
    if "hesscore" in options.sides():
        found["import_ms"] = round(1e3 * files.import_seconds(3 if options.quick else 11), 2)
        target = f"target {1e3 * IMPORT_LIMIT:.0f} ms"
        say(f"\nimport hesscore: {found['import_ms']} ms beyond NumPy, {target}")
    if options.save:
        for path in files.save(found, folder):
            say(f"wrote {path}")
    if wrong:
        raise Error(f"answers disagree: {'; '.join(wrong)}")
    return found


def show(path: Path, say: Say = print) -> None:
    """Print the tables of a results file again, and write its page and picture beside it."""
    found = files.load(path)
    for block in tables.blocks(found):
        say(tables.terminal(found, block))
    _print_verdicts(found.get("ratios", []), say)
    for written in files.illustrate(found, path.with_suffix("")):
        say(f"wrote {written}")


def measure(
    options: Options,
    progress: Progress,
    with_answers: bool,
    show: Callable[[Result], None] = lambda result: None,
) -> tables.Document:
    """Measure all cases with the first number of threads, answers and memory, too.

    With the others, one case for each network.
    """
    effort = options.effort()
    results: list[Result] = []
    peaks: dict[int, Peaks] = {}
    versions: dict[str, str] = {}
    for threads in options.thread_counts():
        sides = _start(options, threads, progress)
        try:
            versions |= {k: v for side in sides for k, v in side.versions.items()}
            for side in sides[:1]:
                if side.name == "hesscore":
                    peaks[threads] = side.peaks()
            first = threads == options.thread_counts()[0]
            cases = options.cases(once=not first)
            for k, case in enumerate(cases):
                progress.title = f"{case.name} ({k + 1} of {len(cases)}), {threads} threads"
                peak = peaks.get(threads)
                one = Measurement(sides, case, threads, effort, peak, progress)
                results.append(one.run(with_answers and first))
                show(results[-1])
        finally:
            for side in sides:
                side.close()
    progress.clear()
    return files.document(results, peaks, versions)


def _start(options: Options, threads: int, progress: Progress) -> list[Side]:
    sides: list[Side] = []
    for name, python in options.sides().items():
        progress.step(f"starting {name}")
        try:
            sides.append(Side(name, python, threads, options.package_path(name)))
        except SideError as error:
            progress.say(f"left out {SIDES[name]}: {error}")
    if not sides:
        raise Error("no side could be started")
    return sides


def _machine(found: tables.Document) -> str:
    lines = [f"\n{found['processor']}, load {found['load_average']}"]
    lines += [
        f"  {p['threads']} threads: {p['gflops']:.0f} GFLOP/s in a product of ours, "
        f"{p['gigabytes_per_second']:.1f} GB/s in a copy"
        for p in found["peaks"]
    ]
    return "\n".join(lines)


def _print_verdicts(found: list[dict], say: Say) -> None:
    block = None
    for v in found:
        if (v["case"], v["threads"]) != block:
            block = v["case"], v["threads"]
            say(f"\n{block[0]}, {block[1]} threads: time of ours / time of theirs, in the same "
                "round (quartiles)")  # fmt: skip
        low, high = v["quartiles"]
        say(
            f"  {v['ours']:36}/ {v['theirs']:38}{v['ratio']:6.2f} ({low:.2f} .. {high:.2f})"
            f"  target {v['limit']:.2f}  {'met' if v['met'] else 'MISSED'}"
        )
