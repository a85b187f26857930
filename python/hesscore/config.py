"""Devices, threads, and where the C++ package lies."""

from __future__ import annotations

import importlib
import os
from typing import Any, Literal

from . import _check, _core
from .errors import Error, unknown


def devices() -> list[str]:
    """List the devices that can be used now.

    Examples
    --------
    >>> import hesscore as hc
    >>> hc.devices()[0]
    'cpu'
    """
    return _core.devices()


def set_num_threads(n: int) -> None:
    """Set how many threads the CPU device uses. Results do not depend on it, bit for bit.

    Examples
    --------
    >>> import hesscore as hc
    >>> before = hc.get_num_threads()
    >>> hc.set_num_threads(1)
    >>> hc.get_num_threads()
    1
    >>> hc.set_num_threads(before)
    """
    _core.set_num_threads(_check.integer("n", n, 1))


def get_num_threads() -> int:
    """Tell how many threads the CPU device uses."""
    return _core.num_threads()


def show_config(mode: Literal["stdout", "dict"] = "stdout") -> dict[str, Any] | None:
    """Print versions, devices and threads, or return them with ``mode="dict"``.

    Each device is described under its name; "cuda" and "cupy" say in a sentence why there are no
    CUDA devices, or no arrays for them.

    Examples
    --------
    >>> import hesscore as hc
    >>> config = hc.show_config(mode="dict")
    >>> [key for key in config if not key.startswith("cuda:")]
    ['hesscore', 'numpy', 'cupy', 'threads', 'devices', 'cuda', 'cpu']
    """
    import numpy

    if mode not in ("stdout", "dict"):
        raise unknown("mode", mode, ("stdout", "dict"))
    config = {
        "hesscore": _core.version(),
        "numpy": numpy.__version__,
        "cupy": _cupy_version(),
        "threads": get_num_threads(),
        "devices": devices(),
        "cuda": _core.cuda_status(),
    }
    config.update((name, _describe(name)) for name in devices())
    if mode == "dict":
        return config
    for key, value in config.items():
        print(f"{key:<9} {', '.join(value) if isinstance(value, list) else value}")
    return None


def get_include() -> str:
    """Tell the folder of the C++ headers.

    Examples
    --------
    >>> import hesscore as hc
    >>> hc.get_include().endswith("include")
    True
    """
    return os.path.join(_package(), "include")


def get_cmake_dir() -> str:
    """Tell the folder for CMake's ``hesscore_DIR``, so that ``find_package(hesscore)`` works.

    Examples
    --------
    >>> import hesscore as hc
    >>> hc.get_cmake_dir().endswith("hesscore")
    True
    """
    return os.path.join(_package(), "lib", "cmake", "hesscore")


def _cupy_version() -> str:
    try:
        return str(importlib.import_module("cupy").__version__)
    except ImportError as error:
        return f"not there ({error}); get it with: pip install 'hesscore[cuda]'"


def _describe(device: str) -> str:
    try:
        return _core.describe_device(device)
    except Error as error:
        return f"cannot be used: {error}"


def _package() -> str:
    return os.path.dirname(os.path.abspath(str(_core.__file__)))
