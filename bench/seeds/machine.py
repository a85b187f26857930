"""Where and with what something was computed: machine, versions, commit."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import hesscore as hc


def describe(device: str) -> dict[str, Any]:
    """Return date, commit, machine and versions as they go into a results file."""
    config = hc.show_config(mode="dict") or {}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "device": device,
        "processor": config.get("cpu"),
        "gpu": config.get("cuda:0") if device != "cpu" else None,
        "processors": os.cpu_count(),
        "threads": hc.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "hesscore": hc.__version__,
            "numpy": np.__version__,
            "cupy": _version("cupy-cuda13x") if device != "cpu" else None,
        },
    }


def _git(*arguments: str) -> str | None:
    """Ask git about the clone that this file is in; None where it is installed elsewhere."""
    folder = Path(__file__).resolve().parent
    if folder.name != "seeds" or folder.parent.name != "bench":
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
