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
        self.seconds: dict[Key, float] = {}  # of first calls
        self.paces: dict[str, float] = {}  # by side, the least seconds over the floor
        names = [name for name in ("hesscore", "jax") if name in self.sides]
        self.reference_side = names[0] if names else None

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
        basis = 4 * LANCZOS_STEPS * num_params(self.result.case)
        if row == "lanczos" and basis > LARGEST_BASIS:
            return f"a basis of {basis / 1e9:.1f} GB"
        least = self._floor(row)
        if least is not None and least > self.effort.limit:
            return f"at the machine's peak {least:.0f} s a call"
        return None

    def _floor(self, row: str) -> float | None:
        """The least seconds of a row, where peaks and a count are known."""
        base, peaks = row.removesuffix(", channels last"), self.result.peaks
        phases = floor.work(self.result.case, base)
        return floor.seconds(phases, peaks) if phases and peaks else None

    def _first_calls(self, path: Path, with_answers: bool) -> None:
        """Try every row; its answer is compared with one in float64."""
        references: dict[str, np.ndarray | None] = {}
        tried, self.keys = self.keys, []
        for name, row in tried:
            self.progress.step(f"{name}: {row}")
            answer = self._first_call(name, row, path)
            base = row.removesuffix(", channels last")
            if not with_answers or answer is None:
                continue
            if base not in references:
                references[base] = self._reference(self.reference_side, base, path)
            right = references[base]
            if right is None:
                continue
            self.result.errors[name, row] = apart(answer, right)
            if self._is_independent(name, row):
                other = self._reference(name, row, path)
                if other is not None:
                    self.result.independent[row] = apart(right, other)

    def _first_call(self, name: str, row: str, path: Path) -> np.ndarray | None:
        """Call once; what fails or takes too long is skipped."""
        least, pace = self._floor(row), self.paces.get(name, 0.0)
        if self.result.peaks and least is None and name != self.reference_side:
            self.result.skipped[name, row] = "no count is known that would tell how long it takes"
            return None
        about = pace * (least or 0.0)
        if about > 2 * self.effort.limit:
            why = f"about {about:.0f} s a call, at the pace of its other rows"
            self.result.skipped[name, row] = why
            return None
        try:
            spent, answer = self.sides[name].first(row, path)
        except SideError as error:
            self.result.skipped[name, row] = str(error)
            return None
        if least:
            self.paces[name] = min(spent / least, self.paces.get(name, np.inf))
        if spent > self.effort.limit:
            self.result.skipped[name, row] = f"{spent:.1f} s a call"
            return None
        self.keys.append((name, row))
        self.seconds[name, row] = spent
        return answer

    def _is_independent(self, name: str, row: str) -> bool:
        """Is this JAX, asked for float64 answers beside ours? Its convolutions are too slow."""
        dense = all(p.positions == 1 for p in floor.Count(self.result.case).products)
        quick = self.seconds[name, row] < self.effort.limit / 10
        return name == "jax" and self.reference_side != "jax" and quick and dense

    def _reference(self, name: str | None, row: str, path: Path) -> np.ndarray | None:
        """A side's answer in float64, if there is one."""
        if name is None or (name, row) not in self.offered:
            return None
        try:
            return self.sides[name].reference(row, path)
        except SideError as error:
            self.progress.say(f"{name} has no float64 answer of {row}: {error}")
            return None

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
