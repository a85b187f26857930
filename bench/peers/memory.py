"""Peak memory of a call: resident pages above those of the process before.

Linux keeps a high-water mark of the resident set, VmHWM, and resets it to the present size when 5
is written to /proc/self/clear_refs. What is freed is handed back first (`malloc_trim`). The row has
been called before, so that libraries are loaded and functions compiled; it is prepared anew in the
call, so that linearisations, plans and graphs that it keeps count.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_of(call: Callable[[], object]) -> int | None:
    """Bytes that a call takes at most; None where the system does not tell."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        CLEAR.write_text("5")
        before = _status("VmRSS")
        call()
        return max(0, _status("VmHWM") - before)
    except OSError:
        return None


def _status(key: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{STATUS} has no {key}")
