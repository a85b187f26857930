"""Any square operator as products with blocks of vectors, where its vectors live."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _check, _core
from .._arrays import module_for, module_of
from ..errors import DTypeError, OptionError, ShapeError, UnsupportedError

# Elements of a block: enough vectors to fill the machine, few enough to bound memory. On a host a
# block that the caches hold, of memory that is there already, takes half the time.
_ON_HOST, _ON_DEVICE, _BLOCK = 1 << 22, 1 << 25, 64


class Products:
    """A square operator, matrix or callable; vectors are the rows of its arguments.

    Attributes
    ----------
    n : int
    dtype : numpy.dtype
        float32 or float64, of all vectors.
    xp : module
        NumPy or CuPy: where vectors live.
    made : int
        Products with single vectors so far.
    """

    def __init__(self, A: Any, n: int | None = None) -> None:
        self._A = A
        core = getattr(A, "_core", None)
        self._core = core if isinstance(core, _core.Operator) else None
        self.n = _size(A, n)
        self.xp, self._index = _place(A, self._core)
        self.dtype = _dtype(A)
        self.made = 0

    def __call__(self, rows: Any) -> Any:
        """Return ``A z`` for each row z."""
        self.made += len(rows)
        if hasattr(self._A, "matmat"):
            return self._checked(self._A.matmat(rows.T), rows)
        if hasattr(self._A, "shape"):
            return self._checked(self._A @ rows.T, rows)
        results = [self._A(z) for z in rows]
        for r in results:
            if getattr(r, "shape", None) != (self.n,):
                raise ShapeError.about("A(v)", f"({self.n},)", getattr(r, "shape", type(r)))
        return self.xp.stack(results)

    def forms(self, rows: Any) -> Any:
        """Return ``z' A z`` for each row z, without forming ``A z`` where the engine can."""
        found = None if self._core is None else self._core.forms(rows)
        if found is None:
            return self.dots(rows, self(rows))
        self.made += len(rows)
        return found

    def transposed(self, rows: Any) -> Any:
        """Return ``A' z`` for each row z; engine's operators and callables are symmetric."""
        if self._core is not None or not hasattr(self._A, "shape"):
            return self(rows)
        self.made += len(rows)
        if not hasattr(self._A, "rmatmat"):
            return self._checked(self._A.T @ rows.T, rows)
        try:
            return self._checked(self._A.rmatmat(rows.T), rows)
        except (NotImplementedError, TypeError) as error:  # SciPy raises either
            raise UnsupportedError(
                "A: expected an operator with products with its transpose (rmatvec; of a symmetric "
                "one, the same function as matvec), got one without"
            ) from error

    def probes(self, seed: int) -> Probes:
        """Return the Rademacher vectors of a seed."""
        return Probes(self, _check.integer("seed", seed, 0, bits=64))

    def blocks(self, count: int) -> Iterator[tuple[int, int]]:
        """Split `count` vectors into (first, number) of blocks that share a pass."""
        most = _ON_HOST if self._index < 0 else _ON_DEVICE
        size = max(1, min(_BLOCK, most // max(self.n, 1)))
        for first in range(0, count, size):
            yield first, min(size, count - first)

    def on_device(self) -> Any:
        """Return a context in which new arrays are where the operator is."""
        return contextlib.nullcontext() if self._index < 0 else self.xp.cuda.Device(self._index)

    def dots(self, a: Any, b: Any) -> Any:
        """Return ``a_k' b_k`` of the rows, summed in float64 over parts of 1024."""
        xp = self.xp
        if xp is not np:
            return (a * b).sum(axis=1, dtype=xp.float64)
        even = self.n // 1024 * 1024
        parts = [v[:, :even].reshape(len(v), -1, 1024) for v in (a, b)]
        rest = np.einsum("kn,kn->k", a[:, even:], b[:, even:], dtype=np.float64)
        return np.einsum("kpn,kpn->kp", *parts).sum(axis=1, dtype=np.float64) + rest

    def to_host(self, array: Any) -> Any:
        """Return a float64 NumPy array; a device is waited for."""
        return np.asarray(array.get() if self.xp is not np else array, dtype=np.float64)

    def _checked(self, columns: Any, rows: Any) -> Any:
        expected = rows.shape[::-1]
        if getattr(columns, "shape", None) != expected:
            raise ShapeError.about("A @ V", str(expected), getattr(columns, "shape", None))
        return self.xp.asarray(columns).T


class Probes:
    """Rademacher vectors by counters: vector k of a seed is the same on every device."""

    def __init__(self, products: Products, seed: int) -> None:
        self._products = products
        self._core = _core.probes(products._index, products.dtype.name, seed)

    def rows(self, first: int, count: int) -> Any:
        """Return the vectors first .. first + count - 1 as rows (count, n)."""
        return self._core.rows(self._products.n, first, count)


def _size(A: Any, n: int | None) -> int:
    shape = getattr(A, "shape", None)
    if n is not None:
        n = _check.integer("n", n, 1)
    if shape is None:
        if not callable(A):
            raise DTypeError.about("A", "an operator, a matrix or a callable", type(A).__name__)
        if n is None:
            raise OptionError.about("n", "the size of A, which is a callable", None)
        return n
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
        raise ShapeError.about("A", "a square matrix", tuple(shape))
    if n is not None and n != shape[0]:
        raise OptionError.about("n", f"{shape[0]}, the size of A, or nothing", n)
    return int(shape[0])


def _place(A: Any, core: Any) -> tuple[Any, int]:
    """Tell the array module, and the index of the CUDA device or -1."""
    if core is not None:
        name = core.device
        return module_for(name), -1 if name == "cpu" else int(name.partition(":")[2] or 0)
    of_cupy = any(c.__module__.partition(".")[0] in ("cupy", "cupyx") for c in type(A).__mro__)
    if module_of(A) is np and not of_cupy:
        return np, -1
    cupy = module_for("cuda")
    device = A.device if module_of(A) is cupy else cupy.cuda.Device()
    return cupy, int(device.id)


def _dtype(A: Any) -> np.dtype[Any]:
    given = getattr(A, "dtype", None)
    dtype = np.dtype(np.float64 if given is None else given)
    if dtype.kind in "iub":
        return np.dtype(np.float64)
    if dtype not in (np.float32, np.float64):
        raise DTypeError.about("A", "float32, float64 or integers", dtype)
    return dtype
