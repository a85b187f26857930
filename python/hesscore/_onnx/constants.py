"""What of a model depends on constants alone, and biases, which exporters write as sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._extras import require
from .model import Model, Step


class NotComputable(Exception):
    """An operator on constants that cannot be evaluated."""


def evaluate(model: Model, step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    """Compute an operator whose inputs are all constant."""
    evaluator = require("onnx.reference", "onnx").ReferenceEvaluator
    try:
        run = evaluator(step.proto, opsets={"": model.version}).run
        names = zip(step.proto.input, step.inputs, strict=True)
        outputs = run(None, {given: values[name] for given, name in names if given})
    except Exception as error:  # whatever the operators of that package raise
        raise NotComputable(f"it cannot be computed: {error}") from error
    return dict(zip(step.outputs, outputs, strict=False))


def fold(model: Model) -> None:
    """Compute what depends on constants alone; other names of a constant become its first one."""
    same: dict[str, str] = {}
    left = []
    for step in model.steps:
        step.inputs = [same.get(name, name) for name in step.inputs]
        if step.op == "Identity" and step.inputs[0] in model.constants:
            same[step.outputs[0]] = step.inputs[0]
        elif all(name in model.constants for name in step.inputs if name):
            try:
                model.constants.update(evaluate(model, step, model.constants))
            except NotComputable:
                left.append(step)
        else:
            left.append(step)
    model.steps = left


def fuse_biases(model: Model) -> None:
    """Give products and convolutions the bias that a sum behind them adds."""
    readers: dict[str, list[Step]] = {}
    for step in model.steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    gone = []
    for step in model.steps:
        after = readers.get(step.outputs[0], [])
        if len(after) != 1 or after[0].op != "Add" or step.outputs[0] == model.output:
            continue
        other = [name for name in after[0].inputs if name != step.outputs[0]]
        if len(other) == 1 and _is_bias(model, step, other[0]):
            step.inputs, step.outputs = [*step.inputs, other[0]], after[0].outputs
            gone.append(id(after[0]))
    model.steps = [step for step in model.steps if id(step) not in gone]


def _is_bias(model: Model, step: Step, name: str) -> bool:
    value = model.constants.get(name)
    weight = model.constants.get(step.inputs[1]) if len(step.inputs) == 2 else None
    if value is None or weight is None:
        return False
    if step.op == "MatMul" and weight.ndim == 2:
        return value.shape == weight.shape[1:]
    channels = (len(weight), *(1,) * (weight.ndim - 2))
    return step.op == "Conv" and value.shape in (channels, (1, *channels))
