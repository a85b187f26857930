"""Checks of plain Python values: numbers, integers, shapes. Errors name the argument."""

from __future__ import annotations

import math
import operator
from typing import Any

from .errors import Error, OptionError


def integer(
    name: str, value: Any, low: int, error: type[Error] = OptionError, bits: int = 63
) -> int:
    """`value` as an int that is at least `low` and below ``2**bits``."""
    expected = f"an integer >= {low}"
    if isinstance(value, bool):
        raise error.about(name, expected, value)
    try:
        number = operator.index(value)
    except TypeError:
        raise error.about(name, expected, repr(value)) from None
    if not low <= number < 2**bits:
        limit = f" and < 2**{bits}" if number >= low else ""
        raise error.about(name, expected + limit, number)
    return number


def samples(value: Any) -> int:
    """`value` as a number of samples, which the engine counts in 32 bits."""
    return integer("samples", value, 1, bits=31)


def max_memory(value: Any) -> int:
    """`value` as a number of bytes, 0 for None."""
    return 0 if value is None else integer("max_memory", value, 1)


def number(name: str, value: Any, error: type[Error] = OptionError) -> float:
    """`value` as a finite float."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise error.about(name, "a finite number", repr(value)) from None
    if isinstance(value, (str, bytes)) or not math.isfinite(result):
        raise error.about(name, "a finite number", repr(value))
    return result


def not_negative(name: str, value: Any, error: type[Error] = OptionError) -> float:
    """`value` as a finite float that is at least 0."""
    result = number(name, value, error)
    if result < 0:
        raise error.about(name, "a finite number >= 0", repr(value))
    return result


def flag(name: str, value: Any, error: type[Error] = OptionError) -> bool:
    """`value` as a bool."""
    if not isinstance(value, (bool, int)) or value not in (0, 1):
        raise error.about(name, "True or False", repr(value))
    return bool(value)


def shape(name: str, value: Any, error: type[Error] = OptionError) -> tuple[int, ...]:
    """`value`, an integer or a sequence of them, as a shape without the batch."""
    if isinstance(value, (tuple, list)):
        return tuple(integer(name, n, 1, error) for n in value)
    return (integer(name, value, 1, error),)


def sizes(name: str, value: Any, low: int, count: int) -> tuple[int, ...]:
    """`value`, an integer for all of `count` axes or one for each, as a tuple."""
    if not isinstance(value, (tuple, list)):
        return (integer(name, value, low),) * count
    if len(value) != count:
        axes = "an integer" if count == 1 else f"an integer or {count} of them"
        raise OptionError.about(name, axes, repr(value))
    return tuple(integer(name, n, low) for n in value)
