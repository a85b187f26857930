"""What happens now, on one line of a terminal; what should stay is printed above it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

CLEAR = "\r\x1b[K"


class Progress:
    """`step` replaces the line, which a file or a pipe does not get; `say` prints for good."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self._say, self._start = say, time.monotonic()
        self._shown = sys.stderr.isatty()
        self.title = ""

    def step(self, text: str) -> None:
        if self._shown:
            spent = time.monotonic() - self._start
            line = f"[{spent // 60:.0f}:{spent % 60:02.0f}] {self.title}: {text}"
            sys.stderr.write(CLEAR + line[:100])
            sys.stderr.flush()

    def say(self, text: str) -> None:
        self.clear()
        self._say(text)

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()
