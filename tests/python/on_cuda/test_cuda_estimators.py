"""Estimators on the device: the same probes as on the CPU, so nearly the same numbers."""

from __future__ import annotations

import cupy
import numpy as np
import pytest
from device import TOLERANCE, make, to_device

import hesscore as hc


def operators(dtype, kind="ggn"):
    f, args = make(dtype)
    point = args["w"], args["x"], args["y"]
    return getattr(f, kind)(*point), getattr(f, kind)(*to_device(point))


def near(got, expected, dtype):
    for name in ("value", "standard_error"):
        g, e = getattr(got, name), getattr(expected, name)
        if isinstance(e, np.ndarray):
            assert isinstance(g, cupy.ndarray) and g.dtype == e.dtype
            g = g.get()
        scale = np.abs(expected.value).max()
        np.testing.assert_allclose(g, e, atol=50 * TOLERANCE[str(dtype)] * scale, rtol=0)
    assert (got.samples, got.products) == (expected.samples, expected.products)


def test_probes_are_those_of_the_cpu(dtype):
    for seed, n, first, count in ((0, 1, 0, 1), (2**64 - 1, 1000, 5, 7), (3, 4097, 2**40, 2)):
        host = hc._core.probes(-1, dtype.name, seed).rows(n, first, count)
        device = hc._core.probes(0, dtype.name, seed).rows(n, first, count)
        assert isinstance(device, cupy.ndarray)
        np.testing.assert_array_equal(device.get(), host)


@pytest.mark.parametrize("method", ["hutchinson", "hutchpp", "xtrace"])
def test_traces(method, dtype):
    A, B = operators(dtype)
    near(hc.trace(B, 24, method, seed=3), hc.trace(A, 24, method, seed=3), dtype)
    near(B.trace(9, seed=1), A.trace(9, seed=1), dtype)


@pytest.mark.parametrize("method", ["hutchinson", "xdiag"])
def test_diagonals(method, dtype):
    A, B = operators(dtype, "hessian")
    near(hc.diagonal(B, 24, method), hc.diagonal(A, 24, method), dtype)


def test_spectral_density(dtype):
    A, B = operators(dtype)
    s, t = (hc.spectral_density(x, samples=3, steps=6, seed=1) for x in (A, B))
    scale = np.nanmax(np.abs(s.nodes))
    tolerance = 1e3 * TOLERANCE[str(dtype)]
    np.testing.assert_allclose(t.extent, s.extent, atol=tolerance * scale)
    np.testing.assert_allclose(float(t.moment(2)), float(s.moment(2)), rtol=tolerance)
    assert isinstance(t.nodes, np.ndarray) and t.products == s.products


def test_norms_matrices_and_compositions(dtype):
    A, B = operators(dtype)
    near(hc.frobenius_norm(B, 10), hc.frobenius_norm(A, 10), dtype)
    near(hc.trace(to_device(A.dense()), 10), hc.trace(A.dense(), 10), dtype)
    near(hc.trace(B + B, 10), hc.trace(A + A, 10), dtype)
