"""Gathers the logs of gpu_check.sh into one JSON file, and prints the table and the targets."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

SMALL, WIDE = ("784-128-10", 128), ("784-1024-1024-10", 4096)
LENET, CNN, ALL_CNN, RESNET = ("lenet5", 128), ("3c3d", 128), ("allcnnc", 256), ("resnet18", 128)
EAGER = {LENET: 20, CNN: 10, ALL_CNN: 3}  # eager HesScale and BackPACK over ours
ROWS = [
    "adam step",
    "adahesscale step",
    "gradient call",
    "hesscale call",
    "hesscale call, without unfolding",
    "ggn_mc call",
    "hutchinson call",
    "kfac call",
    "ggn call",
    "ggnvp",
    "hvp",
    "32 hvp at once",
    "50 CG iterations on the GGN",
]
SIDES = ["hesscore", "torch eager", "torch compiled", "jax"]


def read(log: Path) -> list[dict]:
    """The JSON objects among the lines of a log."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{")]


def run(*command: str) -> str:
    try:
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    found = {"nvcc": run("nvcc", "--version").rpartition("release ")[2].partition(",")[0]}
    for package in ("torch", "jax", "cupy-cuda13x", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


class Table:
    """Microseconds by (side, net, batch, precision, row)."""

    def __init__(self, rows: list[dict]) -> None:
        self.us = {
            (r["side"], r["net"], r["batch"], r["precision"], r["row"]): r["us"]
            for r in rows
            if "us" in r
        }

    def get(self, side: str, case: tuple[str, int], precision: str, row: str) -> float | None:
        return self.us.get((side, *case, precision, row))

    def best(self, sides: list[str], *where) -> float | None:
        times = [t for side in sides if (t := self.get(side, *where)) is not None]
        return min(times, default=None)

    def print(self) -> None:
        cases = dict.fromkeys((net, batch) for _, net, batch, _, _ in self.us)
        for case in cases:
            for precision in ("fp32", "tf32"):
                print(f"\n{case[0]}, N = {case[1]}, {precision}; microseconds\n")
                print("| |" + "".join(f" {side} |" for side in SIDES))
                print("|---|" + "---|" * len(SIDES))
                for row in ROWS:
                    times = [self.get(side, case, precision, row) for side in SIDES]
                    cells = "".join(f" {t:.1f} |" if t else " |" for t in times)
                    if any(times):
                        print(f"| {row} |{cells}")


def print_convolutions(rows: list[dict]) -> None:
    """GFLOP/s of each layer and pass, and of cuDNN where it has the pass."""
    found = {(r["side"], r["precision"], r["layer"], r["pass"]): r["gflops"] for r in rows}
    places = dict.fromkeys((layer, name) for _, _, layer, name in found)
    sides = [(side, p) for p in ("fp32", "tf32") for side in ("hesscore", "cudnn")]
    print("\nConvolutions, N = 128; GFLOP/s\n")
    print("| |" + "".join(f" {side}, {p} |" for side, p in sides) + "\n|---|---|---|---|---|")
    for layer, name in places:
        cells = [found.get((*side, layer, name)) for side in sides]
        print(f"| {layer}, {name} |" + "".join(f" {c:.0f} |" if c else " |" for c in cells))


def ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def targets(table: Table, extra: dict[str, float]) -> list[dict]:
    """What was set out to be reached, what was, and whether it is enough."""
    step, base, cg = "adahesscale step", "adam step", "50 CG iterations on the GGN"
    compiled = ["torch compiled", "jax"]

    def own(case, precision):
        return table.get("hesscore", case, precision, step)

    def eager(case, precision):
        """Eager HesScale's step over ours, or BackPACK's sampled diagonal over ours, if less."""
        pairs = [
            [table.get(side, case, precision, row) for side in ("torch eager", "hesscore")]
            for row in (step, "ggn_mc call")
        ]
        return min((r for pair in pairs if (r := ratio(*pair))), default=None)

    found = []
    for p in ("fp32", "tf32"):
        found += [
            (f"HesScale step / own gradient step, small, {p}", "<=", 1.1,
             ratio(own(SMALL, p), table.get("hesscore", SMALL, p, base))),
            (f"HesScale step / own gradient step, wide, {p}", "<=", 1.67,
             ratio(own(WIDE, p), table.get("hesscore", WIDE, p, base))),
            (f"eager / HesScale step, small, {p}", ">=", 20,
             ratio(table.get("torch eager", SMALL, p, step), own(SMALL, p))),
            (f"best compiled / HesScale step, small, {p}", ">=", 2,
             ratio(table.best(compiled, SMALL, p, step), own(SMALL, p))),
            (f"best compiled / HesScale step, wide, {p}", ">=", 1.2,
             ratio(table.best(compiled, WIDE, p, step), own(WIDE, p))),
            (f"JAX / 50 CG iterations, small, {p}", ">=", 3,
             ratio(table.get("jax", SMALL, p, cg), table.get("hesscore", SMALL, p, cg))),
        ]  # fmt: skip
        for case in (LENET, CNN, ALL_CNN, RESNET):
            net, ours = case[0], own(case, p)
            found.append((f"HesScale step / own gradient step, {net}, {p}", "<=", 1.67,
                          ratio(ours, table.get("hesscore", case, p, base))))  # fmt: skip
            found.append((f"best compiled / HesScale step, {net}, {p}", ">=", 1,
                          ratio(table.best(compiled, case, p, step), ours)))  # fmt: skip
            if case in EAGER:
                found.append((f"eager HesScale, BackPACK / ours, {net}, {p}", ">=", EAGER[case],
                              eager(case, p)))  # fmt: skip
    found.append(("update / copy bandwidth", ">=", 0.8,
                  ratio(extra.get("update bandwidth"), extra.get("copy bandwidth"))))  # fmt: skip
    return [
        {
            "target": name,
            "bound": f"{sign} {bound}",
            "found": value and round(value, 3),
            "met": value is not None and (value <= bound if sign == "<=" else value >= bound),
        }
        for name, sign, bound, value in found
    ]


def main() -> None:
    logs, results, failed = Path(sys.argv[1]), Path(sys.argv[2]), [f for f in sys.argv[3:] if f]
    rows = [line for side in ("hesscore", "jax", "torch") for line in read(logs / f"{side}.log")]
    table = Table(rows)
    table.print()
    convolutions = [
        line for side in ("convolutions", "cudnn") for line in read(logs / f"{side}.log")
    ]
    print_convolutions(convolutions)
    extra = {r["row"]: r["gb_per_s"] for r in rows if "gb_per_s" in r}
    verdicts = targets(table, extra)
    print()
    for v in verdicts:
        word = "not measured" if v["found"] is None else ("met" if v["met"] else "MISSED")
        print(f"{v['target']:55} {v['bound']:>8} {v['found'] or '':>8} {word}")
    device, _, rest = (logs / "device.txt").read_text().strip().partition(", ")
    about = {
        "device": device,
        "driver": rest.partition(", ")[0],
        "versions": versions(),
        "commit": run("git", "rev-parse", "--short", "HEAD"),
        "failed": failed,
        "probes": read(logs / "probes.log"),
        "targets": verdicts,
        "rows": rows,
        "convolutions": convolutions,
        "agreement": read(logs / "agreement.log"),
    }
    target = results / f"gpu-{datetime.date.today()}.json"
    target.write_text(json.dumps(about, indent=1) + "\n")
    print(f"\nwritten to {target}")


if __name__ == "__main__":
    main()
