"""Measures one case: answers first, then memory, then rounds in which the sides take turns."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from . import floor
from .cases import AnyCase, num_params
from .problem import LANCZOS_STEPS
from .progress import Progress
from .result import Key, Result, in_order
from .sides import Side, SideError
from .targets import OWN, own_pairs

LARGEST_BASIS = 1 << 30  # bytes of a Lanczos basis
INDEPENDENT = 1e9  # FLOPs of a forward pass up to which JAX is asked for float64 answers, too
FEWEST = 3  # rounds that every row has, slow ones too


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int = 7
    seconds: float = 0.05  # of each row in each round
    limit: float = 5.0  # seconds of a call above which it is skipped
    budget: float = 3.0  # seconds after which a row has no further round


class Measurement:
    """One case on all sides; `result` fills as it goes."""

    def __init__(
        self,
        sides: list[Side],
        case: AnyCase,
        threads: int,
        effort: Effort,
        peaks: floor.Peaks | None,
        progress: Progress,
    ) -> None:
        self.sides = {side.name: side for side in sides}
        self.effort, self.progress = effort, progress
        self.result = Result(case, threads, peaks)
        self.offered: list[Key] = []
        self.keys: list[Key] = []

    def run(self, with_answers: bool = True) -> Result:
        """All of it; without answers and memory where another run has them."""
        self._setup()
        with tempfile.TemporaryDirectory() as folder:
            self._first_calls(Path(folder) / "answer.npy", with_answers)
        if with_answers:
            for key in self.keys:
                self.progress.step(f"memory of {key[0]} {key[1]}")
                self._measure_memory(key)
        for k in range(self.effort.rounds):
            self.progress.step(f"round {k + 1} of {self.effort.rounds}")
            self._round()
        return self.result

    def _setup(self) -> None:
        case = self.result.case
        for side in self.sides.values():
            try:
                names = side.setup(case)
            except SideError as error:
                self.progress.say(f"{side.name} left out: {error}")
                continue
            self.offered += [(side.name, row) for row in names]
            for row in names:
                why = self._too_much(row)
                if why:
                    self.result.skipped[side.name, row] = why
                else:
                    self.keys.append((side.name, row))
        self.keys = in_order(self.keys)

    def _too_much(self, row: str) -> str | None:
        """Tell why a row is not even tried."""
        case, peaks = self.result.case, self.result.peaks
        basis = 4 * LANCZOS_STEPS * num_params(case)
        if row == "lanczos" and basis > LARGEST_BASIS:
            return f"a basis of {basis / 1e9:.1f} GB"
        phases = floor.work(case, row)
        if peaks and phases and floor.seconds(phases, peaks) > self.effort.limit:
            return f"at the machine's peak {floor.seconds(phases, peaks):.0f} s a call"
        return None

    def _first_calls(self, path: Path, with_answers: bool) -> None:
        references: dict[str, np.ndarray | None] = {}
        tried, self.keys = self.keys, []
        for name, row in tried:
            self.progress.step(f"{name}: {row}")
            try:
                spent, answer = self.sides[name].first(row, path)
            except SideError as error:
                self.result.skipped[name, row] = str(error)
                continue
            if spent > self.effort.limit:
                self.result.skipped[name, row] = f"{spent:.1f} s a call"
                continue
            self.keys.append((name, row))
            if with_answers and answer is not None:
                base = row.removesuffix(", channels last")
                if base not in references:
                    references[base] = self._reference(base, path)
                if references[base] is not None:
                    self.result.errors[name, row] = apart(answer, references[base])

    def _reference(self, row: str, path: Path) -> np.ndarray | None:
        """Our float64 answer, or JAX's; of small cases both, and how far apart they are."""
        names = [name for name in ("hesscore", "jax") if (name, row) in self.offered]
        if floor.Count(self.result.case).forward > INDEPENDENT:
            names = names[:1]
        answers = []
        for name in names:
            try:
                answers.append(self.sides[name].reference(row, path))
            except SideError as error:
                self.progress.say(f"{name} has no float64 answer of {row}: {error}")
        found = [answer for answer in answers if answer is not None]
        if len(found) > 1:
            self.result.independent[row] = apart(*found)
        return found[0] if found else None

    def _measure_memory(self, key: Key) -> None:
        try:
            peak = self.sides[key[0]].peak_memory(key[1])
        except SideError as error:
            self.progress.say(f"no memory of {key}: {error}")
            return
        if peak is not None:
            self.result.memory[key] = peak

    def _round(self) -> None:
        effort, result = self.effort, self.result
        for key in list(self.keys):
            times = result.rounds.setdefault(key, [])
            if len(times) >= FEWEST and sum(times) > effort.budget:
                continue
            try:
                times.append(float(np.median(self.sides[key[0]].time(key[1], effort.seconds))))
            except SideError as error:
                self.keys.remove(key)
                del result.rounds[key]
                result.skipped[key] = str(error)
        for pair in own_pairs(result.case):
            if all((OWN[0], row) in result.rounds for row in pair):
                ratio = self.sides[OWN[0]].compare(*pair, effort.seconds)
                result.own.setdefault(pair, []).append(ratio)


def apart(answer: np.ndarray, reference: np.ndarray) -> float:
    """The relative distance of two answers."""
    if answer.shape != reference.shape:
        return float("inf")
    return float(np.linalg.norm(answer - reference) / np.linalg.norm(reference))
