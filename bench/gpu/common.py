"""What the sides of the GPU comparison share: the cases, the network's numbers and the clock."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from problem import Case, Problem, make

LR, BETA1, BETA2, EPS, DAMPING, CG_ITERATIONS = 1e-6, 0.9, 0.999, 1e-8, 0.1, 50
CASES = [
    Case((784, 128, 10), "tanh", 128),
    Case((784, 1024, 1024, 10), "tanh", 128),
    Case((784, 1024, 1024, 10), "tanh", 4096),
]
SMOKE = [Case((12, 9, 3), "tanh", 5)]


def cases() -> list[Case]:
    return SMOKE if "--smoke" in sys.argv else CASES


def problem(case: Case) -> Problem:
    return make(case)


@dataclasses.dataclass
class Clock:
    """Times calls that leave work behind on the device, until that work is done."""

    side: str
    case: Case
    precision: str
    wait: Callable[[], None]
    seconds: float = 0.0 if "--smoke" in sys.argv else 0.3

    def row(self, name: str, call: Callable[[], object], bundle: int = 20) -> None:
        """Print the median over bundles of calls, in microseconds a call."""
        bundle = 1 if not self.seconds else bundle
        for _ in range(3):
            call()
        self.wait()
        samples, end = [], time.perf_counter() + self.seconds
        while time.perf_counter() < end or len(samples) < 5:
            start = time.perf_counter()
            for _ in range(bundle):
                call()
            self.wait()
            samples.append((time.perf_counter() - start) / bundle)
        samples.sort()
        line = {
            "side": self.side,
            "net": "-".join(map(str, self.case.sizes)),
            "batch": self.case.batch,
            "precision": self.precision,
            "row": name,
            "us": round(1e6 * samples[len(samples) // 2], 2),
            "best_us": round(1e6 * samples[0], 2),
        }
        print(json.dumps(line), flush=True)

    def left_out(self, name: str, error: BaseException) -> None:
        """Say that a row could not be run."""
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        print(json.dumps({"side": self.side, "row": name, "left_out": reason[:200]}), flush=True)
