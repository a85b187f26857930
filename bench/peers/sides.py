"""A side of the comparison, seen from outside: its process and the commands it understands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from problem import Case, NetCase


class SideError(RuntimeError):
    """The process ended; the message is the last line it left."""


class Side:
    """Starts `worker.py NAME` under an interpreter and talks to it in JSON lines."""

    def __init__(self, name: str, python: str, threads: int) -> None:
        self.name = name
        worker = Path(__file__).with_name("worker.py")
        command = [python, "-W", "ignore", str(worker), name, f"--threads={threads}"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.versions: dict[str, str] = self._answer()["versions"]

    def setup(self, case: Case | NetCase) -> list[str]:
        """Builds the case and returns the names of the rows this side can do."""
        return self._ask(do="setup", case=case.key)["rows"]

    def export(self, row: str, path: Path) -> np.ndarray:
        self._ask(do="export", row=row, path=str(path))
        return np.load(path)

    def time(self, row: str, seconds: float) -> list[float]:
        return self._ask(do="time", row=row, seconds=seconds)["times"]

    def compare(self, first: str, second: str, seconds: float) -> float:
        """The time of one row over that of another, called in turn."""
        return self._ask(do="compare", pair=[first, second], seconds=seconds)["ratio"]

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _ask(self, **command: object) -> dict:
        assert self._process.stdin is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            trace = self._process.stderr.read().strip().splitlines() or ["it ended silently"]
            raise SideError(f"{self.name}: {trace[-1]}")
        return json.loads(line)
