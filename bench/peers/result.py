"""What was measured of one case with one number of threads, and how a results file puts it."""

from __future__ import annotations

import dataclasses

import numpy as np

from . import floor
from .cases import AnyCase
from .rows import LABELS, SIDES, tolerance

Key = tuple[str, str]  # side, row


@dataclasses.dataclass
class Result:
    """By side and row: seconds per call by round, errors, bytes, or why there is nothing.

    `own`: ratios of two rows of ours, by round. `independent`: by row, how far our float64 answers
    are from JAX's.
    """

    case: AnyCase
    threads: int
    peaks: floor.Peaks | None = None
    rounds: dict[Key, list[float]] = dataclasses.field(default_factory=dict)
    errors: dict[Key, float] = dataclasses.field(default_factory=dict)
    memory: dict[Key, int] = dataclasses.field(default_factory=dict)
    skipped: dict[Key, str] = dataclasses.field(default_factory=dict)
    own: dict[tuple[str, str], list[float]] = dataclasses.field(default_factory=dict)
    independent: dict[str, float] = dataclasses.field(default_factory=dict)

    def ratio(self, a: Key, b: Key) -> np.ndarray | None:
        """Quartiles (25, 50, 75 %) over the rounds of a's time divided by b's."""
        if a not in self.rounds or b not in self.rounds:
            return None
        if a[0] == b[0] and (a[1], b[1]) in self.own:
            return np.percentile(self.own[a[1], b[1]], [25, 50, 75])
        ours, theirs = self._best(a), self._best(b)
        common = min(len(ours), len(theirs))  # slow rows have fewer rounds
        return np.percentile(ours[:common] / theirs[:common], [25, 50, 75])

    def _best(self, key: Key) -> np.ndarray:
        """The times of a row, or of it in another memory format where that is faster."""
        times = np.asarray(self.rounds[key])
        other = np.asarray(self.rounds.get((key[0], key[1] + ", channels last"), times))
        common = min(len(times), len(other))
        return np.minimum(times[:common], other[:common])

    def wrong(self) -> list[Key]:
        """The answers that are farther from float64 than they may be."""
        kinked = self.case.is_kinked
        return [k for k, e in self.errors.items() if not e <= tolerance(k[1], kinked)]

    def times(self) -> list[dict]:
        """One entry for each side and row."""
        return [self._entry(key) for key in in_order(self.rounds)]

    def reasons(self) -> list[dict]:
        """What was skipped, and why."""
        return [self._head(key) | {"why": self.skipped[key]} for key in in_order(self.skipped)]

    def floors(self) -> list[dict]:
        """FLOPs, bytes and least time of each row that was measured, and ours relative to it."""
        found = []
        for row in LABELS:
            phases = floor.work(self.case, row)
            if self.peaks is None or phases is None or not any(r == row for _, r in self.rounds):
                continue
            least = floor.seconds(phases, self.peaks)
            ours = self.rounds.get(("hesscore", row))
            found.append(
                {
                    "case": self.case.name,
                    "threads": self.threads,
                    "row": LABELS[row],
                    "gflop": round(sum(p.flops for p in phases) / 1e9, 4),
                    "megabytes": round(sum(p.bytes for p in phases) / 1e6, 2),
                    "floor_ms": round(1e3 * least, 4),
                    "ours_percent": round(100 * least / np.median(ours), 1) if ours else None,
                }
            )
        return found

    def _head(self, key: Key) -> dict:
        side, row = key
        return {
            "case": self.case.name,
            "threads": self.threads,
            "side": SIDES[side],
            "row": LABELS[row],
        }

    def _entry(self, key: Key) -> dict:
        low, mid, high = (round(1e3 * q, 4) for q in np.percentile(self.rounds[key], [25, 50, 75]))
        entry = {"median_ms": mid, "quartiles_ms": [low, high], "rounds": len(self.rounds[key])}
        if key in self.memory:
            entry["peak_megabytes"] = round(self.memory[key] / 1e6, 2)
        if key in self.errors:
            entry["relative_error"] = float(f"{self.errors[key]:.2g}")
        return self._head(key) | entry


def in_order(keys) -> list[Key]:
    """Sort by row, then by side."""
    rows, sides = list(LABELS), list(SIDES)
    return sorted(keys, key=lambda key: (rows.index(key[1]), sides.index(key[0])))
