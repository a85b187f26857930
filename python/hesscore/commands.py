"""The commands ``hesscore spectrum``, ``landscape``, ``reproduce`` and ``bench``.

The first two look at a model at a point: it is trained here for a few epochs, or its parameters are
read from a file.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import hesscore as hc

from . import datasets, plot
from ._extras import require
from .errors import DeviceError, Error, OptionError

Say = Callable[[str], None]

_HIDDEN = {"digits": (64, 32), "mnist": (128,), "fashion_mnist": (128,), "cifar10": (256,)}
_SHAPES = {"lenet5": (1, 28, 28), "3c3d": (3, 32, 32)}
_BATCH = 256
_BENCH_OPTIONS = {
    "alone": {"nets", "threads", "rounds", "batch"},
    "scaling": {"quick", "save", "out"},
    "show": set(),
    "peers": {
        *("nets", "threads", "rounds", "batch", "quick", "save", "out", "only"),
        *("torch_python", "jax_python", "hesscale_path"),
    },
}


@dataclass(frozen=True)
class Subject:
    """What to look at: a model, its data and where its parameters come from."""

    data: str = "digits"
    path: Path | None = None
    model: str = "mlp"
    weights: Path | None = None
    epochs: int = 5
    batch: int = 512
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True)
class Point:
    """An objective, its parameters and the batch on which it is looked at."""

    f: hc.Objective
    w: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    title: str


def spectrum(
    subject: Subject,
    kind: str = "hessian",
    out: Path = Path("spectrum.png"),
    probes: int = 8,
    steps: int = 80,
    top: int = 5,
    layers: bool = False,
    say: Say = print,
) -> None:
    """Print trace, norm and extreme eigenvalues, and write a plot of the spectral density."""
    figure = require("matplotlib.figure").Figure
    at = prepare(subject, say)
    A = getattr(at.f, kind)(at.w, at.x, at.y)
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in at.f.layout)) if layers else []
    parts = {"all parameters": A, **{name: A.block(name) for name in names}}
    densities, start = {}, time.perf_counter()
    say(f"\n{'':18}{'parameters':>11}{'trace':>22}{'norm':>11}{'smallest':>11}{'largest':>11}")
    for name, part in parts.items():
        densities[name] = s = hc.spectral_density(part, probes, steps, subject.seed)
        trace, square = s.trace(lambda t: t), s.trace(np.square)
        told = f"{trace.value:.4g} +- {trace.standard_error:.1g}"
        low, high = s.extent
        norm = np.sqrt(square.value)
        say(f"{name:18}{s.n:11}{told:>22}{norm:11.4g}{low:11.4g}{high:11.4g}")
    if top:
        values, report = hc.eigsh(A, k=min(top, at.f.num_params), return_eigenvectors=False)
        found = "  ".join(f"{v:.5g}" for v in np.sort(np.asarray(values))[::-1])
        say(f"\nlargest eigenvalues: {found}  ({report.status})")
    say(f"{time.perf_counter() - start:.1f} seconds")
    rows = len(densities)
    fig = figure(figsize=(7.5, 4.5 if rows == 1 else 1 + 2.2 * rows), layout="constrained")
    panels = fig.subplots(rows, sharex=True, squeeze=False)[:, 0]
    for ax, (name, s) in zip(panels, densities.items(), strict=True):
        plot.spectrum(s, ax, label=name if layers else None)
        ax.label_outer()
    fig.suptitle(f"{_KINDS[kind]} of {at.title}")
    _save(fig, out, say)


def landscape(
    subject: Subject,
    directions: str = "filter",
    out: Path = Path("landscape.png"),
    dimensions: Literal[1, 2] = 2,
    extent: float = 1.0,
    points: int | None = None,
    style: Literal["contour", "surface"] = "contour",
    say: Say = print,
) -> None:
    """Write a plot of the loss on a line or a plane through the parameters."""
    figure = require("matplotlib.figure").Figure
    at = prepare(subject, say)
    across: Any = directions
    if directions == "eigenvectors":
        H = at.f.hessian(at.w, at.x, at.y)
        values, vectors = hc.eigsh(H, k=dimensions)[:2]
        size = np.linalg.norm(at.w) / 10  # of w's length a tenth
        across = [size * vectors[:, i] for i in np.argsort(-np.asarray(values))]
    fig = figure(figsize=(6.5, 5), layout="constrained")
    surface = style == "surface" and dimensions == 2
    ax = fig.add_subplot(projection="3d" if surface else None)
    start = time.perf_counter()
    options: dict[str, Any] = {"extent": extent, "points": points, "seed": subject.seed}
    plot.landscape(at.f, at.w, at.x, at.y, dimensions=dimensions, directions=across, style=style,
                   ax=ax, **options)  # fmt: skip
    say(f"{time.perf_counter() - start:.1f} seconds")
    if directions == "eigenvectors":
        ax.set_xlabel("leading eigenvector of the Hessian")
    fig.suptitle(f"Loss around {at.title}")
    _save(fig, out, say)


_KINDS = {"hessian": "Hessian", "ggn": "Gauss-Newton matrix", "fisher": "empirical Fisher matrix"}


def prepare(subject: Subject, say: Say) -> Point:
    """Load the data, build the model, and read or train its parameters."""
    data = load(subject)
    f = objective(subject, data)
    w = read_weights(subject.weights, f) if subject.weights else f.init(seed=subject.seed)
    if subject.threads is not None:
        hc.set_num_threads(subject.threads)
    say(f"{subject.model} with {f.num_params} parameters; {data}")
    title = f"{subject.model} on {subject.data}"
    if subject.weights is not None:
        title += f", {subject.weights.name}"
    elif subject.epochs:
        train(f, w, data, subject)
        title += f" after {subject.epochs} epoch{'s' if subject.epochs > 1 else ''}"
    else:
        title += " at the start"
    x, y = data.x_train[: subject.batch], data.y_train[: subject.batch]
    accuracy = np.mean(f.predict(w, data.x_test[:1000]).argmax(1) == data.y_test[:1000])
    say(f"loss {f.loss(w, x, y):.4f} on {len(y)} training samples, test accuracy {accuracy:.1%}")
    return Point(f, w, x, y, title)


def load(subject: Subject) -> datasets.Dataset:
    """Load the data set that was asked for."""
    if subject.data == "digits":
        if subject.path is not None:
            raise OptionError("digits come with scikit-learn and take no path")
        return datasets.digits()
    return getattr(datasets, subject.data)(subject.path)


def objective(subject: Subject, data: datasets.Dataset) -> hc.Objective:
    """Build the model for the data, with softmax cross-entropy."""
    if subject.model == "mlp":
        widths = int(np.prod(data.input_shape)), *_HIDDEN[subject.data], data.num_classes
        net = hc.Sequential(hc.Flatten(), hc.models.mlp(*widths))
    else:
        if data.input_shape != _SHAPES[subject.model]:
            expected = f"images of shape {_SHAPES[subject.model]}"
            raise OptionError.about("model", f"{subject.model} on {expected}", data.input_shape)
        make = hc.models.lenet5 if subject.model == "lenet5" else hc.models.cnn_3c3d
        net = make(data.num_classes)
    return hc.Objective(net, hc.CrossEntropyLoss(), input_shape=data.input_shape)


def read_weights(path: Path, f: hc.Objective) -> NDArray[Any]:
    """Read parameters: one flat vector in an .npy file, or named tensors in an .npz file."""
    try:
        content = np.load(path, allow_pickle=False)
        w = f.flatten(dict(content)) if isinstance(content, np.lib.npyio.NpzFile) else content
    except (ValueError, EOFError) as error:
        raise OptionError.about("weights", "an .npy or .npz file of parameters", error) from error
    if w.shape != (f.num_params,):
        raise OptionError.about("weights", f"{f.num_params} parameters", f"shape {w.shape}")
    return np.ascontiguousarray(w, dtype=np.float32)


def train(f: hc.Objective, w: NDArray[Any], data: datasets.Dataset, subject: Subject) -> None:
    """Train in place with Adam; a progress bar where there is a terminal."""
    opt = hc.Optimizer(f, "adam", lr=3e-3)
    opt.run(w, data.x_train, data.y_train, batch_size=min(_BATCH, len(data.y_train)),
            epochs=subject.epochs, shuffle_seed=subject.seed)  # fmt: skip


def reproduce(papers: Sequence[str], threads: int | None = None, **options: Any) -> None:
    """Reproduce papers; `options` are those of ``hesscore.seeds.Settings``.

    Raises
    ------
    DeviceError
        When the device cannot be used.
    DatasetError
        When a data set that a paper needs is missing.
    Error
        When the engine fails one of its checks. What a paper claims may fail: that is a result.
    """
    seeds = importlib.import_module("hesscore.seeds")
    settings = seeds.Settings(**options)
    if settings.device != "cpu":
        _needs_device(settings.device)
    if threads is not None:
        hc.set_num_threads(threads)
    names = seeds.PAPERS if "all" in papers else dict.fromkeys(papers)
    try:
        reports = seeds.run(list(names), settings)
    except datasets.DatasetError as error:
        raise datasets.DatasetError(f"{error}; here: --data DIR, or --download") from error
    failed = [c.text for report in reports for c in report.checks if not c.holds]
    if failed:
        raise Error(f"failed checks: {'; '.join(failed)}")


def bench(
    peers: bool = False, scaling: bool = False, show: Path | None = None, **given: Any
) -> None:
    """Measure hesscore, alone, beside other libraries or as problems grow.

    `given` are the fields of ``hesscore.peers.options.Options``.

    Raises
    ------
    OptionError
        An unknown network or side, or an option that goes with another kind of benchmark.
    Error
        When no side can be started, or answers of sides disagree.
    """
    kind = "peers" if peers else "scaling" if scaling else "show" if show else "alone"
    for name in given.keys() - _BENCH_OPTIONS[kind]:
        others = [f"--{k}" for k in ("peers", "scaling") if name in _BENCH_OPTIONS[k]]
        raise OptionError(f"--{name.replace('_', '-')} goes with {' or '.join(others)}")
    if show is not None:
        importlib.import_module("hesscore.peers.command").show(show)
    elif scaling:
        report = importlib.import_module("hesscore.peers.scaling_report")
        report.run(given.get("quick", False), given.get("save", False), given.get("out"))
    else:
        options = importlib.import_module("hesscore.peers.options")
        chosen = options.Options(**given) if peers else options.alone(**given)
        command = importlib.import_module("hesscore.peers.command")
        (command.peers if peers else command.alone)(chosen)


def _needs_device(device: str) -> None:
    config = hc.show_config(mode="dict") or {}
    if not any(name.startswith(device) for name in hc.devices()):
        raise DeviceError.about("device", "cpu", f"{device}: {config['cuda']}")
    try:
        importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError.about(
            "device", "cpu", f"{device}, but cupy is {config['cupy']}"
        ) from error


def _save(fig: Any, path: Path, say: Say) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=150)
    say(f"wrote {path}")
