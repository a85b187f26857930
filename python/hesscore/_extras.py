"""Optional packages: imported when first used, with an error that says how to install them."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import Error


class MissingExtraError(Error, ImportError):
    """An optional package is not installed; the message gives the command that installs it."""


def require(module: str, extra: str = "demo") -> Any:
    """Import `module`, which comes with the optional dependencies `extra`.

    Parameters
    ----------
    module : str
        Dotted name, e.g. ``"matplotlib.pyplot"``.
    extra : str
        The extra of hesscore that brings it.

    Raises
    ------
    MissingExtraError
        When it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0].replace("sklearn", "scikit-learn")
        raise MissingExtraError(
            f"this needs {package}, which is not installed; "
            f'install it with: pip install "hesscore[{extra}]"'
        ) from error
