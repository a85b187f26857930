"""What papers' reproductions do with arrays, on the device as on the CPU; and tuned starts."""

from __future__ import annotations

import importlib

import cupy
import numpy as np
import pytest
from device import to_device

import hesscore as hc

seeds = importlib.import_module("hesscore.seeds")
DEVICES = [seeds.Settings(device=name, progress=False) for name in ("cpu", "cuda")]


def module(name):
    return importlib.import_module(f"hesscore.seeds.{name}")


def both(run):
    """Run on both devices; results as NumPy's."""
    host = module("settings").to_host
    return [np.asarray(host(run(settings)), dtype=np.float64) for settings in DEVICES]


def test_the_check_of_paper_000():
    report = seeds.Report("")
    module("paper000").check_diagonal(report, DEVICES[1])
    assert report.sound


def test_the_published_optimizer(rng):
    f = module("paper000").objective(11, 3)
    start = rng.uniform(-0.5, 0.5, f.num_params).astype(np.float32)
    x = {"word": rng.integers(0, 11, 40), "context": rng.integers(0, 11, (40, 5))}

    def run(settings):
        w = settings.put(start.copy())
        inputs = {name: settings.put(part) for name, part in x.items()}
        y = settings.put(np.zeros(40, np.int64))
        module("published_adam").PublishedAdam(f, lr=0.01, eps=1.0).run(
            w, inputs, y, 16, 2, 0, 0, False
        )
        return w

    a, b = both(run)
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(a - start).max() > 1e-3


def test_components(rng):
    f = hc.Objective(hc.models.mlp(5, 4, 4, 3), hc.CrossEntropyLoss())
    x, y = rng.normal(size=(12, 5)), rng.integers(0, 3, 12)

    def run(settings):
        points = module("chain_errors").draws_of(f, range(2), settings, "float64")
        at = settings.put(x), settings.put(y)
        found = module("components").measure(f, points, *at, lambda: None)
        return [found.error(name) for name in found.names]

    a, b = both(run)
    np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-14)


def test_training_from_a_start(rng):
    initialisation = module("initialisation")
    x, y = rng.normal(size=(100, 6)).astype(np.float32), rng.integers(0, 3, 100)

    def run(settings):
        data = initialisation.Digits("mnist", settings.put(x), settings.put(y), (6, 5, 3))
        f = initialisation.objective(data, hc.Tanh)
        w = initialisation.draw(f, "glorot", 0, data, settings)
        return initialisation.train(f, w, data, 0.1, settings)

    a, b = both(run)
    assert a == pytest.approx(b, rel=1e-4)


def test_tuned_starts(rng):
    f = hc.Objective(hc.models.mlp(5, 8, 3), hc.CrossEntropyLoss())
    x, y = rng.normal(size=(12, 5)), rng.integers(0, 3, 12)
    w, report = hc.tune_init(f, x, y, target=0.1, draws=2, dtype="float64")
    on_device, again = hc.tune_init(
        f, to_device(x), to_device(y), target=0.1, draws=2, dtype="float64"
    )
    assert isinstance(on_device, cupy.ndarray)
    assert again.status == report.status
    np.testing.assert_allclose(on_device.get(), w, rtol=1e-6)


@pytest.mark.parametrize("activation", [hc.Tanh, hc.ReLU])
@pytest.mark.parametrize("batch", [1, 12])
def test_estimates_of_paper_002(activation, batch):
    diagonals = module("diagonals")

    def run(settings):
        errors = diagonals.Errors()
        f, w, x, y = diagonals.random_problem((4, 6, 5, 3), activation, 12, 0, settings.xp)
        for k in range(0, 12, batch):
            at = slice(k, k + batch)
            errors.add(*diagonals.estimates(f, w, x[at], y[at], k))
        return list(errors.relative().values())

    a, b = both(run)
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


def test_the_checks_of_paper_002():
    report = seeds.Report("")
    module("paper002").check_engine(report, DEVICES[1])
    assert report.sound and len(report.checks) == 4


def test_the_checks_of_paper_003(rng):
    images = module("images").Images(
        *(DEVICES[1].put(a) for a in (rng.normal(size=(64, 6)), rng.integers(0, 10, 64)) * 2)
    )
    report = seeds.Report("")
    module("paper003").check_products(report, images, DEVICES[1])
    assert report.sound and len(report.checks) == 4


def test_runs_of_paper_003(rng):
    paper, training = module("paper003"), module("training")
    arrays = (rng.normal(size=(130, 6)), rng.integers(0, 10, 130)) * 2

    def run(settings):
        images = module("images").Images(*(settings.put(a) for a in arrays))
        found = []
        for m in paper.METHODS[:3]:
            f = paper.objective(6)
            w = paper.start(f, 0, settings)
            solver = m.method != "sgd"
            got = training.train(f, w, m.make(f), images, 64, 2, 0, settings, lambda: None, solver)
            found += [*got.losses, *got.accuracies, float(np.sum(got.iterations))]
        opt = hc.Optimizer(f, "newton", lr=0.5, damping=1.0, indefinite="plain")
        return [*found, *paper.steps(f, opt, images, 3, settings, 0)[0]]

    a, b = both(run)
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_the_checks_of_paper_004(rng):
    replicas, report = module("replicas"), seeds.Report("")
    replicas.check_quadratics(report, DEVICES[1])
    f = hc.Objective(hc.models.mlp(5, 8, 4), hc.CrossEntropyLoss())
    x, y = (DEVICES[1].put(a) for a in (rng.normal(size=(32, 5)), rng.integers(0, 4, 32)))
    replicas.check_steps(report, f, x, y, DEVICES[1])
    assert report.sound and len(report.checks) == 4


def test_runs_of_paper_004(rng):
    paper = module("paper004")
    arrays = (rng.normal(size=(24, 1, 8, 8)).astype(np.float32), rng.integers(0, 10, 24)) * 2

    def run(settings):
        images = module("images").Images(*(settings.put(a) for a in arrays))
        f = paper.convolutional(hc.Tanh, images)
        opt = paper.Method("", "paired", 2, lr=0.01).make(f)
        return paper.losses(f, opt, images, 12, 2, 0, settings, lambda: None)

    a, b = both(run)
    np.testing.assert_allclose(a, b, rtol=1e-4)
