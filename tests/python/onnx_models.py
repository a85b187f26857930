"""Models in ONNX format for tests, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

onnx = pytest.importorskip("onnx")
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper

TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE,
         np.dtype(np.int64): TensorProto.INT64}  # fmt: skip


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], name=f"the_{output}", **attributes)


def make(nodes, x, weights, opset=22, batch="N"):
    """A model whose inputs look like the arrays `x`, and whose output is "z"."""
    kind = TYPES[next(iter(x.values())).dtype] if opset else TensorProto.FLOAT
    kind = TensorProto.FLOAT if kind == TensorProto.INT64 else kind
    inputs = [
        helper.make_tensor_value_info(k, TYPES[v.dtype], [batch, *v.shape[1:]])
        for k, v in x.items()
    ]
    output = helper.make_tensor_value_info("z", kind, ["N"])
    tensors = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "test", inputs, [output], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def imported(folder, model, **options):
    onnx.save(model, folder / "m.onnx")
    return hc.from_onnx(folder / "m.onnx", **options)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


IMAGES = {"x": normal(3, 4, 7, 6)}
ROWS = {"x": normal(5, 6)}
