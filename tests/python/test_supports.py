"""`f.supports()` and what happens: each quantity on each layer runs or is refused as it says."""

from __future__ import annotations

import re

import numpy as np
import pytest

import hesscore as hc
from hesscore._parameters import diag_kinds

N = 3
CLASSES = [c for c in (getattr(hc, name) for name in sorted(hc.__all__)) if isinstance(c, type)]
PLAIN = ["predict", "loss", "grad", "jvp", "vjp", "hvp", "ggnvp", "fishervp"]
QUANTITIES = [*PLAIN, *diag_kinds, "per_sample_grads", "grad_moments", "kron"]
IMAGE, SERIES, VECTOR, TOKENS = (2, 5, 6), (2, 8), (6,), (4,)

# A layer of every class behind one with parameters, so that all its passes are needed. The stems
# keep the shapes.
STEMS = {
    IMAGE: lambda: hc.Conv2d(2, 2, 3, padding=1),
    SERIES: lambda: hc.Conv1d(2, 2, 3, padding=1),
    VECTOR: lambda: hc.Linear(6, 6),
}
LAYERS = [
    (IMAGE, lambda: [
        hc.Conv2d(2, 4, 3, stride=2, groups=2), hc.ConvTranspose2d(2, 2, 3, stride=2),
        hc.MaxPool2d(2), hc.AvgPool2d(2, ceil_mode=True), hc.AdaptiveAvgPool2d(2),
        hc.AdaptiveMaxPool2d(2), hc.GlobalAvgPool2d(), hc.BatchNorm2d(2),
        hc.BatchNorm2d(2, affine=False, track_running_stats=False), hc.InstanceNorm2d(2),
        hc.GroupNorm(1, 2), hc.ZeroPad2d((1, -1, 0, 2)), hc.Upsample(scale_factor=2),
        hc.SqueezeExcite(2, 1), hc.Flatten(), hc.Slice(3, 1, step=2),
        hc.Residual(hc.Conv2d(2, 3, 1), shortcut=hc.Conv2d(2, 3, 1)),
        hc.Gate(hc.GlobalAvgPool2d(), hc.Sigmoid()), hc.Concat(hc.Identity(), hc.Conv2d(2, 1, 1)),
    ]),
    (SERIES, lambda: [
        hc.Conv1d(2, 3, 3, dilation=2), hc.ConvTranspose1d(2, 3, 2, stride=2), hc.MaxPool1d(3, 2),
        hc.AvgPool1d(2), hc.AdaptiveAvgPool1d(3), hc.AdaptiveMaxPool1d(3), hc.GlobalAvgPool1d(),
        hc.BatchNorm1d(2), hc.InstanceNorm1d(2), hc.ZeroPad1d(1), hc.Reshape(4, 4),
        hc.Unflatten(2, (2, 4)),
    ]),
    (VECTOR, lambda: [
        hc.Linear(6, 3), hc.BatchNorm1d(6), hc.BatchNorm1d(6, track_running_stats=False),
        hc.LayerNorm(6), hc.RMSNorm(6), hc.Dropout(0.3), hc.Identity(),
        hc.Parallel(hc.Identity(), hc.Linear(6, 6)),
        hc.Sequential(hc.Linear(6, 4), hc.BatchNorm1d(4), hc.Tanh(), hc.BatchNorm1d(4)),
        *(c() for c in CLASSES if issubclass(c, hc.nn.Activation)),
    ]),
]  # fmt: skip
CASES = [(shape, layer) for shape, make in LAYERS for layer in make()]


def run(f, name, w, x, y, train):
    """The quantity, whatever call gives it; the shape that it should have."""
    v = np.ones_like(w)
    if name in ("predict", "jvp"):
        z = f.predict(w, x, train=train) if name == "predict" else f.jvp(w, x, v, train=train)
        return z, y.shape
    if name == "vjp":
        return f.vjp(w, x, np.ones_like(y), train=train), w.shape
    if name in ("hvp", "ggnvp", "fishervp"):
        return getattr(f, name)(w, x, y, v, train=train), w.shape
    if name == "kron":
        return f.kron(w, x, y, train=train).diagonal(), w.shape
    result = f.evaluate(w, x, y, (name,), train=train)[name]
    if name == "grad_moments":
        return np.concatenate(list(result.values())), (3 * len(w) + N,)
    shapes = {"loss": (), "per_sample_grads": (N, len(w))}
    return np.asarray(result), shapes.get(name, w.shape)


def check(f, x, rng):
    rows = f.supports()
    assert all(set(row["supports"]) <= set(QUANTITIES) for row in rows)
    w = f.init(dtype="float64") + 0.1 * rng.normal(size=f.num_params)
    y = rng.normal(size=(N, *f.output_shape))
    for train, column in (False, "supports"), (True, "supports_training"):
        for name in QUANTITIES:
            lacking = [row for row in rows if name not in row[column]]
            if not lacking:
                value, shape = run(f, name, w, x, y, train)
                assert value.shape == shape and np.isfinite(value).all(), (name, train)
                continue
            with pytest.raises(hc.UnsupportedError) as caught:
                run(f, name, w, x, y, train)
            named = [f"{row['layer']} '{row['name']}'" for row in lacking]
            assert all(text in str(caught.value) for text in named), (name, train)
            assert len(re.findall("BatchNorm", str(caught.value))) == len(named)


@pytest.mark.parametrize(("shape", "layer"), CASES, ids=lambda c: str(c)[:40])
def test_every_quantity_runs_or_is_refused_as_the_table_says(shape, layer, rng):
    f = hc.Objective(hc.Sequential(STEMS[shape](), layer), hc.MSELoss(), input_shape=shape)
    check(f, rng.normal(size=(N, *shape)), rng)
    # without parameters before it
    f = hc.Objective(hc.Sequential(layer, hc.Flatten()), hc.MSELoss(), input_shape=shape)
    check(f, rng.normal(size=(N, *shape)), rng)


def test_embeddings_too(rng):
    net = hc.Sequential(hc.Embedding(5, 3, padding_idx=1), hc.BatchNorm1d(4), hc.Flatten())
    f = hc.Objective(net, hc.MSELoss(), input_shape=TOKENS)
    check(f, rng.integers(0, 5, size=(N, *TOKENS)), rng)


def test_every_class_is_among_these():
    def inside(layer):
        yield type(layer)
        for part in [*getattr(layer, "layers", ()), *getattr(layer, "branches", ())]:
            yield from inside(part)

    layers = {c for c in CLASSES if issubclass(c, hc.nn.Layer)}
    tested = {c for _, layer in CASES for c in inside(layer)} | {hc.Embedding}
    assert layers - tested == set()


def test_the_table_knows_every_quantity():
    row = hc.Objective(hc.Linear(2, 2), hc.MSELoss()).supports()[-1]
    assert sorted(row["supports"]) == sorted(QUANTITIES)
    assert sorted(row["supports_training"]) == sorted(QUANTITIES)


def test_norms_that_no_parameter_reaches_couple_no_gradients(rng):
    net = hc.Sequential(hc.BatchNorm1d(6, affine=False), hc.Linear(6, 2))
    f = hc.Objective(net, hc.MSELoss(), input_shape=VECTOR)
    assert all("ggn" in row["supports_training"] for row in f.supports())
    w = rng.normal(size=f.num_params)
    x, y = rng.normal(size=(N, 6)), rng.normal(size=(N, 2))
    dense = f.ggn(w, x, y, train=True).dense()
    diagonal = f.diag(w, x, y, kind="ggn", train=True)
    np.testing.assert_allclose(diagonal, np.diag(dense), rtol=1e-12)
