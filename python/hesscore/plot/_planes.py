"""Lines and planes through a point of parameter space, and the loss on them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from .. import errors
from .._arrays import module_of
from ..errors import NonFiniteError, OptionError, ShapeError
from ._style import to_host

Kind = Literal["filter", "orthogonal"]


def directions(f: Any, w: Any, kind: Any, count: int, seed: int) -> list[Any]:
    """Return directions of w's dtype where w is: random ones, or those that were given."""
    xp, host = module_of(w), to_host(w)
    if isinstance(kind, str):
        if kind not in ("filter", "orthogonal"):
            raise errors.unknown("directions", kind, ("filter", "orthogonal"))
        draws = np.random.default_rng(seed).normal(size=(count, len(host)))
        make = _by_filter if kind == "filter" else _orthogonal
        rows = make(f, host, draws)
    else:
        rows = [to_host(v) for v in kind]
        if len(rows) not in (1, 2) or any(v.shape != host.shape for v in rows):
            shapes = [v.shape for v in rows]
            raise ShapeError.about("directions", f"one or two of shape {host.shape}", shapes)
        if not all(np.isfinite(v).all() and v.any() for v in rows):
            raise NonFiniteError.about("directions", "finite vectors that are not 0", "others")
    return [xp.asarray(v.astype(w.dtype)) for v in rows]


def _orthogonal(f: Any, w: Any, draws: Any) -> list[Any]:
    """Uniformly random, orthogonal, each as long as w."""
    if len(draws) > len(w):
        raise OptionError.about("directions", "at most as many as there are parameters", len(draws))
    q, _ = np.linalg.qr(draws.T)
    return list(q.T * (np.linalg.norm(w) or 1.0))


def _by_filter(f: Any, w: Any, draws: Any) -> list[Any]:
    """Each filter, a row of a weight, as long as that of w; vectors, such as biases, stay."""
    out = np.zeros_like(draws)
    for offset, shape in f.layout.values():
        if len(shape) < 2:
            continue
        part = slice(offset, offset + int(np.prod(shape)))
        rows = draws[:, part].reshape(len(draws), shape[0], -1)
        lengths = np.linalg.norm(rows, axis=2, keepdims=True)
        own = np.linalg.norm(w[part].reshape(shape[0], -1), axis=1)[:, None]
        out[:, part] = (rows / np.where(lengths > 0, lengths, 1) * own).reshape(len(draws), -1)
    if not all(v.any() for v in out):
        raise OptionError.about("directions", "weights with filters that are not 0", "none")
    return list(out)


def losses(
    f: Any, w: Any, data: list[tuple[Any, Any]], across: list[Any], ticks: list[Any], keywords: Any
) -> Any:
    """Evaluate the loss at ``w + sum_k t_k d_k`` on the grid of the ticks; NaN where not finite."""
    grid = np.meshgrid(*ticks, indexing="ij")
    found = np.empty(grid[0].size)
    for k, shifts in enumerate(zip(*(g.ravel() for g in grid), strict=True)):
        at = w
        for t, d in zip(shifts, across, strict=True):
            at = at + w.dtype.type(t) * d
        values = [f.loss(at, x, y, **keywords) for x, y in data]
        found[k] = np.average(values, weights=[len(y) for _, y in data])
    found = found.reshape(grid[0].shape)
    return np.where(np.isfinite(found), found, np.nan)
