"""Checkpoints: an objective, its parameters and its optimizer in one file, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from . import _container, _core
from ._arrays import module_of
from ._describe import describe, describe_optimizer, make_objective
from .errors import DTypeError, Error, NonFiniteError, OptionError, ShapeError
from .objective import Objective
from .optim import Optimizer

Path = str | os.PathLike[str]

_DTYPES = {name: np.dtype(name) for name in ("float32", "float64")}
_STATE = "optimizer/"  # before the names of the optimizer's vectors


class Checkpoint(NamedTuple):
    """What `hesscore.load` returns: ``f, w, opt = hc.load(path)``.

    Attributes
    ----------
    f : Objective
        The network with its loss, and the running statistics in `f.buffers`.
    w : (P,) array
        The parameters.
    opt : Optimizer or None
        The optimizer with its state, if one was saved.
    """

    f: Objective
    w: Any
    opt: Optimizer | None


def save(path: Path, f: Objective, w: Any, opt: Optimizer | None = None) -> None:
    """Write a checkpoint: the network, its loss, `w`, running statistics, and the optimizer.

    At every moment there is the old file or the new one, whole, also after a crash or a loss of
    power, on a local file system; a save that fails or is interrupted leaves the old file as it
    was. Steps go on from a checkpoint bit for bit as if there had been no break. It may be taken
    from `on_step` of a run, between two steps.

    The file is in the safetensors format, with a SHA-256 sum over all of it: other programs find
    the tensors of `f.views(w)` and `f.buffers` there under their names, and the optimizer's vectors
    as "optimizer/m" and so on. It holds no code, so a rate that is a function of the step is left
    out, and is to be given again to `load`.

    Parameters
    ----------
    path : str or path
        The file, usually ".safetensors". One that is there keeps its permissions.
    f : Objective
        Its layers and its loss are hesscore's own, and are as they were when it was made.
    w : (P,) array
        NumPy, CuPy or any other; float32 or float64.
    opt : Optimizer, optional
        An optimizer of `f`.

    Raises
    ------
    CheckpointError
        The file cannot be written.
    UnsupportedError
        Layers of other classes, with the names of all.
    ShapeError, DTypeError, NonFiniteError, OptionError, StateError
        A bad argument; layers that have changed.

    See Also
    --------
    load

    Examples
    --------
    >>> import tempfile, numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
    >>> w, x, y = f.init(), np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    >>> opt = hc.Optimizer(f, "adam", lr=0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hc.save(f"{folder}/model.safetensors", f, w, opt)
    ...     g, v, again = hc.load(f"{folder}/model.safetensors")
    >>> opt.step(w, x, y).loss == again.step(v, x, y).loss, bool((v == w).all())
    (True, True)
    """
    path = _path(path)
    if not isinstance(f, Objective):
        raise OptionError.about("f", "an Objective", repr(f))
    if opt is not None and getattr(opt, "f", None) is not f:
        raise OptionError.about("opt", "an optimizer of f", repr(opt))
    w = _host(f, w)
    head = {"hesscore_version": _core.version(), "dtype": str(w.dtype), "objective": describe(f)}
    vectors, head["optimizer"] = _state(opt)
    _container.write(path, head, {**f.views(w), **f.buffers, **vectors})


def load(path: Path, *, xp: Any = np, options: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint that `save` wrote: ``f, w, opt = hc.load(path)``.

    The sum over the file is checked, and names, shapes and dtypes of all tensors. Nothing in the
    file is ever run; none but layers, losses and optimizers of hesscore are made from it.

    Parameters
    ----------
    path : str or path
        The file.
    xp : module
        Where `w` lives: numpy, cupy for the current CUDA device, or another module with `asarray`.
        The optimizer follows it at its first step.
    options : dict, optional
        Options of the optimizer that take the place of those in the file. One that was a function
        of the step, which no file holds, must be here.

    Returns
    -------
    Checkpoint
        `f`, `w` and `opt`, which is None if none was saved.

    Raises
    ------
    CheckpointError
        The file cannot be read, is no checkpoint, is truncated or damaged, or was written by a
        newer version.
    OptionError
        An option that must be given, or an unknown one.

    Examples
    --------
    >>> import tempfile, hesscore as hc
    >>> f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
    >>> opt = hc.Optimizer(f, "sgd", lr=lambda step: 0.1 / (1 + step))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hc.save(f"{folder}/model.safetensors", f, f.init(), opt)
    ...     f, w, opt = hc.load(
    ...         f"{folder}/model.safetensors", options={"lr": lambda step: 0.1 / (1 + step)}
    ...     )
    >>> f.net, w.shape, opt.method
    (Linear(2, 1), (3,), 'sgd')
    """
    path = _path(path)
    head, tensors = _container.read(path)
    try:
        f = make_objective(head["objective"])
        w = _parameters(f, _DTYPES[head["dtype"]], tensors)
        f.buffers = {name: _take(tensors, name, np.float64) for name in f.buffers}
        state = _state_dict(head["optimizer"], tensors)
        if tensors:
            raise OptionError.about("tensors", "those of the model", ", ".join(tensors))
    except (Error, *_container.BAD_DATA) as error:
        raise _container.broken(path, f"does not fit its model: {error}") from error
    opt = _optimizer(path, f, head["optimizer"], state, dict(options or {}))
    return Checkpoint(f, xp.asarray(w), opt)


def _path(path: Path) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise OptionError.about("path", "a path", repr(path)) from None


def _host(f: Objective, w: Any) -> np.ndarray[Any, Any]:
    """Check `w`, and copy it to the host if it is elsewhere."""
    xp = module_of(w)
    array = np.asarray(w) if xp is np else xp.asnumpy(w)
    if array.dtype not in _DTYPES.values():
        raise DTypeError.about("w", "float32 or float64", array.dtype)
    if array.shape != (f.num_params,):
        raise ShapeError.about("w", f"({f.num_params},)", array.shape)
    _require_finite(f, array)
    return np.ascontiguousarray(array)


def _require_finite(f: Objective, w: np.ndarray[Any, Any]) -> None:
    if f.check_finite and not np.isfinite(w).all():
        place = int(np.flatnonzero(~np.isfinite(w))[0])
        raise NonFiniteError.about("w", "finite values", f"{w[place]} at element {place}")


def _state(opt: Optimizer | None) -> tuple[dict[str, Any], Any]:
    """Tell the optimizer's vectors, and all else about it."""
    if opt is None:
        return {}, None
    vectors, scalars = {}, {}
    for name, value in opt.state_dict().items():
        if np.ndim(value) == 1:
            vectors[_STATE + name] = value
        elif name != "method":
            scalars[name] = value
    return vectors, {**describe_optimizer(opt), "scalars": scalars}


def _take(tensors: dict[str, Any], name: str, dtype: Any) -> np.ndarray[Any, Any]:
    array = tensors.pop(name)
    if array.dtype != dtype:
        raise DTypeError.about(name, str(np.dtype(dtype)), array.dtype)
    return array


def _parameters(
    f: Objective, dtype: np.dtype[Any], tensors: dict[str, Any]
) -> np.ndarray[Any, Any]:
    parts = {name: _take(tensors, name, dtype) for name in f.layout}
    w = f.flatten(parts) if parts else np.empty(0, dtype)
    _require_finite(f, w)
    return w


def _state_dict(saved: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """Put the state of the optimizer together again."""
    if saved is None:
        return {}
    names = [name for name in tensors if name.startswith(_STATE)]
    vectors = {name.removeprefix(_STATE): tensors.pop(name) for name in names}
    return {"method": saved["method"], **saved["scalars"], **vectors}


def _optimizer(
    path: str, f: Objective, saved: Any, state: dict[str, Any], options: dict[str, Any]
) -> Optimizer | None:
    if saved is None:
        if options:
            raise OptionError.about("options", "none, for no optimizer was saved", sorted(options))
        return None
    for name in saved["schedules"]:
        if name not in options:
            expected = f"{name!r} among them, which was saved as a function of the step"
            raise OptionError.about("options", expected, sorted(options))
    try:
        opt = Optimizer(f, saved["method"], **{**saved["options"], **options})
        opt.load_state_dict(state)
    except OptionError:
        raise
    except (Error, *_container.BAD_DATA) as error:
        raise _container.broken(path, f"does not fit its optimizer: {error}") from error
    return opt
