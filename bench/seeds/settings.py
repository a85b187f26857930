"""What a reproduction was asked to do, and the array module of its device."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hesscore._arrays import module_for
from hesscore._progress import Count


@dataclass
class Clock:
    seconds: float = 0.0


@dataclass(frozen=True)
class Settings:
    """The options of ``hesscore reproduce``.

    Attributes
    ----------
    quick : bool
        A small form that takes seconds and keeps the claims that need no long training.
    device : str
        "cpu", or "cuda" for CuPy arrays.
    seeds : int, optional
        How many; each paper has its own default.
    data : Path, optional
        A folder with the data sets; by default HESSCORE_DATA.
    download : bool
        Get data sets that are missing from the network.
    out : Path
        Where JSON files and figures go.
    """

    quick: bool = False
    device: str = "cpu"
    seeds: int | None = None
    data: Path | None = None
    download: bool = False
    out: Path = Path("hesscore-reproduced")
    progress: bool = True
    say: Callable[[str], None] = print

    @property
    def xp(self) -> Any:
        """NumPy, or CuPy."""
        return module_for(self.device)

    def put(self, array: Any) -> Any:
        """Return the array on the device."""
        return self.xp.asarray(array)

    def wait(self) -> None:
        """Wait until the device has done what it was asked to."""
        if self.device != "cpu":
            self.xp.cuda.get_current_stream().synchronize()

    def seeds_or(self, full: int, quick: int) -> range:
        """Return the seeds to run: as many as asked for, or the paper's own number of them."""
        return range(self.seeds or (quick if self.quick else full))

    def count(self, total: int, unit: str, title: str = "") -> Count:
        """Return a progress bar on stderr: a context manager with ``update(done)``."""
        return Count(total, unit, self.progress, title)

    @contextlib.contextmanager
    def clock(self) -> Iterator[Clock]:
        """Measure the seconds that a block takes; they are known at its end."""
        clock, start = Clock(), time.perf_counter()
        yield clock
        clock.seconds = time.perf_counter() - start


def to_host(array: Any) -> np.ndarray:
    """Return an array as one of NumPy."""
    return np.asarray(array.get() if hasattr(array, "get") else array)
