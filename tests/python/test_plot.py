"""Plots: what they draw, and what they say about inputs they cannot draw."""

from __future__ import annotations

import doctest
import importlib
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


@pytest.mark.parametrize("name", ["history", "curvature", "spectrum", "landscape"])
def test_examples_run(name):
    module = importlib.import_module(f"hesscore.plot.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


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


def test_curvature_bars_are_shares_of_the_trace(ax):
    f = hc.Objective(hc.Sequential(hc.Linear(3, 4), hc.Tanh(), hc.Linear(4, 2)), hc.MSELoss())
    diag = np.ones(f.num_params)
    diag[:12] = -0.5
    hc.plot.curvature(f, diag, ax, style="bars")
    assert [bar.get_width() for bar in ax.patches] == [-6, 4, 8, 2]
    assert [note.get_text() for note in ax.texts] == ["-6 (-30%)", "4 (20%)", "8 (40%)", "2 (10%)"]
    assert ax.get_xscale() == "linear"
    hc.plot.curvature(f, np.zeros(f.num_params), ax, style="bars")
    ax.figure.canvas.draw()
    with pytest.raises(hc.OptionError, match="did you mean 'bars'"):
        hc.plot.curvature(f, diag, ax, style="bar")


# ---- spectra ----


def density(eigenvalues, samples=3, **options):
    return hc.spectral_density(np.diag(np.asarray(eigenvalues, float)), samples, **options)


def test_spectrum_draws_density_and_band(ax):
    s = density(np.linspace(-1, 2, 60), steps=20)
    assert hc.plot.spectrum(s, ax, label="mine") is ax
    x, expected, _ = s.density(2001)
    got = ax.lines[0].get_ydata()
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), x)
    np.testing.assert_array_equal(got[~np.isnan(got)], expected[~np.isnan(got)])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("eigenvalue", "density", "log")
    assert len(ax.collections) == 1
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["mine"]
    assert [t.get_text() for t in ax.texts] == ["-1", "2"]
    hc.plot.spectrum(density(np.linspace(0, 5, 60)), ax, label="other")
    drawn = [line for line in ax.lines if line.get_gid() is None]
    assert len({line.get_color() for line in drawn}) == 2
    ax.figure.canvas.draw()


def test_the_axis_ends_below_one_eigenvalue(ax):
    s = density(np.r_[np.zeros(999), 10.0], samples=20, steps=3)
    hc.plot.spectrum(s, ax, width=0.1)
    one = 1 / (1000 * 0.1 * np.sqrt(2 * np.pi))
    assert ax.get_ylim()[0] == pytest.approx(0.3 * one)
    assert np.nanmax(ax.lines[0].get_ydata()[ax.lines[0].get_xdata() > 9]) > 0.5 * one


def test_spectrum_of_an_operator_and_of_one_probe(ax):
    hc.plot.spectrum(np.diag(np.arange(20.0)), ax, log=False)
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] <= 0
    hc.plot.spectrum(density(np.arange(20.0), samples=1), ax)  # no band
    assert len(ax.collections) == 1
    ax.figure.canvas.draw()


def test_eigenvalues_are_drawn_by_rank(ax):
    hc.plot.spectrum(np.array([1.0, 100.0, 10.0]), ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [100, 10, 1])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("rank", "eigenvalue", "log")


@pytest.mark.parametrize("values", [[-1.0, 3.0], [0.0, 0.0], [-2.0], np.linspace(-1, 1, 500)])
def test_eigenvalues_of_any_sign(ax, values):
    hc.plot.spectrum(np.array(values), ax)
    assert ax.get_yscale() == "symlog"
    ax.figure.canvas.draw()


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_bad_eigenvalues(ax, values):
    with pytest.raises(hc.OptionError, match="spectrum: expected finite eigenvalues"):
        hc.plot.spectrum(np.array(values), ax)


# ---- landscapes ----


@pytest.fixture
def bowl():
    """A loss that is quadratic in w: the mean of (W x - y)^2."""
    f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
    rng = np.random.default_rng(0)
    return f, rng.normal(size=8), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))


def test_landscape_on_a_line_is_the_loss(ax, bowl):
    f, w, x, y = bowl
    d = np.arange(8.0)
    assert hc.plot.landscape(f, w, x, y, directions=[d], extent=0.5, points=5, ax=ax) is ax
    t, values = ax.lines[0].get_data()
    np.testing.assert_allclose(t, [-0.5, -0.25, 0, 0.25, 0.5])
    np.testing.assert_allclose(values, [f.loss(w + s * d, x, y) for s in t])
    assert ax.lines[1].get_ydata()[0] == pytest.approx(f.loss(w, x, y))


def test_landscape_on_a_plane_is_the_loss(bowl):
    from hesscore.plot._planes import losses

    f, w, x, y = bowl
    d, e = np.eye(8)[2], np.arange(8.0)
    t = np.linspace(-1, 1, 5)
    z = losses(f, w, [(x, y)], [d, e], [t, t], {})
    assert z[1, 3] == pytest.approx(f.loss(w + t[1] * d + t[3] * e, x, y))
    batches = losses(f, w, [(x[:3], y[:3]), (x[3:], y[3:])], [d, e], [t, t], {})
    np.testing.assert_allclose(batches, z, rtol=1e-12)


@pytest.mark.parametrize("kind", ["filter", "orthogonal"])
def test_contours_and_surfaces(bowl, kind):
    from matplotlib.figure import Figure

    ax = hc.plot.landscape(*bowl, directions=kind, points=7, ax=Figure().subplots())
    assert ax.get_aspect() == 1.0
    assert ax.get_xlabel().startswith("first direction, ")
    assert len(ax.figure.axes) == 2  # with a colour bar
    assert ax.figure.axes[1].get_ylabel() == "loss"
    ax.figure.canvas.draw()
    ax = Figure().add_subplot(projection="3d")
    hc.plot.landscape(*bowl, directions=kind, points=7, style="surface", log=True, ax=ax)
    assert ax.get_zlabel() == "loss"
    ax.figure.canvas.draw()


def test_directions_have_the_lengths_of_the_weights():
    from hesscore.plot._planes import directions

    f = hc.Objective(hc.models.mlp(3, 4, 2), hc.MSELoss())
    w = f.init(dtype="float32")
    d, e = directions(f, w, "filter", 2, 0)
    assert d.dtype == np.float32
    for name, view in f.views(d).items():
        own = f.views(w)[name]
        if own.ndim == 1:
            assert not view.any()
        else:
            lengths = [np.linalg.norm(v, axis=1) for v in (view, own)]
            np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert not np.allclose(d, e)
    d, e = directions(f, w, "orthogonal", 2, 0)
    size = np.linalg.norm(w)
    np.testing.assert_allclose([np.linalg.norm(d), np.linalg.norm(e)], size, rtol=1e-5)
    assert abs(d @ e) < 1e-5 * size**2
    again = directions(f, w, "orthogonal", 2, 0)
    np.testing.assert_array_equal(again[0], d)


def test_landscape_of_a_loss_that_overflows(ax):
    f = hc.Objective(hc.Linear(1, 1), hc.PoissonNLLLoss())
    x, y = np.ones((2, 1)), np.ones((2, 1))
    hc.plot.landscape(f, np.ones(2), x, y, directions=[np.full(2, 800.0)], points=9, ax=ax)
    values = ax.lines[0].get_ydata()
    assert np.isnan(values[-1]) and np.isfinite(values[4])
    hc.plot.landscape(f, np.ones(2), x, y, directions=np.full((2, 2), 800.0), points=9, ax=ax)
    ax.figure.canvas.draw()


def test_a_flat_landscape(ax):
    f = hc.Objective(hc.Sequential(hc.Linear(3, 2), hc.ReLU()), hc.MSELoss())
    w = np.r_[np.zeros(6), -1, -1]
    hc.plot.landscape(f, w, np.zeros((2, 3)), np.ones((2, 2)), directions=np.eye(8)[:2], ax=ax)
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dimensions": 3}, hc.OptionError, "dimensions: expected 1 or 2"),
        ({"style": "contours"}, hc.OptionError, "did you mean 'contour'"),
        ({"directions": "filters"}, hc.OptionError, "did you mean 'filter'"),
        ({"directions": [np.ones(7)]}, hc.ShapeError, r"directions: .* \(8,\)"),
        ({"directions": [np.zeros(8)]}, hc.NonFiniteError, "directions: expected finite"),
        ({"extent": 0}, hc.OptionError, "extent: expected a positive number"),
        ({"points": 2}, hc.OptionError, "points: .* >= 3"),
        ({"style": "surface", "points": 3}, hc.OptionError, 'projection="3d"'),
    ],
)
def test_bad_landscapes(ax, bowl, options, error, message):
    with pytest.raises(error, match=message):
        hc.plot.landscape(*bowl, **options, ax=ax)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install \"hesscore\[demo\]\""):
        hc.plot.history({"a": log(5)})
