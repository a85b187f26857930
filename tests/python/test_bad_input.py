"""Bad input: a typed error that names the argument, nothing written, and the engine as before."""

from __future__ import annotations

import numpy as np
import pytest

import entries
import hesscore as hc
from entries import BATCH, CLASSES, ENTRIES, FEATURES, WRITES_W

ERRORS = (hc.DTypeError, hc.ShapeError, hc.LabelError, hc.LayoutError, hc.OutputError)


class RaisingExporter:
    def __dlpack__(self, **_):
        raise RuntimeError("no export today")

    def __dlpack_device__(self):
        return (1, 0)


class JunkExporter(RaisingExporter):
    def __dlpack__(self, **_):
        return "not a capsule"


class DeviceExporter(RaisingExporter):
    def __dlpack_device__(self):
        return (2, 0)


def refused(f, args, entry, argument, bad, expected):
    """The call with ``bad`` raises ``expected``, and leaves everything as it was."""
    call, _ = ENTRIES[entry]
    canaries = {k: v.tobytes() for k, v in args.items()}
    bits = bad.tobytes() if isinstance(bad, np.ndarray) and bad.size < 1e6 else None
    baseline = entries.flat(f.value_and_grad(args["w"], args["x"], args["y"]))
    with pytest.raises(expected) as caught:
        call(f, {**args, argument: bad})
    error = caught.value
    assert isinstance(error, hc.Error)
    named = error.arg if error.arg in str(error) else ""
    if entry == "run" and argument == "x":  # the number of samples may be what clashes
        assert named in ("x", "y"), error
    else:
        assert argument in named, error
    assert error.expected and error.got, error
    assert {k: v.tobytes() for k, v in args.items()} == canaries
    if bits is not None:
        assert bad.tobytes() == bits
    assert entries.flat(f.value_and_grad(args["w"], args["x"], args["y"])) == baseline


def params(kinds, *arguments):
    """Every entry point and argument with every kind of bad value that applies to it."""
    return [
        pytest.param(entry, argument, kind, id=f"{entry}-{argument}-{kind}")
        for entry, argument in entries.cases(*arguments)
        for kind in kinds
    ]


# ---- dtype ----

DTYPES = {
    "int32": lambda a: a.astype(np.int32),
    "int64": lambda a: a.astype(np.int64),
    "bool": lambda a: a > 0,
    "complex": lambda a: a.astype(complex),
    "float16": lambda a: a.astype(np.float16),
    "longdouble": lambda a: a.astype(np.longdouble),
    "object": lambda a: a.astype(object),
    "str": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S8"),
    "structured": lambda a: np.zeros(a.shape, dtype=[("a", float), ("b", int)]),
    "datetime": lambda a: a.astype("datetime64[s]"),
    "big_endian": lambda a: a.astype(">f8"),
    "other_float": lambda a: a.astype(np.float32),
}
FLOATS = ("w", "x", "v", "u", "sample_weight")


@pytest.mark.parametrize(("entry", "argument", "kind"), params(DTYPES, *FLOATS))
def test_dtype(entry, argument, kind):
    if argument == "w" and kind == "other_float":
        pytest.skip("w decides the dtype")
    f, args = entries.make()
    expected = (hc.DTypeError, hc.OutputError) if argument == "w" else hc.DTypeError
    refused(f, args, entry, argument, DTYPES[kind](args[argument]), expected)


LABEL_DTYPES = [k for k in DTYPES if "int" not in k and k not in ("other_float", "big_endian")]


@pytest.mark.parametrize(("entry", "argument", "kind"), params(LABEL_DTYPES, "y"))
def test_label_dtype(entry, argument, kind):
    f, args = entries.make()
    expected = (hc.DTypeError, hc.LabelError)
    refused(f, args, entry, argument, DTYPES[kind](args["y"]), expected)


# ---- not an array ----

NOT_ARRAYS = {
    "None": lambda a: None,
    "list": lambda a: a.tolist(),
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "scalar": lambda a: 1.5,
    "string": lambda a: "array",
    "raising": lambda a: RaisingExporter(),
    "junk": lambda a: JunkExporter(),
    "frame": lambda a: pytest.importorskip("pandas").DataFrame(np.atleast_2d(a)),
}


@pytest.mark.parametrize(("entry", "argument", "kind"), params(NOT_ARRAYS))
def test_not_an_array(entry, argument, kind):
    if argument == "sample_weight" and kind == "None":
        pytest.skip("no weights is fine")
    f, args = entries.make()
    bad = NOT_ARRAYS[kind](args[argument])
    expected = (hc.DTypeError, hc.ShapeError, hc.OutputError)
    if kind in ("list", "ragged") and argument in "xy" and entry in ("hessian", "ggn"):
        expected = (*expected, hc.LabelError)
    refused(f, args, entry, argument, bad, expected)


def test_the_cause_of_a_failed_export_is_kept():
    f, args = entries.make()
    with pytest.raises(hc.DTypeError) as caught:
        f.loss(args["w"], RaisingExporter(), args["y"])
    assert "no export today" in str(caught.value.__cause__)


@pytest.mark.parametrize(("entry", "argument"), entries.cases())
def test_device_array(entry, argument):
    f, args = entries.make()
    refused(f, args, entry, argument, DeviceExporter(), (hc.DeviceError, hc.OutputError))


# ---- shape ----

SHAPES = {
    "ndim_plus_1": lambda a: a[None],
    "0-d": lambda a: a.ravel()[0].reshape(()),
    "32-d": lambda a: a.reshape((1,) * 31 + (-1,)),
    "last_plus_1": lambda a: np.concatenate([a, a[..., :1]], -1),
    "last_minus_1": lambda a: a[..., :-1].copy(),
    "empty_last": lambda a: a[..., :0].copy(),
}
BATCHED = {
    "batch_plus_1": lambda a: np.concatenate([a, a[:1]]),
    "batch_minus_1": lambda a: a[:-1].copy(),
}


@pytest.mark.parametrize(("entry", "argument", "kind"), params(SHAPES))
def test_shape(entry, argument, kind):
    if argument in "uv" and kind == "ndim_plus_1":
        pytest.skip("a stack of vectors is fine")
    f, args = entries.make()
    bad = SHAPES[kind](args[argument])
    refused(f, args, entry, argument, bad, (hc.ShapeError, hc.LabelError, hc.OutputError))


@pytest.mark.parametrize(("entry", "argument", "kind"), params(BATCHED, "y", "sample_weight", "u"))
def test_batch_mismatch(entry, argument, kind):
    f, args = entries.make()
    refused(f, args, entry, argument, BATCHED[kind](args[argument]), hc.ShapeError)


@pytest.mark.parametrize(("entry", "argument"), entries.cases("y"))
def test_no_samples_have_no_mean(entry, argument):
    f, args = entries.make()
    args = {**args, "y": args["y"][:0], "sample_weight": args["sample_weight"][:0]}
    with pytest.raises(hc.ShapeError) as caught:
        ENTRIES[entry][0](f, {**args, "x": np.zeros((0, FEATURES))})
    assert caught.value.arg in ("x", "y")


def test_no_samples_can_be_predicted():
    f, args = entries.make()
    assert f.predict(args["w"], np.zeros((0, FEATURES))).shape == (0, CLASSES)


def test_named_inputs():
    g = hc.Graph()
    a, b = g.input((2,), name="a"), g.input((3,), name="b")
    g.output(g(hc.Linear(5, 1), g.concat(a, b, axis=1)))
    f = hc.Objective(g, hc.MSELoss())
    w, one, two = np.zeros(6), np.ones((4, 2)), np.ones((4, 3))
    assert f.predict(w, {"a": one, "b": two}).shape == (4, 1)
    for bad in ({"a": one}, {"a": one, "c": two}, {"a": one, "b": two, "c": two}, one):
        with pytest.raises(hc.ShapeError, match="x"):
            f.predict(w, bad)
    for bad in ({"a": one, "b": two[:, :2]}, {"a": one, "b": two[:3]}):
        with pytest.raises(hc.ShapeError, match="b"):
            f.predict(w, bad)


# ---- labels ----

LABELS = {
    "negative": lambda y: np.where(np.arange(len(y)) == 2, -1, y),
    "too_large": lambda y: np.where(np.arange(len(y)) == 2, CLASSES, y),
    "beyond_int32": lambda y: np.where(np.arange(len(y)) == 2, 2**40 + 1, y),
    "beyond_int64": lambda y: np.where(np.arange(len(y)) == 2, 2**64 - 1, y.astype(np.uint64)),
    "float": lambda y: y.astype(float),
    "float32": lambda y: y.astype(np.float32),
    "one_hot_integers": lambda y: np.eye(CLASSES, dtype=np.int64)[y],
}


@pytest.mark.parametrize(("entry", "argument", "kind"), params(LABELS, "y"))
def test_labels(entry, argument, kind):
    f, args = entries.make()
    expected = (hc.LabelError, hc.ShapeError) if kind == "one_hot_integers" else hc.LabelError
    refused(f, args, entry, argument, LABELS[kind](args["y"]), expected)


def test_label_errors_tell_where():
    f, args = entries.make()
    y = args["y"].copy()
    y[4] = 17
    with pytest.raises(hc.LabelError, match=r"17.*4"):
        f.loss(args["w"], args["x"], y)


def test_nothing_but_ignored_labels():
    f = hc.Objective(hc.Linear(FEATURES, CLASSES), hc.CrossEntropyLoss(ignore_index=1))
    w, x = np.zeros(f.num_params), np.ones((BATCH, FEATURES))
    with pytest.raises(hc.LabelError, match="ignore"):
        f.loss(w, x, np.ones(BATCH, dtype=np.int64))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint64])
def test_every_integer_dtype_is_a_label(dtype):
    f, args = entries.make()
    point = args["w"], args["x"]
    assert f.loss(*point, args["y"].astype(dtype)) == f.loss(*point, args["y"])


# ---- values ----

VALUES = {"nan": np.nan, "inf": np.inf, "minus_inf": -np.inf}


@pytest.mark.parametrize(("entry", "argument", "kind"), params(VALUES, *FLOATS))
def test_values(entry, argument, kind):
    f, args = entries.make()
    bad = args[argument].copy()
    bad.ravel()[3] = VALUES[kind]
    refused(f, args, entry, argument, bad, hc.NonFiniteError)


WEIGHTS = {
    "negative": lambda s: np.where(np.arange(len(s)) == 2, -1.0, s),
    "all_zero": lambda s: np.zeros_like(s),
}


@pytest.mark.parametrize(("entry", "argument", "kind"), params(WEIGHTS, "sample_weight"))
def test_sample_weights(entry, argument, kind):
    f, args = entries.make()
    refused(f, args, entry, argument, WEIGHTS[kind](args[argument]), ValueError)


# ---- outputs: w of a step is written in place or not at all ----

OUTPUTS = {
    "list": lambda w: w.tolist(),
    "read_only": lambda w: _read_only(w),
    "strided": lambda w: np.repeat(w, 2)[::2],
    "reversed": lambda w: w[::-1],
    "broadcast": lambda w: np.broadcast_to(w[:1], w.shape),
    "int": lambda w: w.astype(int),
    "misaligned": lambda w: _misaligned(w),
}


def _read_only(w):
    w = w.copy()
    w.flags.writeable = False
    return w


def _misaligned(a):
    raw = np.zeros(a.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


@pytest.mark.parametrize("entry", WRITES_W)
@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs(entry, kind):
    f, args = entries.make()
    bad = OUTPUTS[kind](args["w"])
    refused(f, args, entry, "w", bad, (hc.OutputError, hc.LayoutError, hc.DTypeError))


@pytest.mark.parametrize("entry", WRITES_W)
def test_parameters_must_not_be_the_data(entry):
    f = hc.Objective(hc.Linear(2, 2, bias=False), hc.MSELoss())
    memory = np.arange(4.0)
    before = memory.tobytes()
    args = {"w": memory, "x": memory.reshape(2, 2), "y": np.ones((2, 2)), "sample_weight": None}
    with pytest.raises((hc.OutputError, hc.LayoutError)):
        ENTRIES[entry][0](f, args)
    assert memory.tobytes() == before


# ---- size ----


def test_a_view_larger_than_memory_is_refused():
    f, args = entries.make()
    huge = np.lib.stride_tricks.as_strided(np.zeros(1), shape=(2**44, FEATURES), strides=(0, 0))
    with pytest.raises((hc.OutOfMemoryError, hc.SizeError)):
        f.predict(args["w"], huge)
    assert np.isfinite(f.loss(args["w"], args["x"], args["y"]))


# ---- hyper-parameters ----

OPTIONS = [
    ("sgd", {"lr": -1.0}),
    ("sgd", {"lr": float("nan")}),
    ("sgd", {"lr": float("inf")}),
    ("sgd", {"lr": "fast"}),
    ("sgd", {"lr": None}),
    ("sgd", {"momentum": 1.0}),
    ("sgd", {"momentum": -0.1}),
    ("sgd", {"nesterov": "yes"}),
    ("sgd", {"weight_decay": -1.0}),
    ("adam", {"beta1": 1.0}),
    ("adam", {"beta2": -0.1}),
    ("adam", {"eps": 0.0}),
    ("adamw", {"weight_decay": float("nan")}),
    ("adahessian", {"samples": 0}),
    ("adahessian", {"samples": 1.5}),
    ("adahessian", {"power": 0.0}),
    ("adahesscale", {"moment": "cube"}),
    ("adahesscale_gn", {"power": -1.0}),
    ("gauss_newton", {"damping": -1.0}),
    ("gauss_newton", {"damping_rule": "none"}),
    ("gauss_newton", {"cg_iterations": 0}),
    ("gauss_newton", {"cg_rtol": -1.0}),
    ("gauss_newton", {"preconditioner": "magic"}),
]


@pytest.mark.parametrize(("method", "options"), OPTIONS, ids=str)
def test_options(method, options):
    f, _ = entries.make()
    with pytest.raises((ValueError, TypeError)) as caught:
        hc.Optimizer(f, method, **options)
    assert isinstance(caught.value, hc.Error)
    assert next(iter(options)) in str(caught.value)


def test_unknown_options_suggest_the_nearest():
    f, _ = entries.make()
    with pytest.raises(hc.OptionError, match="momentum"):
        hc.Optimizer(f, "sgd", momentun=0.9)
    with pytest.raises(hc.OptionError, match="adahesscale"):
        hc.Optimizer(f, "adahescale")
    with pytest.raises(hc.Error, match="hesscale"):
        f.diag(*[entries.make()[1][k] for k in "wxy"], kind="hescale")


@pytest.mark.parametrize("value", ["text", float("nan"), np.ones(2), None, -1.0])
def test_schedules_must_return_rates(value):
    f, args = entries.make()
    opt = hc.Optimizer(f, "adam", lr=lambda step: value)
    before = args["w"].tobytes()
    with pytest.raises((ValueError, TypeError), match="lr"):
        opt.step(args["w"], args["x"], args["y"])
    assert args["w"].tobytes() == before


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("batch_size", {"batch_size": 0}),
        ("batch_size", {"batch_size": -3}),
        ("batch_size", {"batch_size": 2.5}),
        ("epochs", {"epochs": -1}),
        ("epochs", {"epochs": "two"}),
    ],
    ids=str,
)
def test_run_options(name, options):
    f, args = entries.make()
    before = args["w"].tobytes()
    with pytest.raises((ValueError, TypeError), match=name):
        hc.Optimizer(f, "sgd").run(args["w"], args["x"], args["y"], progress=False, **options)
    assert args["w"].tobytes() == before


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rtol", {"rtol": -1.0}),
        ("rtol", {"rtol": float("nan")}),
        ("maxiter", {"maxiter": -1}),
        ("maxiter", {"maxiter": 2.5}),
        ("stop", {"stop": "soon"}),
        ("x0", {"x0": np.zeros(4)}),
        ("x0", {"x0": [0.0, 0.0]}),
    ],
    ids=str,
)
def test_solver_options(name, options):
    from scipy.sparse.linalg import aslinearoperator

    with pytest.raises((ValueError, TypeError), match=name):
        hc.cg(aslinearoperator(np.eye(2)), np.ones(2), **options)


# ---- graphs ----

BAD_LAYERS = {
    "zero_features": lambda: hc.Linear(0, 3),
    "negative_features": lambda: hc.Linear(3, -1),
    "float_features": lambda: hc.Linear(2.5, 3),
    "certain_dropout": lambda: hc.Objective(hc.Dropout(1.5), hc.MSELoss(), (2,)),
    "negative_dropout": lambda: hc.Objective(hc.Dropout(-0.1), hc.MSELoss(), (2,)),
    "nan_slope": lambda: hc.LeakyReLU(float("nan")),
    "gelu_kind": lambda: hc.GELU("guess"),
    "smoothing": lambda: hc.Objective(hc.Linear(2, 2), hc.CrossEntropyLoss(label_smoothing=1.5)),
    "class_weights": lambda: hc.Objective(hc.Linear(2, 2), hc.CrossEntropyLoss([1.0, 2.0, 3.0])),
    "negative_weights": lambda: hc.Objective(hc.Linear(2, 2), hc.CrossEntropyLoss([1.0, -2.0])),
    "nan_weights": lambda: hc.CrossEntropyLoss([1.0, float("nan")]),
    "reduction": lambda: hc.MSELoss(reduction="none"),
    "delta": lambda: hc.Objective(hc.Linear(2, 2), hc.HuberLoss(-1.0)),
    "odd_gaussian": lambda: hc.Objective(hc.Linear(2, 3), hc.GaussianNLLLoss()),
    "clash": lambda: hc.Objective(hc.Sequential(hc.Linear(2, 3), hc.Linear(4, 2)), hc.MSELoss()),
    "residual_clash": lambda: hc.Objective(hc.Residual(hc.Linear(2, 3)), hc.MSELoss(), (2,)),
    "gate_clash": lambda: hc.Objective(hc.Gate(hc.Linear(2, 3)), hc.MSELoss(), (2,)),
    "not_a_layer": lambda: hc.Sequential(hc.Linear(2, 2), "relu"),
    "class_not_object": lambda: hc.Sequential(hc.Linear(2, 2), hc.ReLU),
    "not_a_loss": lambda: hc.Objective(hc.Linear(2, 2), "mse"),
    "not_a_net": lambda: hc.Objective(lambda x: x, hc.MSELoss(), (2,)),
    "no_input_shape": lambda: hc.Objective(hc.Sequential(hc.Tanh()), hc.MSELoss()),
}


@pytest.mark.parametrize("kind", BAD_LAYERS)
def test_networks(kind):
    with pytest.raises((ValueError, TypeError)) as caught:
        BAD_LAYERS[kind]()
    assert isinstance(caught.value, hc.Error), type(caught.value)


def _dangling():
    g = hc.Graph()
    x = g.input((3,))
    g(hc.Linear(3, 2), x)
    g.output(g(hc.Linear(3, 2), x))
    return hc.Objective(g, hc.MSELoss())


def _two_inputs_one_name():
    g = hc.Graph()
    g.input((3,), name="a")
    g.input((3,), name="a")


def _no_output():
    g = hc.Graph()
    g(hc.Linear(3, 2), g.input((3,)))
    return hc.Objective(g, hc.MSELoss())


def _another_graphs_node():
    g, other = hc.Graph(), hc.Graph()
    g.input((3,))
    for _ in range(5):
        x = other.input((3,), name=f"x{_}")
    g(hc.Linear(3, 2), x)


def _shared_with_another_shape():
    g = hc.Graph()
    a, b = g.input((3,), name="a"), g.input((4,), name="b")
    layer = hc.Linear(3, 2)
    g.add(g(layer, a), g(layer, b))


def _add_shapes():
    g = hc.Graph()
    g.add(g.input((3,), name="a"), g.input((4,), name="b"))


BAD_GRAPHS = {
    f.__name__[1:]: f
    for f in (
        _dangling, _two_inputs_one_name, _no_output, _another_graphs_node,
        _shared_with_another_shape, _add_shapes,
    )
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_GRAPHS)
def test_graphs(kind):
    with pytest.raises((hc.GraphError, hc.ShapeError)):
        BAD_GRAPHS[kind]()


def test_a_graph_serves_several_objectives():
    g = hc.Graph()
    g.output(g(hc.Linear(3, 2), g.input((3,))))
    a, b = hc.Objective(g, hc.MSELoss()), hc.Objective(g, hc.CrossEntropyLoss())
    w, x = np.ones(8), np.ones((4, 3))
    np.testing.assert_array_equal(a.predict(w, x), b.predict(w, x))


def test_a_deep_chain_does_not_recurse():
    layers = [hc.Linear(2, 2), *(hc.Tanh() for _ in range(20_000)), hc.Linear(2, 1)]
    f = hc.Objective(hc.Sequential(*layers), hc.MSELoss(), input_shape=(2,))
    w = np.full(f.num_params, 0.1)
    loss, grad = f.value_and_grad(w, np.ones((1, 2)), np.ones((1, 1)))
    assert np.isfinite(loss) and np.isfinite(grad).all()


def test_unsupported_quantities_say_so():
    f, args = entries.make()
    supported = ("hesscale", "hesscale_gn", "bl89", "ggn", "ggn_mc", "hutchinson",
                 "empirical_fisher")  # fmt: skip
    for kind in supported:
        assert f.diag(args["w"], args["x"], args["y"], kind=kind).shape == args["w"].shape
    with pytest.raises(hc.Error) as caught:
        f.diag(args["w"], args["x"], args["y"], kind="nonsense")
    assert isinstance(caught.value, (ValueError, NotImplementedError))
