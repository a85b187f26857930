"""What the sides of the GPU comparison share: the cases, the update's numbers and the clock."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable

from networks import Case, NetCase, name

LR, BETA1, BETA2, EPS = 1e-6, 0.9, 0.999, 1.0
DAMPING, CG_ITERATIONS, PROBES = 0.1, 50, 32


def cases() -> list[Case | NetCase]:
    """All cases; with --smoke small ones, to see that every row runs."""
    if "--smoke" in sys.argv:
        nets = ("lenet5", "3c3d", "allcnnc", "resnet18")
        return [Case((12, 9, 3), "tanh", 5), *(NetCase(net, 2) for net in nets)]
    return [
        Case((784, 128, 10), "tanh", 128),
        Case((784, 1024, 1024, 10), "tanh", 128),
        Case((784, 1024, 1024, 10), "tanh", 4096),
        *(NetCase("lenet5", 128), NetCase("3c3d", 128), NetCase("allcnnc", 256)),
        NetCase("resnet18", 128),
    ]


@dataclasses.dataclass
class Clock:
    """Times calls that leave work behind on the device, until that work is done."""

    side: str
    case: Case | NetCase
    precision: str
    wait: Callable[[], None]
    seconds: float = 0.0 if "--smoke" in sys.argv else 0.2

    def row(self, row: str, call: Callable[[], object], bundle: int = 20) -> None:
        """Print the median over bundles of calls, in microseconds a call."""
        for _ in range(3):
            call()
        self.wait()
        start = time.perf_counter()
        call()
        self.wait()
        once = time.perf_counter() - start
        bundle = max(1, min(bundle, int(self.seconds / 5 / once)))
        samples, end = [], time.perf_counter() + self.seconds
        while time.perf_counter() < end or len(samples) < 5:
            start = time.perf_counter()
            for _ in range(bundle):
                call()
            self.wait()
            samples.append((time.perf_counter() - start) / bundle)
        samples.sort()
        self._print(
            row,
            us=round(1e6 * samples[len(samples) // 2], 2),
            best_us=round(1e6 * samples[0], 2),
        )

    def left_out(self, row: str, error: BaseException) -> None:
        """Say that a row could not be run."""
        text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        self._print(row, left_out=text[:200])

    def _print(self, row: str, **values) -> None:
        about = {"side": self.side, "net": name(self.case), "batch": self.case.batch}
        print(json.dumps(about | {"precision": self.precision, "row": row} | values), flush=True)
