"""Every quantity of the engine on random networks against the dense reference.

HESSCORE_TEST_GRAPHS sets the number of fixed seeds (1500); a third as many fresh ones are added. A
failure prints its seed and the smallest problem that still fails, ready to paste.
"""

from __future__ import annotations

import os
import secrets

import numpy as np
import pytest

from oracle import Net, build, make_data, random_graph
from oracle.build import objective
from oracle.compare import EXACT_DIAGONALS, Mismatch, check
from oracle.shrink import fail_smallest, shrink

GRAPHS = int(os.environ.get("HESSCORE_TEST_GRAPHS", "1500"))


def run(seed: int, dtype: str = "float64") -> None:
    spec = random_graph(seed)
    try:
        check(spec, dtype)
    except Exception as error:  # whatever happened, look for the smallest case of it
        fail_smallest(spec, dtype, error, check, shrink)


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_fixed_graph(seed):
    run(seed)


@pytest.mark.parametrize("part", range(8))
def test_fresh_graphs(part):
    start = secrets.randbits(48)
    print("fresh seeds from", start)
    for seed in range(start, start + -(-GRAPHS // 24)):
        run(seed)


@pytest.mark.parametrize("seed", range(0, GRAPHS, 3))
def test_float32_graph(seed):
    run(seed, "float32")


@pytest.mark.parametrize("seed", range(0, GRAPHS, 5))
def test_evaluating_together_changes_no_bit(seed):
    spec = random_graph(seed)
    data = make_data(spec, Net(spec))
    f = objective(spec)
    x = data.x if len(data.x) > 1 else data.x["x"]
    kw = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    point = data.w, x, data.y
    names = ("loss", "grad", *EXACT_DIAGONALS, "ggn_mc", "hutchinson")
    together = f.evaluate(*point, names, **kw)
    assert list(together) == list(names)
    loss, grad = f.value_and_grad(*point, **kw)
    assert together["loss"] == loss == f.loss(*point, **kw)
    np.testing.assert_array_equal(together["grad"], grad)
    for kind in names[2:]:
        np.testing.assert_array_equal(together[kind], f.diag(*point, kind=kind, **kw))
        np.testing.assert_array_equal(f.evaluate(*point, (kind,), **kw)[kind], together[kind])


class Bent:
    """An objective with one method off by a hundred-millionth."""

    def __init__(self, f, method):
        self._f, self._method = f, method

    def __getattr__(self, name):
        call = getattr(self._f, name)
        if name != self._method:
            return call
        off = 1 + 1e-8

        def bent(*args, **kw):
            result = call(*args, **kw)
            if isinstance(result, dict):
                return {name: part * off for name, part in result.items()}
            return (result[0], result[1] * off) if isinstance(result, tuple) else result * off

        return bent


METHODS = ["loss", "predict", "value_and_grad", "jvp", "vjp", "hvp", "ggnvp", "fishervp", "diag",
           "per_sample_grads", "grad_moments"]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_comparison_has_teeth(monkeypatch, method):
    monkeypatch.setattr(build, "objective", lambda spec: Bent(objective(spec), method))
    caught = 0
    for seed in range(20):
        try:
            check(random_graph(seed))
        except Mismatch:
            caught += 1
    assert caught >= 18
