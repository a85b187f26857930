"""Times hesscore side by side with PyTorch, BackPACK and JAX, and checks that all agree.

    python bench/peers/run.py --torch-python PYTHON [--save] [--rounds 15] [--only jax,torch]
        [--nets convolutional]

Every side runs in a process of its own on the same processors. In each round each side is timed
in turn for a moment (A B A B ...); a ratio is taken within a round, and its median over the
rounds is printed, so that a slow spell of the machine hits both sides alike. Ratios of two rows
of ours are taken call by call. Sides whose libraries are not installed are left out and say so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import report
from problem import convolutional, perceptrons
from sides import Side, SideError

# Quantities that more than one side computes, and how far apart two float32 answers may be,
# relative to their norm.
SAME = {
    **{"gradient": 1e-5, "hesscale": 1e-4, "hvp": 1e-4, "hvp, linearised once": 1e-4},
    **{"ggnvp": 1e-4, "cg50": 1e-3, "ggn": 1e-4},
    # of factors, those of the inputs: labels are drawn
    **{"lanczos": 1e-3, "hessian": 1e-4},  # of a Lanczos run, the largest value
    **{"per_sample_grads": 1e-5, "grad_moments": 1e-4, "kfac": 1e-4},
}
# Where rounding decides whether a rectifier of thousands is open, gradients of float32 differ.
WITH_KINKS = 1000
NAMES_ELSEWHERE = {
    row: f"backpack {row}" for row in ("ggn", "hessian", "per_sample_grads", "grad_moments", "kfac")
} | {"lanczos": "pyhessian lanczos"}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable, help="has torch and backpack")
    parser.add_argument("--jax-python", default=sys.executable, help="has jax")
    parser.add_argument("--only", default="hesscore,torch,jax", help="sides, comma-separated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each row in each round")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--nets", default="perceptrons", help="perceptrons, convolutional or both")
    parser.add_argument("--save", action="store_true", help="write bench/results/peers-*.json")
    return parser.parse_args()


def start(chosen: argparse.Namespace) -> list[Side]:
    pythons = {"torch": chosen.torch_python, "jax": chosen.jax_python}
    sides = []
    for name in chosen.only.split(","):
        try:
            sides.append(Side(name, pythons.get(name, sys.executable), chosen.threads))
        except SideError as error:
            print(f"left out {error}")
    return sides


def difference(sides: dict[str, list[Side]], folder: Path) -> dict[str, float]:
    """The largest relative difference between any side's answer and the first side's, by row."""
    apart = {}
    for row in SAME:
        answers = [
            side.export(name, folder / "answer.npy")
            for name in {row, NAMES_ELSEWHERE.get(row, row)}
            for side in sides.get(name, [])
        ]
        if len(answers) > 1:
            norm = np.linalg.norm(answers[0])
            apart[row] = max(float(np.linalg.norm(a - answers[0]) / norm) for a in answers[1:])
    return apart


def compare(sides: list[Side], case, chosen: argparse.Namespace) -> report.Result:
    """Answers checked against each other, then rounds of A B A B."""
    by_row: dict[str, list[Side]] = {}
    for side in sides:
        for row in side.setup(case):
            by_row.setdefault(row, []).append(side)
    result = report.Result(case)
    with tempfile.TemporaryDirectory() as folder:
        result.apart = difference(by_row, Path(folder))
    for _ in range(chosen.rounds):
        for row, having in by_row.items():
            for side in having:
                times = side.time(row, chosen.seconds)
                result.rounds.setdefault((side.name, row), []).append(float(np.median(times)))
        for pair in report.own_pairs(case):
            for side in by_row.get(pair[0], []):
                if side.name == report.OWN[0]:
                    ratio = side.compare(*pair, chosen.seconds)
                    result.own.setdefault(pair, []).append(ratio)
    return result


def import_seconds(rounds: int = 11) -> float:
    """Median time of `import hesscore`, compiled as pip leaves it, in a process that has NumPy."""
    code = (
        "from time import perf_counter as now; import numpy; start = now(); import hesscore;"
        "print(now() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", code]
        runs = [
            float(subprocess.check_output(command, text=True, env=environment))
            for _ in range(rounds + 1)
        ]
    return float(np.median(runs[1:]))


def main() -> int:
    chosen = options()
    sides = start(chosen)
    if not sides:
        print("no side could be started")
        return 2
    versions = {k: v for side in sides for k, v in side.versions.items()}
    print("  ".join(f"{k} {v}" for k, v in versions.items()), f" threads {chosen.threads}")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"NOTE: the load average is {load:.1f}; on a busy machine these ratios mean little")
    results, disagree = [], False
    cases = perceptrons(chosen.batch) if chosen.nets in ("perceptrons", "both") else []
    cases += convolutional() if chosen.nets in ("convolutional", "both") else []
    for case in cases:
        results.append(compare(sides, case, chosen))
        report.print_times(results[-1])
        for row, apart in results[-1].apart.items():
            limit = SAME[row] * (WITH_KINKS if case.is_kinked else 1)
            disagree |= not apart <= limit
            word = "agree" if apart <= limit else "DISAGREE"
            print(f"  {report.LABELS[row]:38}answers {word}: {apart:.1e} apart")
    found = report.verdicts(results)
    report.print_verdicts(found)
    about: dict = {"threads": chosen.threads, "load_average": load, "versions": versions}
    if "hesscore" in versions:
        about["import_ms"] = round(1e3 * import_seconds(), 2)
        print(
            f"\nimport hesscore: {about['import_ms']} ms beyond NumPy, "
            f"target {1e3 * report.IMPORT_LIMIT:.0f} ms"
        )
    if chosen.save:
        folder = Path(__file__).parents[1] / "results"
        print(f"\nwrote {report.save(folder, results, found, about)}")
    for side in sides:
        side.close()
    return int(disagree)


if __name__ == "__main__":
    sys.exit(main())
