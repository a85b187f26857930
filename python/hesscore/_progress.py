"""The progress of long work on stderr: tqdm's bar, or a plain line where tqdm is not installed."""

from __future__ import annotations

import sys
import time
from typing import Any


class Progress:
    """A context manager; `update(done, info)` is called now and then."""

    def __init__(self, rows: int, batch_size: int, epochs: int, enabled: bool) -> None:
        self.total = epochs * -(-rows // batch_size)
        self.update = self._make() if enabled else None
        self._bar: Any

    def _make(self) -> Any:
        try:
            from tqdm import tqdm
        except ImportError:
            self._bar = None
            return self._write_line
        self._bar = tqdm(total=self.total, unit="step", file=sys.stderr)
        return self._move_bar

    def _move_bar(self, done: int, info: Any) -> None:
        self._bar.set_postfix_str(f"loss {info.loss:.4g}", refresh=False)
        self._bar.update(done - self._bar.n)

    def _write_line(self, done: int, info: Any) -> None:
        sys.stderr.write(f"\rstep {done} of {self.total}, loss {info.loss:.4g} ")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self.update is None:
            return
        if self._bar is None:
            sys.stderr.write("\n")
            return
        if kind is None:
            self._bar.update(self.total - self._bar.n)
        self._bar.close()


class Count:
    """A context manager that shows how many of `total` things are done; `update(done)` says so.

    Nothing is shown of what ends within a second.
    """

    def __init__(self, total: int | None, unit: str, enabled: bool, title: str = "") -> None:
        self.total, self.unit, self.title = total, unit, title
        self._bar: Any = None
        self._start = time.monotonic()
        self._plain = self._written = False
        if not enabled:
            return
        try:
            from tqdm import tqdm
        except ImportError:
            self._plain = True
            return
        self._bar = tqdm(
            total=total, unit=unit, desc=title or None, file=sys.stderr, delay=1, leave=False
        )

    def update(self, done: int) -> None:
        if self._plain:
            self._write_line(done)
        elif self._bar is not None:
            self._bar.update(done - self._bar.n)

    def _write_line(self, done: int) -> None:
        if time.monotonic() - self._start < 1:
            return
        of = "" if self.total is None else f" of {self.total}"
        sys.stderr.write(f"\r{self.title + ': ' if self.title else ''}{self.unit} {done}{of} ")
        sys.stderr.flush()
        self._written = True

    def __enter__(self) -> Count:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        if self._written:
            sys.stderr.write("\n")
        elif self._bar is not None:
            self._bar.close()
