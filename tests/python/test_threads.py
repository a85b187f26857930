"""Python threads that share an operator: the engine works without the GIL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hesscore as hc
import problems


@pytest.fixture(scope="module")
def shared():
    f = problems.mlp(40, 60, 10)
    w, x, y = problems.batch(f, 64, 40, classes=10)
    return f.ggn(w, x, y), np.random.default_rng(1).normal(size=(4, f.num_params))


def test_products_of_one_operator(shared):
    A, vs = shared
    jobs = [v for v in vs for _ in range(50)]
    expected = [A @ v for v in jobs]
    with ThreadPoolExecutor(4) as pool:
        for got, product in zip(pool.map(lambda v: A @ v, jobs), expected, strict=True):
            np.testing.assert_array_equal(got, product)


def test_solves_with_one_operator(shared):
    A, vs = shared
    B = A + 0.1 * hc.identity(A.shape[0])
    M = np.full(A.shape[0], 2.0)

    def solve(v):
        return hc.cg(B, v, M=M, maxiter=15)[0]

    expected = [solve(v) for v in vs]
    with ThreadPoolExecutor(4) as pool:
        for got, x in zip(pool.map(solve, vs), expected, strict=True):
            np.testing.assert_array_equal(got, x)
