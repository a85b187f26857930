"""Tables, targets and the results file of the side-by-side comparison."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
from problem import BIG, NARROW, SMALL, Case, NetCase

Key = tuple[str, str]  # side, row


@dataclasses.dataclass
class Result:
    """What one case gave: seconds per call by round, and how far the answers are apart.

    `own`: ratios of two rows of ours, by round.
    """

    case: Case | NetCase
    rounds: dict[Key, list[float]] = dataclasses.field(default_factory=dict)
    apart: dict[str, float] = dataclasses.field(default_factory=dict)
    own: dict[tuple[str, str], list[float]] = dataclasses.field(default_factory=dict)

    def ratio(self, a: Key, b: Key) -> np.ndarray | None:
        """Quartiles (25, 50, 75 %) over the rounds of a's time divided by b's."""
        if a not in self.rounds or b not in self.rounds:
            return None
        if a[0] == b[0] and (a[1], b[1]) in self.own:
            return np.percentile(self.own[a[1], b[1]], [25, 50, 75])
        return np.percentile(self._best(a) / self._best(b), [25, 50, 75])

    def _best(self, key: Key) -> np.ndarray:
        """The times of a row, or of it in another memory format where that is faster."""
        times, other = np.asarray(self.rounds[key]), (key[0], key[1] + ", channels last")
        return np.minimum(times, self.rounds.get(other, times))


@dataclasses.dataclass(frozen=True)
class Target:
    """`ours` takes at most `limit` times as long as `theirs`."""

    net: tuple[int, ...] | str
    ours: str
    theirs: Key
    limit: float


OWN = ("hesscore", "gradient")
JAX = ("jax", "gradient")
MONTE_CARLO = ("torch", "backpack ggn_mc")
EXACT = ("torch", "backpack ggn")
TARGETS = [
    Target(BIG, "gradient", ("torch", "gradient"), 0.85),
    Target(BIG, "gradient", JAX, 0.75),
    Target(BIG, "hesscale", OWN, 1.75),
    Target(BIG, "hesscale", MONTE_CARLO, 0.40),
    Target(SMALL, "hesscale", MONTE_CARLO, 0.25),
    Target(SMALL, "hesscale", JAX, 1.00),
    *(
        Target(sizes, row, theirs, limit)
        for sizes in (BIG, SMALL)
        for row, theirs, limit in (
            ("ggnvp", OWN, 1.3),
            ("hvp", OWN, 2.0),
            ("cg50", ("jax", "cg50"), 0.6),
        )
    ),
]
TARGETS += [
    Target("lenet5", "gradient", ("torch", "gradient"), 0.35),
    Target("3c3d", "gradient", ("torch", "gradient"), 0.65),
    Target("resnet18", "gradient", ("torch", "gradient"), 0.95),
    *(Target(net, "hesscale", OWN, 1.75) for net in ("lenet5", "3c3d", "resnet18", "allcnnc")),
    *(Target(net, "hesscale", MONTE_CARLO, 0.35) for net in ("lenet5", "3c3d", "allcnnc")),
    Target("3c3d", "ggn_mc", MONTE_CARLO, 0.60),
    Target("lenet5", "ggn", EXACT, 0.30),
    Target("3c3d", "ggn", EXACT, 0.45),
]
TARGETS += [
    Target(net, ours, theirs, limit)
    for net in (BIG, "3c3d")
    for ours, theirs, limit in (
        ("hvp, linearised once", ("torch", "hvp"), 0.55),
        ("hvp, linearised once", ("jax", "hvp, linearised once"), 0.80),
        ("ggnvp", ("torch", "ggnvp, linearised anew"), 0.50),
        ("ggnvp", ("torch", "ggnvp"), 0.55),
        ("ggnvp", ("jax", "ggnvp"), 0.80),
    )
]
TARGETS += [
    Target(net, row, ("torch", f"backpack {row}"), limit)
    for net in (BIG, SMALL, "lenet5", "3c3d", "allcnnc")
    for row, limit in (("per_sample_grads", 0.6), ("grad_moments", 0.6), ("kfac", 0.4))
]
TARGETS += [Target(NARROW, "hessian", ("torch", "backpack hessian"), 0.2)]
TARGETS += [Target(net, "lanczos", ("torch", "pyhessian lanczos"), 0.4) for net in (BIG, SMALL)]
TARGETS += [Target(net, "probes", ("hesscore", "products"), 0.6) for net in (BIG, "3c3d")]
IMPORT_LIMIT = 0.030  # seconds beyond NumPy
LABELS = {
    "gradient": "gradient",
    "gradient, channels last": "gradient, channels last",
    "hesscale": "gradient + HesScale",
    "hesscale_gn": "gradient + HesScale-GN",
    "bl89": "gradient + BL89",
    "ggn": "gradient + GGN diagonal",
    "ggn_mc": "gradient + GGN-MC diagonal",
    "backpack ggn_mc": "gradient + GGN-MC diagonal",
    "backpack ggn": "gradient + GGN diagonal",
    "hessian": "gradient + Hessian diagonal",
    "backpack hessian": "gradient + Hessian diagonal",
    "per_sample_grads": "gradients of single samples",
    "backpack per_sample_grads": "gradients of single samples",
    "func per_sample_grads": "gradients of single samples",
    "grad_moments": "their moments and norms",
    "backpack grad_moments": "their moments and norms",
    "kfac": "gradient + Kronecker factors",
    "backpack kfac": "gradient + Kronecker factors",
    "hvp": "Hessian-vector product",
    "hvp, linearised once": "Hessian product, linearised once",
    "ggnvp": "GGN-vector product, linearised once",
    "ggnvp, linearised anew": "GGN-vector product",
    "lanczos": "100 Lanczos steps on the Hessian",
    "pyhessian lanczos": "100 Lanczos steps on the Hessian",
    "probes": "Hessian's trace from 32 probes",
    "products": "32 Hessian products",
    "cg50": "50 CG iterations on the GGN",
}


SIDES = {"torch": "PyTorch", "jax": "JAX"}


def title(key: Key) -> str:
    side, row = key
    if row.startswith("func"):
        return "torch.func"
    if row.startswith("pyhessian"):
        return "PyHessian"
    return "BackPACK" if row.startswith("backpack") else SIDES.get(side, side)


def print_times(result: Result) -> None:
    print(
        f"\n{result.case.name}: milliseconds, median of the rounds (quartiles); gradients with loss"
    )
    order = list(dict.fromkeys(LABELS.values()))
    for key in sorted(result.rounds, key=lambda key: order.index(LABELS[key[1]])):
        low, mid, high = 1e3 * np.percentile(result.rounds[key], [25, 50, 75])
        print(f"  {LABELS[key[1]]:38}{title(key):10}{mid:9.3f}  ({low:.3f} .. {high:.3f})")


def own_pairs(case: Case | NetCase) -> list[tuple[str, str]]:
    """Rows of ours that have a target over another row of ours."""
    return [
        (target.ours, target.theirs[1])
        for target in TARGETS
        if target.net == case.group and target.theirs[0] == OWN[0]
    ]


def verdicts(results: list[Result]) -> list[dict]:
    """Every target against what was measured."""
    found = []
    for result in results:
        for target in TARGETS:
            key = ("hesscore", target.ours)
            ratio = result.ratio(key, target.theirs)
            if target.net != result.case.group or ratio is None:
                continue
            found.append(
                {
                    "case": result.case.name,
                    "ours": LABELS[target.ours],
                    "theirs": f"{title(target.theirs)} {LABELS[target.theirs[1]]}",
                    "ratio": round(ratio[1], 3),
                    "quartiles": [round(ratio[0], 3), round(ratio[2], 3)],
                    "limit": target.limit,
                    "met": bool(ratio[1] <= target.limit),
                }
            )
    return found


def print_verdicts(found: list[dict]) -> None:
    case = None
    for v in found:
        if v["case"] != case:
            case = v["case"]
            print(f"\n{case}: time of ours / time of theirs, in the same round (quartiles)")
        low, high = v["quartiles"]
        print(
            f"  {v['ours']:36}/ {v['theirs']:34}{v['ratio']:6.2f} ({low:.2f} .. {high:.2f})"
            f"  target {v['limit']:.2f}  {'met' if v['met'] else 'MISSED'}"
        )


def save(folder: Path, results: list[Result], found: list[dict], about: dict) -> Path:
    """Writes bench/results/peers-DATE-COMMIT.json and returns its path."""
    about = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD"),
        "modified": bool(git("status", "--porcelain", "--untracked-files=no")),
        "processor": processor(),
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    } | about
    rows = [
        {
            "case": r.case.name,
            "side": title(key),
            "row": LABELS[key[1]],
            "median_ms": round(1e3 * float(np.median(t)), 4),
            "quartiles_ms": [round(1e3 * float(q), 4) for q in np.percentile(t, [25, 75])],
            "rounds": len(t),
        }
        for r in results
        for key, t in r.rounds.items()
    ]
    apart = [
        {"case": r.case.name, "what": k, "relative_difference": v}
        for r in results
        for k, v in r.apart.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"peers-{about['date'][:10]}-{about['commit']}.json"
    path.write_text(
        json.dumps(about | {"times": rows, "ratios": found, "agreement": apart}, indent=1) + "\n"
    )
    return path


def git(*command: str) -> str:
    done = subprocess.run(
        ["git", *command], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return done.stdout.strip()


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((s.split(":", 1)[1].strip() for s in lines if s.startswith("model name")), "")
