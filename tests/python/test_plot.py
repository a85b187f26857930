"""Plots: what they draw, and what they say about inputs they cannot draw."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import hesscore as hc

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture
def ax():
    from matplotlib.figure import Figure

    return Figure().subplots()


def log(n):
    steps = np.arange(n)
    return {"step": steps, "seconds": 1e-3 * (steps + 1), "loss": np.exp(-steps / n)}


def test_history_draws_each_run(ax):
    logs = {"a": log(20), "b": log(50)}
    assert hc.plot.history(logs, ax=ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), logs["b"]["loss"])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "loss", "log")


def test_history_by_seconds_on_a_linear_axis(ax):
    hc.plot.history({"a": log(20)}, by="seconds", ax=ax, log=False)
    assert (ax.get_xlabel(), ax.get_yscale()) == ("time in seconds", "linear")
    np.testing.assert_allclose(ax.lines[0].get_xdata()[0], 1e-3)


def test_long_series_are_smoothed_up_to_their_ends(ax):
    steps = np.arange(400)
    wave = 1 + 0.5 * (-1.0) ** steps
    hc.plot.history({"a": {"step": steps, "loss": wave}}, ax=ax)
    raw, smooth = (line.get_ydata() for line in ax.lines)
    np.testing.assert_array_equal(raw, wave)
    assert (smooth[0], smooth[-1]) == (wave[0], wave[-1])
    np.testing.assert_allclose(smooth[10:-10], 1, atol=0.05)


def test_straight_lines_stay_straight(ax):
    steps = np.arange(1000.0)
    hc.plot.history({"a": {"step": steps, "loss": 1 + steps}}, ax=ax)
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), 1 + steps, rtol=1e-12)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"step": [0, 1]}, "'loss'"),
        ({"loss": [0, 1]}, "'step'"),
        ({"step": [0, 1], "loss": [1.0]}, "2"),
        ({"step": [[0]], "loss": [[1.0]]}, "numbers"),
    ],
)
def test_bad_history(ax, run, message):
    with pytest.raises(hc.OptionError, match=message) as caught:
        hc.plot.history({"mine": run}, ax=ax)
    assert caught.value.arg == "logs['mine']"


def test_no_runs(ax):
    hc.plot.history({}, ax=ax)
    assert not ax.lines


def test_curvature_has_a_row_for_each_tensor(ax):
    f = hc.Objective(hc.Sequential(hc.Linear(3, 4), hc.Tanh(), hc.Linear(4, 2)), hc.MSELoss())
    diag = np.linspace(0.1, 1, f.num_params)
    diag[:12] *= -1  # the first weight
    diag[-1] = 0
    assert hc.plot.curvature(f, diag, ax) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(f.layout)
    assert [note.get_text() for note in ax.texts] == ["100% negative", "", "", "50% negligible"]
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize("diag", [np.zeros(26), np.full(26, 1e-12), np.zeros(26, np.float32)])
def test_curvature_without_structure(ax, diag):
    f = hc.Objective(hc.Sequential(hc.Linear(3, 4), hc.Tanh(), hc.Linear(4, 2)), hc.MSELoss())
    hc.plot.curvature(f, diag, ax)
    ax.figure.canvas.draw()


def test_curvature_needs_every_parameter(ax):
    f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
    with pytest.raises(hc.OptionError, match=r"\(8,\)") as caught:
        hc.plot.curvature(f, np.ones(7), ax)
    assert caught.value.arg == "diag"


def test_curvature_must_be_finite(ax):
    f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
    with pytest.raises(hc.OptionError, match="finite"):
        hc.plot.curvature(f, np.full(8, np.nan), ax)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install \"hesscore\[demo\]\""):
        hc.plot.history({"a": log(5)})
