"""Devices, threads, and where the C++ package lies."""

from __future__ import annotations

import os
from typing import Any, Literal

from . import _check, _core


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

    Examples
    --------
    >>> import hesscore as hc
    >>> sorted(hc.show_config(mode="dict"))
    ['cpu', 'cuda', 'devices', 'hesscore', 'numpy', 'threads']
    """
    import numpy

    if mode not in ("stdout", "dict"):
        from .errors import unknown

        raise unknown("mode", mode, ("stdout", "dict"))
    config = {
        "hesscore": _core.version(),
        "numpy": numpy.__version__,
        "devices": devices(),
        "cpu": _core.describe_device("cpu"),
        "threads": get_num_threads(),
        "cuda": _core.cuda_status(),
    }
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


def _package() -> str:
    return os.path.dirname(os.path.abspath(str(_core.__file__)))
