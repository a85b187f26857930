"""`f.memory`: what it tells before a step is within ten percent of what the step then takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hesscore as hc
from peak_memory import PROBLEMS, QUANTITIES

NETS = [name for name in PROBLEMS if name != "wide window"]
CASES = [(name, "+".join(q)) for name in NETS for q in QUANTITIES]


@pytest.fixture(scope="module")
def measured():
    """All measurements, from one fresh interpreter."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not tell the peak of a process")
    script = Path(__file__).with_name("peak_memory.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["name"], row["of"]): row for row in rows}


@pytest.mark.parametrize(("name", "of"), CASES)
def test_told_is_measured(measured, name, of):
    row = measured[name, of]
    assert row["peak"] == pytest.approx(row["told"], rel=0.1)


@pytest.mark.parametrize("of", ["loss+grad", "grad+hesscale", "grad+ggn_mc"])
def test_inputs_are_not_unfolded(measured, of):
    row = measured["wide window", of]
    assert row["peak"] < 12 * row["x"]  # one layer's patches are 121 times as large


def small():
    net = hc.Sequential(hc.Linear(6, 30), hc.Tanh(), hc.Linear(30, 4))
    return hc.Objective(net, hc.CrossEntropyLoss())


@pytest.mark.parametrize("name", ["hvp", "ggnvp", "fishervp", "jvp", "vjp"])
def test_products_are_told_too(name):
    f = small()
    assert f.memory(200, (name,)) > 4 * f.num_params
    both = f.memory(200, ("loss", "grad", name))
    assert both > f.memory(200, ("loss", "grad")) and both > f.memory(200, (name,))


def test_memory_grows_with_all_that_is_asked_for():
    f = small()
    grad, double = f.memory(100), f.memory(100, dtype="float64")
    assert 1.5 * grad < double <= 2 * grad
    assert grad < f.memory(100, ("grad", "hesscale")) < f.memory(100, ("grad", "hesscale", "bl89"))
    assert f.memory(100, "ggn_mc") < f.memory(100, "ggn_mc", samples=5)
    assert f.memory(1000) > 5 * grad


def test_bad_arguments_are_named():
    f = small()
    with pytest.raises(hc.OptionError, match=r"quantities.*fisher"):
        f.memory(3, ("fisher",))
    for bad in (0, -1, 2.5, "1 GB"):
        with pytest.raises(hc.OptionError, match="max_memory"):
            f.memory(3, ("hessian",), max_memory=bad)
    with pytest.raises(hc.OptionError, match="batch"):
        f.memory(0)
    with pytest.raises(hc.DTypeError, match="dtype"):
        f.memory(3, dtype=np.int64)
    norm = hc.Objective(hc.Sequential(hc.Linear(3, 3), hc.BatchNorm1d(3)), hc.MSELoss())
    assert norm.memory(3, ("ggn",)) > 0
    with pytest.raises(hc.UnsupportedError, match=r"BatchNorm1d\(3\) '1'"):
        norm.memory(3, ("ggn",), train=True)
