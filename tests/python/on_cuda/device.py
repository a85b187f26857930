"""Arguments on the device, and what their results are compared with."""

from __future__ import annotations

import cupy
import numpy as np

import entries

STAND_IN = cupy.__version__ == "stand-in"

TOLERANCE = {"float64": 1e-11, "float32": 2e-5}


def to_device(value):
    """Arrays, also in dicts and tuples, as CuPy's."""
    if isinstance(value, dict):
        return {name: to_device(v) for name, v in value.items()}
    if isinstance(value, tuple):
        return tuple(to_device(v) for v in value)
    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def make(dtype="float64"):
    """An objective and good arguments in host memory, as `entries.make`."""
    f, args = entries.make()
    return f, {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in args.items()}


def close(got, expected):
    """Results of the device are CuPy's, of the same dtype and shape, and nearly the CPU's."""
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        got, expected = tuple(got.values()), tuple(expected.values())
    if isinstance(expected, tuple):
        for g, e in zip(got, expected, strict=True):
            close(g, e)
    elif isinstance(expected, float):
        assert isinstance(got, float)
        np.testing.assert_allclose(got, expected, rtol=2e-5)
    else:
        assert isinstance(got, cupy.ndarray)
        assert got.dtype == expected.dtype and got.shape == expected.shape
        scale = np.abs(expected).max(initial=0.0)
        error = np.abs(cupy.asnumpy(got) - expected).max(initial=0.0)
        assert error <= TOLERANCE[str(expected.dtype)] * scale
