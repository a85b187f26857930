"""Memory layouts that are accepted give the same bits as a contiguous array."""

from __future__ import annotations

import numpy as np
import pytest

import entries
from entries import ENTRIES, WRITES_W


def strided(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


def reversed_view(a):
    return a[::-1].copy()[::-1]


def fortran(a):
    return np.asfortranarray(a)


def misaligned(a):
    raw = np.zeros(a.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def sliced(a):
    out = np.zeros(tuple(d + 2 for d in a.shape), dtype=a.dtype)
    window = tuple(slice(1, -1) for _ in a.shape)
    out[window] = a
    return out[window]


LAYOUTS = (strided, reversed_view, fortran, misaligned, read_only, sliced)


def same_bits(entry, argument, other):
    f, args = entries.make()
    call, _ = ENTRIES[entry]
    expected = entries.flat(call(f, {k: v.copy() for k, v in args.items()}))
    got = call(f, {k: v.copy() for k, v in args.items()} | {argument: other(args[argument])})
    assert entries.flat(got) == expected


READS = [(e, a) for e, a in entries.cases() if not (e in WRITES_W and a == "w")]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(("entry", "argument"), READS)
def test_layout(entry, argument, layout):
    same_bits(entry, argument, layout)


@pytest.mark.parametrize(("entry", "argument"), READS)
def test_memory_map(entry, argument, tmp_path):
    def mapped(a):
        np.save(tmp_path / "a.npy", a)
        return np.load(tmp_path / "a.npy", mmap_mode="r")

    same_bits(entry, argument, mapped)


@pytest.mark.parametrize("argument", ["w", "x", "v", "sample_weight"])
def test_broadcast(argument):
    f, args = entries.make()
    call, _ = ENTRIES["hvp"]
    row = args[argument][:1]
    view = np.broadcast_to(row, args[argument].shape)
    expected = call(f, {**args, argument: view.copy()})
    np.testing.assert_array_equal(call(f, {**args, argument: view}), expected)


@pytest.mark.parametrize(("entry", "argument"), READS)
def test_jax_arrays(entry, argument):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    same_bits(entry, argument, jax.numpy.asarray)


@pytest.mark.parametrize(("entry", "argument"), READS)
def test_torch_tensors(entry, argument):
    torch = pytest.importorskip("torch")
    same_bits(entry, argument, lambda a: torch.from_numpy(a.copy()))


def test_torch_views():
    torch = pytest.importorskip("torch")
    same_bits("hvp", "x", lambda a: torch.from_numpy(a.T.copy()).T)


def test_results_are_numpy_arrays_of_the_parameters_dtype():
    f, args = entries.make()
    for dtype in (np.float32, np.float64):
        cast = {k: v if v.dtype == np.int64 else v.astype(dtype) for k, v in args.items()}
        for entry in ("predict", "hvp", "jvp", "vjp", "diag"):
            result = ENTRIES[entry][0](f, cast)
            assert type(result) is np.ndarray and result.dtype == dtype, entry
