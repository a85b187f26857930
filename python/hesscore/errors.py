"""Exceptions: each is a `hesscore.Error` and also the builtin that a Python user would catch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Error(Exception):
    """Base of everything hesscore raises on purpose.

    Attributes
    ----------
    arg, expected, got : str
        Which argument was bad, what it should have been and what came. Empty where an error is not
        about one argument.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
    >>> try:
    ...     f.predict(f.init(), np.zeros((4, 5), np.float32))
    ... except hc.Error as error:
    ...     print(error.arg, error.expected, error.got, sep=" | ")
    x | (N, 3) | (4, 5)
    """

    def __init__(self, message: str = "", arg: str = "", expected: str = "", got: str = "") -> None:
        super().__init__(message)
        self.arg = arg
        self.expected = expected
        self.got = got

    @classmethod
    def about(cls, arg: str, expected: str, got: object) -> Error:
        """Make the error that says which argument was bad, what it should be and what came."""
        return cls(f"{arg}: expected {expected}, got {got}", arg, expected, str(got))


class ShapeError(Error, ValueError):
    """An array has the wrong shape."""


class DTypeError(Error, TypeError):
    """An array has the wrong dtype, or is no array."""


class DeviceError(Error, ValueError):
    """An array lives on a device that cannot be used with the others, or at all."""


class LabelError(Error, ValueError):
    """A class label is out of range, or labels have the wrong dtype."""


class IndexRangeError(Error, IndexError):
    """An integer is no row of the embedding that looks it up."""


class LayoutError(Error, ValueError):
    """An array's memory layout cannot be used."""


class OutputError(Error, ValueError):
    """An array that would be written is read-only, strided or shares memory with an input."""


class SizeError(Error, OverflowError):
    """A size does not fit into the integers that count it."""


class UnsupportedError(Error, NotImplementedError):
    """A layer, or several, has no rule for the quantity that was asked for."""


class GraphError(Error, ValueError):
    """A network is put together wrongly."""


class NonFiniteError(Error, ValueError):
    """NaN or Inf in an argument, or in a result that would have been stored."""


class OptionError(Error, ValueError):
    """An option has an unknown name or a value outside its range."""


class StateError(Error, RuntimeError):
    """An object is not in the state that the call needs."""


class OutOfMemoryError(Error, MemoryError):
    """An allocation failed."""


class ConvergenceError(Error, ArithmeticError):
    """A solve inside an operator did not converge.

    Attributes
    ----------
    report : SolveReport
        How it ended; its `history` is a list.
    """

    report: Any = None


class CheckpointError(Error, OSError):
    """A checkpoint cannot be read or written."""


def unknown(
    arg: str, name: object, known: Iterable[str], what: str = "one of", got: str = ""
) -> OptionError:
    """Make the error for an unknown name, with the nearest known one as advice."""
    import difflib

    names = list(known)
    expected, got = f"{what} {', '.join(names)}", got or repr(name)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    advice = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return OptionError(f"{arg}: expected {expected}, got {got}{advice}", arg, expected, got)
