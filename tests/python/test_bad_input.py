"""Bad input: a typed error that names the argument, nothing written, and the engine as before."""

from __future__ import annotations

import numpy as np
import pytest

import entries
import hesscore as hc
from entries import BATCH, CLASSES, ENTRIES, FEATURES, WRITES_W


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
