"""What is in an ONNX file: operators in order, constants, inputs and the output."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._extras import require
from ..errors import CheckpointError, GraphError

Array = np.ndarray[Any, Any]

BAD_DATA = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass
class Step:
    """One operator: names of what it reads and makes, and its attributes."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    proto: Any


@dataclass
class Model:
    """A file as it was read; sizes that are left open are None."""

    inputs: dict[str, list[int | None]]
    output: str
    steps: list[Step]
    version: int  # of the operators
    constants: dict[str, Array] = field(default_factory=dict)


def read(path: str) -> Model:
    """Read a file, without what its output does not need.

    Raises
    ------
    CheckpointError
        It cannot be read, or is no valid model.
    GraphError
        It has not one output.
    MissingExtraError
        Without the package `onnx`.
    """
    onnx = require("onnx", "onnx")
    decode_error = require("google.protobuf.message", "onnx").DecodeError
    try:
        return _model(onnx, _load(onnx, path))
    except OSError as error:
        raise _broken(path, f"cannot be read: {error}") from error
    except GraphError:
        raise
    except (decode_error, onnx.checker.ValidationError, *BAD_DATA) as error:
        raise _broken(path, f"is no model: {error}") from error


def _broken(path: str, what: str) -> CheckpointError:
    return CheckpointError(f"{path}: {what}", "path", "a model in ONNX format", what)


def _load(onnx: Any, path: str) -> Any:
    """Load a file, and those with weights beside it, which onnx does not look for elsewhere."""
    proto = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(os.path.abspath(path))
    load_others = require("onnx.external_data_helper", "onnx").load_external_data_for_model
    load_others(proto, os.path.dirname(os.path.abspath(path)))
    if proto.functions:
        proto = require("onnx.inliner", "onnx").inline_local_functions(proto)
    return proto


def _model(onnx: Any, proto: Any) -> Model:
    graph = proto.graph
    if len(graph.output) != 1:
        names = ", ".join(o.name for o in graph.output)
        raise GraphError.about("path", "a model with one output", names or "none")
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    output = graph.output[0].name
    steps = _needed([_step(onnx, node) for node in graph.node], output)
    read_names = {name for step in steps for name in step.inputs} | {output}
    inputs = {
        i.name: _sizes(i) for i in graph.input if i.name in read_names and i.name not in constants
    }
    return Model(inputs, output, steps, max(versions, default=1), constants)


def _sizes(value: Any) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else None for d in dims]


def _step(onnx: Any, node: Any) -> Step:
    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value

    attributes = {a.name: plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
    op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    name = node.name or next(iter(node.output), "")
    return Step(op, name, list(node.input), list(node.output), attributes, node)


def _needed(steps: list[Step], output: str) -> list[Step]:
    wanted, kept = {output}, []
    for step in reversed(steps):
        if wanted.intersection(step.outputs):
            wanted.update(step.inputs)
            kept.append(step)
    return kept[::-1]
