"""From a model in ONNX format to a graph and its parameters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from ..errors import DTypeError, Error, GraphError, OptionError, UnsupportedError
from ..graph import Graph, Node, build_graph
from ..layers.base import Shape
from ..losses import Loss, MSELoss
from ..objective import Objective
from .constants import NotComputable, evaluate, fold, fuse_biases
from .model import BAD_DATA, Model, Step, read
from .rules import RULES
from .site import Refused, Site, Weights


@dataclass(frozen=True)
class OnnxModel:
    """What `hesscore.from_onnx` returns: ``net, w = hc.from_onnx(path)``.

    Attributes
    ----------
    net : Graph
        The network, with the model's names of inputs and, as far as it tells them, of layers.
    w : (P,) array
        The parameters, float32 or float64 as in the model.
    buffers : dict
        Running statistics of batch normalisation, for `Objective.buffers`.
    """

    net: Graph
    w: np.ndarray[Any, Any]
    buffers: dict[str, np.ndarray[Any, Any]]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.net, self.w))

    def objective(self, loss: Loss, **options: Any) -> Objective:
        """Make the objective of the network and a loss, with the running statistics.

        Parameters
        ----------
        loss, **options
            As in `hesscore.Objective`.
        """
        f = Objective(self.net, loss, **options)
        f.buffers = self.buffers
        return f


def from_onnx(
    path: str | os.PathLike[str], *, input_shapes: Mapping[str, Shape] | None = None
) -> OnnxModel:
    """Read a network and its parameters from a model in ONNX format.

    A graph of the same function: products with constants become `Linear`, with the bias that a sum
    adds behind them, look-ups of rows `Embedding`, and the operators named below our layers. What
    is computed from constants and shapes alone is computed while reading. The first axis of each
    input is the batch; the model must keep it apart. Layers that have the same weights in the model
    share them.

    Operators: Gemm, MatMul with Add, Gather, Conv, ConvTranspose, MaxPool, AveragePool,
    GlobalAveragePool, GlobalMaxPool, ReduceMean over positions, Pad; Relu, LeakyRelu, Elu, Celu,
    Selu, Gelu, Mish, Swish, Tanh, Sigmoid, HardSigmoid, HardSwish, Softplus, Softsign, Sin, Exp,
    Clip to the limits of ReLU6 or Hardtanh, squares; BatchNormalization, LayerNormalization,
    InstanceNormalization, GroupNormalization; Add, Sum and Mul of values, Concat, Flatten, Reshape,
    Squeeze, Unsqueeze, Slice, Dropout, Identity. A last Softmax belongs to the loss: export logits.

    Parameters
    ----------
    path : str or path
        The file. Weights that it keeps in others must lie in its folder.
    input_shapes : dict, optional
        Shapes of inputs without the batch, for those that the model leaves open.

    Returns
    -------
    OnnxModel
        It unpacks as `net` and `w`; its `objective(loss)` brings running statistics along.

    Raises
    ------
    UnsupportedError
        Operators without a layer, with all of them and why.
    CheckpointError
        The file cannot be read, or is no model.
    GraphError
        More than one output, or an input of unknown shape.
    DTypeError
        Weights that are not all float32, or all float64.
    MissingExtraError
        Without the package `onnx`: ``pip install "hesscore[onnx]"``.

    Examples
    --------
    >>> import tempfile, numpy as np, onnx, hesscore as hc
    >>> text = '''<ir_version: 10, opset_import: ["": 21]>
    ... tiny (float[N, 3] x) => (float[N, 2] z)
    ... <float[2, 3] weight = {1, 2, 3, 4, 5, 6}> { h = Gemm<transB = 1>(x, weight) z = Tanh(h) }'''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     onnx.save(onnx.parser.parse_model(text), f"{folder}/tiny.onnx")
    ...     net, w = hc.from_onnx(f"{folder}/tiny.onnx")
    >>> f = hc.Objective(net, hc.MSELoss())
    >>> f.predict(w, np.array([[0.1, 0.0, 0.0]], np.float32)).astype(float).round(2).tolist()
    [[0.1, 0.38]]
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise OptionError.about("path", "a path", repr(path)) from None
    model = read(name)
    fold(model)
    fuse_biases(model)
    weights, values = Weights(), dict[str, Any](model.constants)
    _add_inputs(weights, model, values, dict(input_shapes or {}))
    reasons = [(step, _convert(weights, model, step, values)) for step in model.steps]
    if refused := [(step, why) for step, why in reasons if why]:
        raise _unsupported(name, refused)
    output = values.get(model.output)
    if not isinstance(output, Node):
        raise GraphError.about("path", "an output that depends on the inputs", "a constant")
    weights.graph.output(output)
    return _finish(weights)


def _add_inputs(
    weights: Weights, model: Model, values: dict[str, Any], given: dict[str, Shape]
) -> None:
    for name in given:
        if name not in model.inputs:
            raise OptionError.about("input_shapes", f"names among {', '.join(model.inputs)}", name)
    for name, sizes in model.inputs.items():
        shape = _check.shape("input_shapes", given[name]) if name in given else sizes[1:]
        if not sizes or any(not n for n in shape):
            text = f"({', '.join(str(n or '?') for n in sizes)})"
            expected = "sizes of all axes behind the batch, or input_shapes"
            raise GraphError.about(f"input {name!r}", expected, text)
        values[name] = weights.graph.input(tuple(n for n in shape if n), name)
        weights.batches.add(sizes[0])


def _convert(weights: Weights, model: Model, step: Step, values: dict[str, Any]) -> str:
    """Convert an operator; tell why not if there is no layer, and "" behind one without."""
    unknown = [name for name in step.inputs if name and name not in values]
    constant = all(isinstance(values.get(name), np.ndarray) for name in step.inputs if name)
    if step.op not in RULES and not constant:
        return "no layer"
    if unknown:
        return ""
    try:
        if constant:
            values.update(evaluate(model, step, values))
            return ""
        inputs = [values[name] if name else None for name in step.inputs]
        output = RULES[step.op](Site(weights, step, inputs))
        values.update({**dict.fromkeys(step.outputs), step.outputs[0]: output})
    except (Refused, NotComputable, Error) as reason:
        return str(reason)
    except BAD_DATA as reason:
        return f"it is malformed: {reason!r}"
    return ""


def _unsupported(path: str, refused: list[tuple[Step, str]]) -> UnsupportedError:
    places: dict[str, list[str]] = {}
    for step, why in refused:
        kind = step.op if why == "no layer" else f"{step.op} ({why})"
        places.setdefault(kind, []).append(repr(step.name))
    text = "; ".join(f"{kind} at {', '.join(names)}" for kind, names in places.items())
    return UnsupportedError(
        f"{path}: no layers for {text}", "path", "operators that from_onnx names", text
    )


def _finish(weights: Weights) -> OnnxModel:
    graph = build_graph(weights.graph, MSELoss()._engine(True), None)
    names = [name for name, _, _ in graph.layout]
    types = {weights.arrays[name].dtype for name in names} or {np.dtype(np.float32)}
    if len(types) > 1 or not types <= {np.dtype(np.float32), np.dtype(np.float64)}:
        text = ", ".join(sorted(map(str, types)))
        raise DTypeError.about("path", "weights of float32, or of float64", text)
    parts = [weights.arrays[name].reshape(-1) for name in names]
    w = np.concatenate([np.empty(0, types.pop()), *parts])
    buffers = {name: weights.arrays[name].astype(np.float64) for name, _ in graph.buffers}
    return OnnxModel(weights.graph, w, buffers)
