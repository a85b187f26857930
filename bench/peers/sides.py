"""A side of the comparison, seen from outside: its process and the commands it understands."""

from __future__ import annotations

import json
import select
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .cases import AnyCase
from .floor import Peaks

STARTS = 120.0  # seconds for a library to be imported
ANSWERS = 60.0  # seconds for any other answer


class SideError(RuntimeError):
    """A row or a side that cannot be had; the message says why."""


class Side:
    """Starts `worker.py NAME` under an interpreter and talks to it in JSON lines.

    A process that ends, or does not answer in time, is replaced by a new one.
    """

    def __init__(self, name: str, python: str, threads: int, path: str | None = None) -> None:
        self.name = name
        worker = Path(__file__).with_name("worker.py")
        self._command = [python, "-W", "ignore", str(worker), name, f"--threads={threads}"]
        self._command += [f"--path={path}"] if path else []
        self._case: AnyCase | None = None
        self._start()

    def setup(self, case: AnyCase) -> list[str]:
        """Builds the case and returns the names of the rows this side can do."""
        self._case = case
        return self._ask(do="setup", case=case.key)["rows"]

    def first(self, row: str, path: Path) -> tuple[float, np.ndarray | None]:
        """Seconds of a call, and its answer where there is one."""
        found = self._ask(do="first", row=row, path=str(path))
        return found["seconds"], np.load(path) if found["answered"] else None

    def reference(self, row: str, path: Path) -> np.ndarray | None:
        """The answer in float64."""
        found = self._ask(do="reference", row=row, path=str(path))
        return np.load(path) if found["answered"] else None

    def time(self, row: str, seconds: float) -> list[float]:
        return self._ask(do="time", row=row, seconds=seconds)["times"]

    def compare(self, first: str, second: str, seconds: float) -> float:
        """The time of one row over that of another, called in turn."""
        return self._ask(do="compare", pair=[first, second], seconds=seconds)["ratio"]

    def peak_memory(self, row: str) -> int | None:
        """Bytes that the row takes at most."""
        return self._ask(do="peak", row=row)["bytes"]

    def peaks(self) -> Peaks:
        return Peaks(**self._ask(do="peaks"))

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the process
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                self._command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True
            )
        except OSError as error:
            self._errors.close()
            raise SideError(f"{self._command[0]} cannot be started ({error.strerror})") from error
        try:
            self.versions: dict[str, str] = self._answer(STARTS)["versions"]
        except SideError:
            self.close()
            raise

    def _ask(self, **command: Any) -> dict:
        assert self._process.stdin is not None
        try:
            print(json.dumps(command), file=self._process.stdin, flush=True)
            found = self._answer(ANSWERS)
        except (SideError, BrokenPipeError) as error:
            self._restart(command["do"] != "setup")
            raise SideError(str(error)) from error
        if "error" in found:
            raise SideError(found["error"])
        return found

    def _answer(self, patience: float) -> dict:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience)[0]:
            raise SideError(f"no answer within {patience:.0f} s")
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._errors.seek(0)
        trace = self._errors.read().strip().splitlines()
        ended = f"its process was ended by signal {-code}" if code < 0 else "it ended silently"
        raise SideError(trace[-1] if trace and code > 0 else ended)

    def _restart(self, with_case: bool) -> None:
        self.close()
        self._start()
        if with_case and self._case is not None:
            self.setup(self._case)
