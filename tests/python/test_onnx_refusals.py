"""What `from_onnx` refuses: operators without a layer, broken files, weights of other types."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

pytest.importorskip("onnx")

from onnx_models import IMAGES, ROWS, TensorProto, helper, imported, make, node, normal, onnx


def test_everything_without_a_layer_is_named_at_once(tmp_path):
    weights = {"s": np.array([3, 56, -1]), "c": normal(6, 7)}
    nodes = [
        node("Erf", "x", "a"),
        node("Tanh", "a", "b"),
        node("Erf", "b", "c1"),
        node("Reshape", "x s", "d"),
        node("MaxPool", "x", "e", kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
        node("Add", "x c", "f"),
        node("HardSigmoid", "x", "g"),
        node("Concat", "c1 d", "h", axis=0),
        node("Sum", "h e f g", "i"),
        node("Softmax", "i", "z"),
    ]
    with pytest.raises(hc.UnsupportedError) as caught:
        imported(tmp_path, make(nodes, IMAGES, weights))
    text = str(caught.value)
    for part in (
        "Erf at 'the_a', 'the_c1'", "Softmax at 'the_z'", "does not keep the batch apart",
        "MaxPool (padding that differs on both sides) at 'the_e'", "Add (input 1 is constant)",
        "HardSigmoid (alpha is not 0.166667) at 'the_g'",
    ):  # fmt: skip
        assert part in text
    assert "Tanh" not in text and "Concat" not in text and "Sum" not in text


def one(op, inputs="x", x=ROWS, weights=None, **attributes):
    return [node(op, inputs, "z", **attributes)], x, weights or {}


REFUSED = {
    "batch": one("Gemm", "x w", weights={"w": normal(5, 2)}, transA=1),
    "concatenated samples": one("Concat", "x x", axis=0),
    "flattened samples": one("Flatten", x=IMAGES, axis=2),
    "permuted": one("Transpose", x=IMAGES, perm=[0, 2, 3, 1]),
    "a constant factor": one("Mul", "x c", weights={"c": np.float32([2.0])}),
    "limits": one("Clip", "x a", weights={"a": np.float32(-3)}),
    "power": one("Pow", "x a", weights={"a": np.float32(3)}),
    "a mean over channels": one("ReduceMean", "x a", x=IMAGES, weights={"a": np.array([1])}),
    "cast": one("Cast", to=TensorProto.INT64),
    "reflection": one("Pad", "x p", x=IMAGES, weights={"p": np.array([0, 0, 1, 1] * 2)},
                      mode="reflect"),
    "padded channels": one("Pad", "x p", x=IMAGES, weights={"p": np.array([0, 1, 1, 1] * 2)}),
    "three axes": one("GlobalAveragePool", x={"x": normal(2, 3, 4, 4, 4)}),
    "samples": one("Squeeze", "x a", weights={"a": np.array([0])}),
    "another function": one("Selu", alpha=1.0),
    "a product of both": one("MatMul", "x x", x={"x": normal(2, 3, 3)}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_tell_the_operator(tmp_path, case):
    nodes, x, weights = REFUSED[case]
    with pytest.raises(hc.UnsupportedError, match=f"no layers for {nodes[0].op_type} "):
        imported(tmp_path, make(nodes, x, weights))


def test_bad_files(tmp_path):
    path = tmp_path / "m.onnx"
    for data in (b"", b"nonsense" * 50, b"\x08\x0a"):
        path.write_bytes(data)
        with pytest.raises(hc.CheckpointError, match=r"m\.onnx: is no model"):
            hc.from_onnx(path)
    with pytest.raises(hc.CheckpointError, match="cannot be read"):
        hc.from_onnx(tmp_path / "nothing")
    with pytest.raises(hc.OptionError, match="path"):
        hc.from_onnx(7)


def test_every_truncated_model_is_refused(tmp_path):
    nodes = [node("Gemm", "x w b", "h"), node("Tanh", "h", "z")]
    data = make(nodes, ROWS, {"w": normal(6, 3), "b": normal(3)}).SerializeToString()
    for length in range(0, len(data) - 1, 3):
        (tmp_path / "m").write_bytes(data[:length])
        with pytest.raises(hc.Error):
            hc.from_onnx(tmp_path / "m")


def test_damaged_models_give_typed_errors_or_a_network(tmp_path):
    nodes = [
        node("Conv", "x w b", "a", pads=[1] * 4),
        node("BatchNormalization", "a b b b v", "n"),
        node("MaxPool", "n", "p", kernel_shape=[7, 6]),
        node("Shape", "p", "s"),
        node("Slice", "s zero one", "batch"),
        node("Concat", "batch rest", "t", axis=0),
        node("Reshape", "p t", "f"),
        node("Gemm", "f u", "h", transB=1),
        node("Clip", "h low high", "z"),
    ]
    weights = {"w": normal(2, 4, 3, 3), "b": normal(2), "v": normal(2) ** 2, "u": normal(3, 2),
               "zero": np.array([0]), "one": np.array([1]), "rest": np.array([-1]),
               "low": np.float32(0), "high": np.float32(6)}  # fmt: skip
    weights = {name: np.asarray(value) for name, value in weights.items()}
    path, rng, read = tmp_path / "m.onnx", np.random.default_rng(0), 0
    assert len(imported(tmp_path, make(nodes, IMAGES, weights)).w) == 84
    data = path.read_bytes()
    for _ in range(600):
        damaged = bytearray(data)
        place = int(rng.integers(len(data)))
        if rng.integers(3):
            damaged[place] ^= 1 << int(rng.integers(8))
        else:
            del damaged[place : place + int(rng.integers(1, 5))]
        path.write_bytes(damaged)
        try:
            hc.from_onnx(path)
            read += 1
        except hc.Error:
            pass
    assert 50 < read < 550  # a model has no check-sum: numbers may change unseen


def test_weights_of_other_types_are_refused(tmp_path):
    weights = {"w": normal(6, 3, dtype=np.float16)}
    with pytest.raises(hc.DTypeError, match="float16"):
        imported(tmp_path, make([node("MatMul", "x w", "z")], ROWS, weights))


def test_weights_in_other_files_lie_beside_the_model(tmp_path):
    model = make([node("MatMul", "x w", "z")], ROWS, {"w": normal(6, 30)})
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="data", size_threshold=0)
    assert np.array_equal(hc.from_onnx(path).w.reshape(30, 6), normal(6, 30).T)
    (tmp_path / "inner" / "data").rename(tmp_path / "data")
    with pytest.raises(hc.CheckpointError):
        hc.from_onnx(path)
    data = path.read_bytes().replace(b"data", b"../d", 1)
    path.write_bytes(data)
    (tmp_path / "d").write_bytes((tmp_path / "data").read_bytes())
    with pytest.raises(hc.CheckpointError):
        hc.from_onnx(path)


def test_two_outputs_are_refused(tmp_path):
    model = make([node("Tanh", "x", "z"), node("Relu", "x", "y")], ROWS, {})
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"]))
    with pytest.raises(hc.GraphError, match="one output, got z, y"):
        imported(tmp_path, model)
