"""Curvature of neural networks on arrays: exact products, HesScale diagonals, CG, optimizers.

Parameters are one flat vector `w`; arrays go in and arrays come out.

Examples
--------
>>> import numpy as np
>>> import hesscore as hc
>>> net = hc.Sequential(hc.Linear(4, 16), hc.Tanh(), hc.Linear(16, 3))
>>> f = hc.Objective(net, loss=hc.CrossEntropyLoss())
>>> rng = np.random.default_rng(0)
>>> x, y = rng.normal(size=(64, 4)).astype(np.float32), rng.integers(0, 3, size=64)
>>> w = f.init(seed=0)
>>> out = f.evaluate(w, x, y, ("loss", "grad", "hesscale"))
>>> step, report = hc.cg(f.ggn(w, x, y) + 0.1 * hc.identity(f.num_params), -out["grad"])
>>> report.status
'converged'
>>> bool(f.loss(w + step, x, y) < out["loss"])
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core, nn
from .config import (
    devices,
    get_cmake_dir,
    get_include,
    get_num_threads,
    set_num_threads,
    show_config,
)
from .eigen import EigshReport, LanczosResult, eigsh, lanczos
from .errors import (
    CheckpointError,
    ConvergenceError,
    DeviceError,
    DTypeError,
    Error,
    GraphError,
    IndexRangeError,
    LabelError,
    LayoutError,
    NonFiniteError,
    OptionError,
    OutOfMemoryError,
    OutputError,
    ShapeError,
    SizeError,
    StateError,
    UnsupportedError,
)
from .estimators import (
    Estimate,
    SpectralDensity,
    diagonal,
    frobenius_norm,
    spectral_density,
    trace,
)
from .graph import Graph
from .initial import TuneReport, tune_init
from .krylov import (
    TrustRegionReport,
    diagonal_preconditioner,
    lsmr,
    minres,
    trust_region,
)
from .layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dropout,
    Embedding,
    Exp,
    Flatten,
    Gate,
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSigmoid,
    MaxPool1d,
    MaxPool2d,
    Mish,
    Parallel,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Sin,
    Slice,
    Softplus,
    Softsign,
    Square,
    SqueezeExcite,
    Tanh,
    Unflatten,
    Upsample,
    ZeroPad1d,
    ZeroPad2d,
)
from .layers import activations as activations
from .losses import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    MSELoss,
    PoissonNLLLoss,
)
from .objective import Objective
from .optim import Optimizer
from .secants import ReplicaReport, replica_inverse
from .solve import SolveReport, cg

if TYPE_CHECKING:
    from . import datasets, models, plot, testing
    from ._onnx import OnnxModel, from_onnx
    from .checkpoint import Checkpoint, load, save
    from .operators import identity

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Checkpoint",
    "CheckpointError",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvergenceError",
    "CrossEntropyLoss",
    "DTypeError",
    "DeviceError",
    "Dropout",
    "EigshReport",
    "Embedding",
    "Error",
    "Estimate",
    "Exp",
    "Flatten",
    "Gate",
    "GaussianNLLLoss",
    "GlobalAvgPool1d",
    "GlobalAvgPool2d",
    "Graph",
    "GraphError",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "IndexRangeError",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LabelError",
    "LanczosResult",
    "LayerNorm",
    "LayoutError",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "NonFiniteError",
    "Objective",
    "OnnxModel",
    "Optimizer",
    "OptionError",
    "OutOfMemoryError",
    "OutputError",
    "Parallel",
    "PoissonNLLLoss",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "ReplicaReport",
    "Reshape",
    "Residual",
    "Sequential",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Sin",
    "SizeError",
    "Slice",
    "Softplus",
    "Softsign",
    "SolveReport",
    "SpectralDensity",
    "Square",
    "SqueezeExcite",
    "StateError",
    "Tanh",
    "TrustRegionReport",
    "TuneReport",
    "Unflatten",
    "UnsupportedError",
    "Upsample",
    "ZeroPad1d",
    "ZeroPad2d",
    "__version__",
    "cg",
    "datasets",
    "devices",
    "diagonal",
    "diagonal_preconditioner",
    "eigsh",
    "frobenius_norm",
    "from_onnx",
    "get_cmake_dir",
    "get_include",
    "get_num_threads",
    "identity",
    "lanczos",
    "load",
    "lsmr",
    "minres",
    "models",
    "nn",
    "plot",
    "replica_inverse",
    "save",
    "set_num_threads",
    "show_config",
    "spectral_density",
    "testing",
    "trace",
    "trust_region",
    "tune_init",
]

__version__ = _core.version()

_LAZY_MODULES = ("datasets", "models", "plot", "testing")
_LAZY_NAMES = {
    "Checkpoint": "checkpoint",
    "OnnxModel": "_onnx",
    "from_onnx": "_onnx",
    "identity": "operators",
    "load": "checkpoint",
    "save": "checkpoint",
}


def __getattr__(name: str) -> Any:
    """Import what is slow to import, when it is first used."""
    import importlib

    if name in _LAZY_MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _LAZY_NAMES:
        value = getattr(importlib.import_module(f".{_LAZY_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
