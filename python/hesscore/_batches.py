"""What (x, y, sample_weight) stand for: one batch, a list of batches, or a source of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import _core
from ._progress import Count
from .errors import DTypeError, Error, OptionError, ShapeError

Item = tuple[Any, Any, Any]  # x, y, sample_weight


class Batches:
    """Several batches, in the order in which a product goes through them.

    Attributes
    ----------
    items : list of (x, y, sample_weight), or a callable that gives an iterator over such
        The first where they stay; the second where they are asked for anew at each product.
    """

    def __init__(self, items: list[Item] | Callable[[], Iterator[Item]]) -> None:
        self.items = items
        self._progress: Count | None = None
        self._products = 0

    def __iter__(self) -> Iterator[Item]:
        return self.items() if callable(self.items) else iter(self.items)

    def weights(self, f: Any, w: Any) -> list[float]:
        """Tell what each one's mean divides by; errors say which one is bad."""
        return [weight_of(f, w, k, item) for k, item in enumerate(self)]

    def show(self, done: int) -> None:
        """Show that so many batches of a product are done."""
        total = None if callable(self.items) else len(self.items)
        if done == 1:
            self._products += 1
            if self._progress is not None:
                self._progress.close()
            self._progress = Count(total, "batch", True, f"product {self._products}")
        if self._progress is None:
            return
        self._progress.update(done)
        if done == total:
            self._progress.close()
            self._progress = None


def weight_of(f: Any, w: Any, k: int, item: Item) -> float:
    """Tell what the mean over the k-th batch divides by, and check all of it."""
    try:
        return _core.mean_weight(f, w, *item)
    except Error as e:
        raise type(e)(f"batch {k}: {e}", e.arg, e.expected, e.got) from None


def batches_of(x: Any, y: Any, sample_weight: Any) -> Batches | None:
    """Tell the batches, or None where the three are one batch.

    An array (anything with an array interface, DLPack or the buffer protocol) and a dict of named
    inputs are one batch. Otherwise x is an iterable of batches, and y an iterable of as many; or y
    is None, and x an iterable of (x, y) or (x, y, sample_weight), or a function without arguments
    that gives one. Lists, tuples and iterators, which are read to their end, stay; what else can be
    iterated is so again at each product. `Batches` for x are what they are.
    """
    if isinstance(x, Batches):
        return x
    if y is not None and (_is_array(x) or _is_array(y) or not _is_iterable(y)):
        if _is_array(y) and not _is_array(x) and _is_iterable(x):
            raise DTypeError.about("x", "an array or a dict of arrays, as y is", _name(x))
        return None
    if _is_array(x) or not (_is_iterable(x) or callable(x)):
        return None
    if y is None:
        return _pairs(x, sample_weight)
    if not _is_iterable(x):
        raise DTypeError.about("x", "as many batches as y has, or y None", _name(x))
    if sample_weight is not None and (_is_array(sample_weight) or not _is_iterable(sample_weight)):
        raise DTypeError.about("sample_weight", "one array for each batch", _name(sample_weight))
    parts: list[Any] = [part for part in (x, y, sample_weight) if part is not None]
    if all(_is_once(part) or isinstance(part, (list, tuple)) for part in parts):
        return Batches(list(_zipped(parts)))
    kept: list[Any] = [list(part) if _is_once(part) else part for part in parts]
    return Batches(lambda: _zipped(kept))


def _pairs(x: Any, sample_weight: Any) -> Batches:
    if sample_weight is not None:
        raise OptionError.about(
            "sample_weight", "None where x gives (x, y, sample_weight)", _name(sample_weight)
        )
    if isinstance(x, (list, tuple)) or _is_once(x):
        return Batches(list(map(_item, x)))
    make: Any = x.__iter__ if hasattr(x, "__iter__") else x
    return Batches(lambda: map(_item, make()))


def _item(pair: Any) -> Item:
    if not isinstance(pair, (tuple, list)) or len(pair) not in (2, 3):
        expected = "batches (x, y) or (x, y, sample_weight) where y is None"
        raise DTypeError.about("x", expected, _name(pair))
    x, y, *rest = pair
    return x, y, rest[0] if rest else None


def _zipped(parts: list[Iterable[Any]]) -> Iterator[Item]:
    iterators = [iter(part) for part in parts]
    end = object()
    while True:
        row = [next(iterator, end) for iterator in iterators]
        if all(part is end for part in row):
            return
        if any(part is end for part in row):
            names = ("x", "y", "sample_weight")
            short = next(i for i, part in enumerate(row) if part is end)
            raise ShapeError.about(names[short], "as many batches as the others", "fewer")
        yield row[0], row[1], row[2] if len(row) == 3 else None


def _is_array(value: Any) -> bool:
    """Whether it is what one batch may be: an array, or a dict of them."""
    if isinstance(value, (dict, str, bytes)) or value is None:
        return True
    names = ("__array_interface__", "__cuda_array_interface__", "__dlpack__")
    if any(hasattr(value, name) for name in names):
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def _is_iterable(value: Any) -> bool:
    return hasattr(value, "__iter__")


def _is_once(value: Any) -> bool:
    """Whether it can be iterated once only."""
    return hasattr(value, "__next__")


def _name(value: Any) -> str:
    return type(value).__name__
