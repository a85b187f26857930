"""Initial parameters by the Hessian: variances, norms that are kept, curvatures that become one."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

N, M = 300, 200


def variance(*behind):
    net = hc.Sequential(hc.Linear(N, M), *behind)
    f = hc.Objective(net, hc.MSELoss())
    w = f.views(f.init(3, "hessian", "float64"))
    assert not w["0.bias"].any()
    return w["0.weight"].var()


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ([], 2),
        ([hc.Tanh()], 2),
        ([hc.ReLU()], 4),
        ([hc.Sigmoid()], 32),
        ([hc.SiLU()], 8),
        ([hc.LeakyReLU(0.1)], 4 / 1.01),
        ([hc.Square()], 2),  # without a slope at zero: as if there were nothing
        ([hc.Dropout(0.2)], 2 * 0.8),
        ([hc.ReLU(), hc.Dropout(0.5)], 4 * 0.5),
        ([hc.Dropout(0.5), hc.Tanh()], 2 * 0.5),
        ([hc.Tanh(), hc.ReLU(), hc.Dropout(0.5)], 2),
        ([hc.Linear(M, M), hc.ReLU(), hc.Dropout(0.5)], 2),
    ],
)
def test_variances(behind, expected):
    error = np.sqrt(2 / (N * M))  # relative, of one standard deviation
    assert variance(*behind) * (N + M) == pytest.approx(expected, rel=5 * error)


def test_convolutions_count_their_windows():
    net = hc.Sequential(hc.Conv2d(16, 32, 3), hc.ReLU())
    f = hc.Objective(net, hc.MSELoss(), input_shape=(16, 8, 8))
    found = f.views(f.init(0, "hessian", "float64"))["0.weight"].var()
    assert found == pytest.approx(4 / (9 * (16 + 32)), rel=5 * np.sqrt(2 / (16 * 32 * 9)))


@pytest.mark.statistics
@pytest.mark.parametrize("keep", [1.0, 0.6])
@pytest.mark.parametrize("activation", [hc.ReLU, hc.Tanh, hc.Identity])
def test_norms_are_kept_both_ways(activation, keep, rng):
    """Square layers: |J v| / |v| and |J' u| / |u| are one in the mean, at any depth."""
    width, depth, draws = 64, 6, 200
    layers = []
    for _ in range(depth):
        layers += [hc.Linear(width, width), activation(), hc.Dropout(1 - keep)]
    f = hc.Objective(hc.Sequential(*layers), hc.MSELoss())
    gains = []
    for seed in range(draws):
        w = f.init(seed, "hessian", "float64")
        x = 1e-3 * rng.normal(size=(1, width))
        z = f.predict(w, x, train=(seed, 0))
        gains.append(np.sum(z**2) / np.sum(x**2))
    error = np.std(gains) / np.sqrt(draws)
    assert abs(np.mean(gains) - 1) < 5 * error
    assert error < 0.2


def forms_by_differences(f, w, x, y):
    """|g' H g| / |g|^2 of each weight, from gradients alone."""
    g = f.value_and_grad(w, x, y)[1]
    found = {}
    for name, (first, shape) in f.layout.items():
        if len(shape) < 2:
            continue
        v = np.zeros_like(g)
        part = slice(first, first + int(np.prod(shape)))
        v[part] = g[part]
        step = 1e-5 / np.linalg.norm(v)
        ends = [f.value_and_grad(w + s * step * v, x, y)[1] for s in (1, -1)]
        found[name] = abs(v @ (ends[0] - ends[1])) / (2 * step) / (v @ v)
    return found


def random_net(rng):
    activation = rng.choice([hc.Tanh, hc.ReLU, hc.LeakyReLU, hc.GELU])
    widths = rng.integers(4, 24, size=rng.integers(2, 5))
    sizes = [int(rng.integers(3, 12)), *map(int, widths), 4]
    return hc.models.mlp(*sizes, activation=activation), sizes[0]


@pytest.mark.parametrize("seed", range(12))
def test_forms_reach_the_target_on_random_networks(seed):
    rng = np.random.default_rng(seed)
    net, width = random_net(rng)
    f = hc.Objective(net, hc.CrossEntropyLoss())
    x, y = rng.normal(size=(50, width)), rng.integers(0, 4, 50)
    w, report = hc.tune_init(f, x, y, seed=seed, target=0.1, draws=5, dtype="float64")
    assert report.status == "converged", report
    found = []
    for k in range(5):
        start = f.views(f.init(seed + k, "hessian", "float64"))
        scaled = {n: v * report.scales.get(n, 1) for n, v in start.items()}
        found.append(forms_by_differences(f, f.flatten(scaled), x, y))
        if k == 0:
            np.testing.assert_allclose(w, f.flatten(scaled), rtol=1e-14)
    for name, form in report.forms.items():
        measured = np.median([one[name] for one in found])
        assert form == pytest.approx(measured, rel=1e-4)
        assert abs(np.log(measured / 0.1)) < np.log(1.06)


def test_convolutions_and_another_target(rng):
    net = hc.Sequential(
        *(hc.Conv2d(1, 4, 3), hc.Tanh(), hc.AvgPool2d(2), hc.Conv2d(4, 6, 3), hc.Tanh()),
        *(hc.Flatten(), hc.Linear(6, 3)),
    )
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(1, 8, 8))
    x, y = rng.normal(size=(40, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 40)
    w, report = hc.tune_init(f, x, y, target=0.03)
    assert w.dtype == np.float32
    assert report.status == "converged", report
    assert all(abs(h / 0.03 - 1) < 0.051 for h in report.forms.values())
    again = hc.tune_init(f, x, y, target=0.03)[0]
    assert np.array_equal(w, again)


def test_what_cannot_be_reached_is_said(rng):
    f = hc.Objective(hc.models.mlp(3, 5, 2), hc.CrossEntropyLoss())
    x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 2, 20)
    w, report = hc.tune_init(f, x, y, maxiter=0)
    assert (report.status, report.iterations) == ("maxiter", 0)
    assert np.array_equal(w, f.init(0, "hessian"))
    assert "farthest from 1 is" in report.message
    # Softplus is not zero at zero: the last layer's inputs do not shrink, nor does its curvature.
    f = hc.Objective(hc.models.mlp(3, 50, 2, activation=hc.Softplus), hc.CrossEntropyLoss())
    w, report = hc.tune_init(f, x, y, target=1e-3)
    assert report.status == "stalled"
    assert np.isfinite(w).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [({"target": 0}, "target"), ({"rtol": -1}, "rtol"), ({"draws": 0}, "draws")],
)
def test_bad_options(options, match, rng):
    f = hc.Objective(hc.models.mlp(3, 5, 2), hc.CrossEntropyLoss())
    x, y = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    with pytest.raises(hc.OptionError, match=match):
        hc.tune_init(f, x, y, **options)
    one = hc.Objective(hc.Linear(3, 2), hc.CrossEntropyLoss())
    with pytest.raises(hc.OptionError, match="two weights or more"):
        hc.tune_init(one, x, y)
