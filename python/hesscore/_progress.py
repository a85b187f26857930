"""The progress of a run on stderr: tqdm's bar, or one plain line where tqdm is not installed."""

from __future__ import annotations

import sys
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
