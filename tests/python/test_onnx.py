"""Models in ONNX format give the numbers of ONNX' own reference implementation."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator

from onnx_models import IMAGES, ROWS, TensorProto, imported, make, node, normal, onnx


def agree(folder, nodes, x, weights, **options):
    """Import, compare, and return the objective and its parameters."""
    model = make(nodes, x, weights, **options)
    (expected,) = ReferenceEvaluator(model).run(None, x)
    loaded = imported(folder, model)
    f = loaded.objective(hc.MSELoss())
    got = f.predict(loaded.w, x if len(x) > 1 else next(iter(x.values())))
    assert got.dtype == expected.dtype and got.shape == expected.shape
    scale = np.abs(expected).max() + 1e-3
    assert np.abs(got - expected).max() < 1e-5 * scale
    return f, loaded.w


ACTIVATIONS = [
    ("Relu", {}), ("LeakyRelu", {}), ("LeakyRelu", {"alpha": 0.2}), ("Elu", {"alpha": 0.7}),
    ("Celu", {"alpha": 1.5}), ("Selu", {}), ("Gelu", {}), ("Gelu", {"approximate": "tanh"}),
    ("Mish", {}), ("Tanh", {}), ("Sigmoid", {}), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    ("HardSwish", {}), ("Softplus", {}), ("Softsign", {}), ("Sin", {}), ("Exp", {}),
    ("Identity", {}), ("Dropout", {}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attributes"), ACTIVATIONS, ids=str)
def test_activations(tmp_path, op, attributes):
    weights = {"w": normal(6, 6), "b": normal(6)}
    f, _ = agree(
        tmp_path,
        [node("Gemm", "x w b", "h", alpha=0.5, beta=2.0), node(op, "h", "z", **attributes)],
        {"x": 2 * ROWS["x"]},
        weights,
    )
    assert list(f.layout.values()) == [(0, (6, 6)), (36, (6,))]


def test_swish(tmp_path):
    """An operator of version 24, which older onnx do not have."""
    if onnx.defs.onnx_opset_version() < 24:
        pytest.skip("this onnx has no Swish")
    agree(tmp_path, [node("Swish", "x", "z")], ROWS, {}, opset=24)


@pytest.mark.parametrize("limits", [(0.0, 6.0), (-1.0, 1.0), (0.0, None)])
def test_limits(tmp_path, limits):
    weights = {
        k: np.array(v, np.float32) for k, v in zip("ab", limits, strict=True) if v is not None
    }
    names = "x a" if limits[1] is None else "x a b"
    agree(tmp_path, [node("Clip", names, "z")], {"x": 5 * ROWS["x"]}, weights)
    old = {k: v for k, v in zip(("min", "max"), limits, strict=True) if v is not None}
    agree(tmp_path, [node("Clip", "x", "z", **old)], ROWS, {}, opset=10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_layers(tmp_path, dtype):
    weights = {"fc1.weight": normal(8, 6), "fc1.bias": normal(1, 8), "onnx::MatMul_7": normal(8, 3),
               "out.bias": normal(3), "two": np.array(2.0)}  # fmt: skip
    weights = {k: v.astype(dtype) for k, v in weights.items()}
    nodes = [
        node("Gemm", "x fc1.weight fc1.bias", "a", transB=1),
        node("Pow", "a two", "b"),
        node("MatMul", "b onnx::MatMul_7", "c"),
        node("Add", "out.bias c", "z"),
    ]
    f, w = agree(tmp_path, nodes, {"x": ROWS["x"].astype(dtype)}, weights)
    assert list(f.layout) == ["fc1.weight", "fc1.bias", "out.weight", "out.bias"]
    assert np.array_equal(f.views(w)["out.weight"], weights["onnx::MatMul_7"].T)


def test_products_over_the_last_of_several_axes(tmp_path):
    weights = {"w": normal(6, 5), "s": normal(5), "b": normal(5)}
    nodes = [node("MatMul", "x w", "h"), node("LayerNormalization", "h s b", "z", epsilon=1e-3)]
    agree(tmp_path, nodes, {"x": normal(2, 4, 6)}, weights)


def test_a_sum_that_is_read_elsewhere_is_no_bias(tmp_path):
    weights = {"w": normal(6, 6)}
    nodes = [node("MatMul", "x w", "h"), node("Add", "h x", "a"), node("Mul", "a h", "z")]
    agree(tmp_path, nodes, ROWS, weights)


CONVOLUTIONS = [
    {},
    {"strides": [2, 1], "pads": [1, 0, 1, 0]},
    {"pads": [1, 0, 2, 1]},
    {"dilations": [2, 1], "group": 2},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
]


@pytest.mark.parametrize("bias", ["b", "", "sum"])
@pytest.mark.parametrize("attributes", CONVOLUTIONS, ids=str)
def test_convolutions(tmp_path, attributes, bias):
    kernel = normal(6, 4 // attributes.get("group", 1), 2, 3)
    nodes = [node("Conv", f"x w {'b' if bias == 'b' else ''}", "h", **attributes)]
    weights = {"w": kernel, "b": normal(6, 1, 1) if bias == "sum" else normal(6)}
    nodes.append(node("Add", "h b", "z") if bias == "sum" else node("Tanh", "h", "z"))
    f, _ = agree(tmp_path, nodes, IMAGES, weights if bias else {"w": kernel})
    assert len(f.layout) == 1 + bool(bias)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"strides": [2, 3], "pads": [1, 0, 1, 0]}, {"strides": [2, 2], "output_padding": [1, 0]},
     {"dilations": [1, 2]}],
    ids=str,
)  # fmt: skip
def test_transposed_convolutions(tmp_path, attributes):
    weights = {"w": normal(4, 3, 3, 2), "b": normal(3)}
    agree(tmp_path, [node("ConvTranspose", "x w b", "z", **attributes)], IMAGES, weights)


def test_transposed_convolutions_of_groups(tmp_path):
    """The reference computes single groups alone."""
    kernel, x = normal(4, 3, 3, 2), IMAGES["x"]
    halves = [
        ReferenceEvaluator(make([node("ConvTranspose", "x w", "z")], {"x": a}, {"w": w}))
        for a, w in ((x[:, :2], kernel[:2]), (x[:, 2:], kernel[2:]))
    ]
    expected = [h.run(None, {"x": a})[0] for h, a in zip(halves, (x[:, :2], x[:, 2:]), strict=True)]
    nodes = [node("ConvTranspose", "x w", "z", group=2)]
    net, w = imported(tmp_path, make(nodes, IMAGES, {"w": kernel}))
    got = hc.Objective(net, hc.MSELoss()).predict(w, x)
    np.testing.assert_allclose(got, np.concatenate(expected, 1), rtol=1e-4, atol=1e-5)


POOLS = [
    ("MaxPool", {"kernel_shape": [2, 3]}),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 1]}),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [0, 1, 1, 2], "count_include_pad": 1}),
    ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("GlobalAveragePool", {}),
    ("GlobalMaxPool", {}),
]


@pytest.mark.parametrize(("op", "attributes"), POOLS, ids=str)
def test_pooling(tmp_path, op, attributes):
    agree(tmp_path, [node(op, "x", "z", **attributes)], IMAGES, {})


def test_one_spatial_axis(tmp_path):
    weights = {"w": normal(5, 4, 3), "v": normal(5, 2, 2), "s": normal(2), "m": normal(2) ** 2}
    nodes = [
        node("Conv", "x w", "a", auto_pad="SAME_UPPER"),
        node("MaxPool", "a", "b", kernel_shape=[2]),
        node("ConvTranspose", "b v", "c", strides=[2]),
        node("BatchNormalization", "c s s s m", "d"),
        node("AveragePool", "d", "e", kernel_shape=[2], pads=[1, 0], count_include_pad=1),
        node("GlobalAveragePool", "e", "z"),
    ]
    agree(tmp_path, nodes, {"x": normal(3, 4, 9)}, weights)


def test_normalisations(tmp_path):
    weights = {name: normal(4, seed=k) for k, name in enumerate("abcdefgh")}
    weights["v"] = normal(4, seed=20) ** 2
    nodes = [
        node("BatchNormalization", "x a b c v", "n", epsilon=1e-3, momentum=0.7),
        node("InstanceNormalization", "n d e", "i"),
        node("GroupNormalization", "i f g", "z", num_groups=2),
    ]
    f, w = agree(tmp_path, nodes, IMAGES, weights)
    assert np.allclose(f.buffers["the_n.running_mean"], weights["c"])
    f.update_buffers(w, IMAGES["x"])
    moved = 0.7 * weights["c"] + 0.3 * IMAGES["x"].mean((0, 2, 3))
    np.testing.assert_allclose(f.buffers["the_n.running_mean"], moved, rtol=1e-5)


@pytest.mark.parametrize("shape", [[0, -1], [-1, 168], [0, 4, -1], [0, 0, 6, 7], [3, -1]], ids=str)
def test_reshaping(tmp_path, shape):
    weights = {"s": np.array(shape)}
    agree(tmp_path, [node("Reshape", "x s", "z")], IMAGES, weights, batch=3)


def test_shapes_that_the_model_computes(tmp_path):
    weights = {"0": np.array(0), "axis": np.array([0]), "rest": np.array([-1]),
               "w": normal(168, 3)}  # fmt: skip
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape 0", "n", axis=0),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target", "flat"),
        node("Gemm", "flat w", "z"),
    ]
    agree(tmp_path, nodes, IMAGES, weights)


def test_structure(tmp_path):
    weights = {"one": [1], "two": [2], "pads": [0, 0, 1, 0, 0, 0, 0, 2], "from": [1, -5],
               "to": [2**62, -1], "axes": [1, -2], "by": [2, 1], "positions": [-1, -2]}  # fmt: skip
    weights = {name: np.array(value) for name, value in weights.items()}
    nodes = [
        node("Pad", "x pads", "p"),
        node("Slice", "p from to axes by", "s"),
        node("Concat", "s s", "c", axis=-3),
        node("ReduceMean", "c positions", "m"),
        node("Mul", "m c", "g"),
        node("Sum", "g c c", "a"),
        node("ReduceMean", "a positions", "r", keepdims=0),
        node("Unsqueeze", "r two", "u"),
        node("Squeeze", "u two", "q"),
        node("Unsqueeze", "q one", "v"),
        node("Squeeze", "v", "y"),
        node("Transpose", "y", "t", perm=[0, 1]),
        node("Cast", "t", "k", to=TensorProto.FLOAT),
        node("Flatten", "k", "z", axis=-1),
    ]
    agree(tmp_path, nodes, IMAGES, weights)


def test_embeddings_and_inner_layers(tmp_path):
    weights = {"words.weight": normal(11, 4), "head.weight": normal(3, 12)}
    nodes = [
        node("Gather", "words.weight x", "e"),
        node("Flatten", "e", "f"),
        node("Gemm", "f head.weight", "z", transB=1),
    ]
    x = {"x": np.arange(6).reshape(2, 3)}
    f, _ = agree(tmp_path, nodes, x, weights)
    assert list(f.layout) == ["words.weight", "head.weight"]


def test_the_same_weights_are_shared(tmp_path):
    weights = {"w": normal(6, 6), "b": normal(6)}
    nodes = [
        node("Identity", "w", "again"),
        node("Gemm", "x w b", "h"),
        node("Tanh", "h", "t"),
        node("Gemm", "t again b", "z"),
    ]
    f, _ = agree(tmp_path, nodes, ROWS, weights)
    assert f.num_params == 42


def residual(x, k):
    """A basic block of a residual network."""
    nodes, weights = [], {}
    for i, source in enumerate((x, f"{k}r")):
        weights[f"block{k}.conv{i}.weight"] = 0.3 * normal(4, 4, 3, 3, seed=k + i)
        for j, part in enumerate(("weight", "bias", "running_mean", "running_var")):
            weights[f"block{k}.bn{i}.{part}"] = normal(4, seed=10 * k + 5 * i + j) ** 2
        names = " ".join(n for n in weights if f"bn{i}" in n)
        nodes.append(node("Conv", f"{source} block{k}.conv{i}.weight", f"{k}c{i}", pads=[1] * 4))
        nodes.append(node("BatchNormalization", f"{k}c{i} {names}", f"{k}b{i}"))
        nodes += [node("Relu", f"{k}b0", f"{k}r")] if i == 0 else []
    return [*nodes, node("Add", f"{k}b1 {x}", f"{k}s"), node("Relu", f"{k}s", f"{k}out")], weights


def test_a_residual_network_trains(tmp_path):
    (first, a), (second, b) = residual("x", 0), residual("0out", 1)
    nodes = [*first, *second, node("GlobalAveragePool", "1out", "g"), node("Flatten", "g", "flat"),
             node("Gemm", "flat fc.weight fc.bias", "z", transB=1)]  # fmt: skip
    weights = {**a, **b, "fc.weight": normal(3, 4), "fc.bias": normal(3)}
    f, w = agree(tmp_path, nodes, IMAGES, weights)
    assert "block1.conv1.weight" in f.layout and "block0.bn1.running_var" in f.buffers
    y = np.zeros((3, 3), np.float32)
    before = f.loss(w, IMAGES["x"], y)
    losses = hc.Optimizer(f, "adam", lr=0.01).run(
        w, IMAGES["x"], y, 3, 20, progress=False, shuffle=False
    )
    assert losses[-1] < losses[0] and f.loss(w, IMAGES["x"], y) != before


def test_several_inputs(tmp_path):
    x = {"left": normal(4, 3), "right": normal(4, 5)}
    weights = {"a": normal(3, 2), "b": normal(5, 2)}
    nodes = [node("Gemm", "left a", "l"), node("Gemm", "right b", "r"), node("Mul", "l r", "z")]
    f, _ = agree(tmp_path, nodes, x, weights)
    assert f.inputs == ("left", "right")


def test_what_the_output_does_not_need_is_left_out(tmp_path):
    nodes = [node("Tanh", "x", "z"), node("Erf", "x", "unused")]
    f, _ = agree(tmp_path, nodes, ROWS, {"no": normal(3)})
    assert f.num_params == 0


def test_open_sizes_are_given(tmp_path):
    model = make([node("Relu", "x", "z")], IMAGES, {})
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(hc.GraphError, match=r"input 'x': .*got \(\?, 4, \?, 6\)"):
        imported(tmp_path, model)
    net, _ = imported(tmp_path, model, input_shapes={"x": (4, 9, 6)})
    assert hc.Objective(net, hc.MSELoss()).output_shape == (4, 9, 6)
    with pytest.raises(hc.OptionError, match="names among x"):
        imported(tmp_path, model, input_shapes={"y": (4, 9, 6)})
