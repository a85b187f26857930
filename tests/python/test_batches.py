"""Operators over many batches: those of all samples together, however the batches come."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems
from oracle import Reference, random_graph
from oracle.build import objective
from oracle.compare import relative_error

KINDS = ("hessian", "ggn", "fisher")


def parts(n, sizes=(3, 1, 5)):
    """Slices of sizes that repeat, over n samples."""
    first, k, slices = 0, 0, []
    while first < n:
        slices.append(slice(first, min(n, first + sizes[k % len(sizes)])))
        first, k = slices[-1].stop, k + 1
    return slices


class Loader:
    """Makes its batches anew each time, as loaders do."""

    def __init__(self, x, y, slices):
        self.x, self.y, self.slices = x, y, slices
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        for s in self.slices:
            yield [self.x[s].copy(), self.y[s].copy()]


@pytest.fixture(scope="module", params=["mean", "sum"])
def problem(request):
    loss = hc.CrossEntropyLoss(reduction=request.param)
    f = problems.mlp(4, 6, 3, loss=loss)
    return f, problems.batch(f, 14, 4, classes=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_memory", [0, 9000, 1 << 30])
def test_lists_of_batches(problem, kind, max_memory):
    f, (w, x, y) = problem
    slices = parts(len(x))
    exact = getattr(f, kind)(w, x, y).dense()
    xs, ys = [x[s] for s in slices], [y[s] for s in slices]
    v = np.random.default_rng(0).normal(size=(f.num_params, 3))
    for data in ((xs, ys), (tuple(xs), ys), (list(zip(xs, ys, strict=True)), None)):
        a = getattr(f, kind)(w, *data, max_memory=max_memory)
        for _ in range(3):  # the first product linearises
            np.testing.assert_allclose(a @ v[:, 0], exact @ v[:, 0], rtol=0, atol=1e-13)
            np.testing.assert_allclose(a @ v, exact @ v, rtol=0, atol=1e-13)
        np.testing.assert_allclose(a.dense(), exact, rtol=0, atol=1e-13)


def test_however_they_come(problem):
    f, (w, x, y) = problem
    slices = parts(len(x))
    exact = f.hessian(w, x, y).dense()

    def pairs():
        return ((x[s], y[s]) for s in slices)

    loader = Loader(x, y, slices)
    for data in (
        pairs, pairs(), list(pairs()), loader, map(tuple, pairs()), [(*p, None) for p in pairs()],
    ):  # fmt: skip
        a = f.hessian(w, data)
        for _ in range(2):
            np.testing.assert_allclose(a.dense(), exact, rtol=0, atol=1e-13)
    assert loader.passes > 2
    several = (x[s] for s in slices), (y[s] for s in slices)
    np.testing.assert_allclose(f.hessian(w, *several).dense(), exact, rtol=0, atol=1e-13)
    mixed = Loader(x, x, slices)  # two arrays at a time are no batch of x
    with pytest.raises(hc.DTypeError, match="x: expected"):
        f.hessian(w, mixed, [y[s] for s in slices]) @ w


@pytest.mark.parametrize("seed", range(41_000, 41_020))
def test_random_graphs_with_weights(seed):
    spec = random_graph(seed)
    reference = Reference(spec)
    data, f = reference.data, objective(spec)
    n = len(data.y)
    if spec.loss.get("ignore_index") is not None or n < 2:
        pytest.skip("a part may have no labels")
    slices = [slice(0, 1), slice(1, n)]
    xs = [{k: v[s] for k, v in data.x.items()} for s in slices]
    xs = xs if len(data.x) > 1 else [x["x"] for x in xs]
    weight = data.sample_weight
    if weight is not None and any(weight[s].sum() == 0 for s in slices):
        pytest.skip("a part has no weight")
    weights = None if weight is None else [weight[s] for s in slices]
    ys = [data.y[s] for s in slices]
    scale = float(np.abs(reference.hessian).sum())
    for make, exact in (
        (f.hessian, reference.hessian), (f.ggn, reference.ggn), (f.fisher, reference.fisher),
    ):  # fmt: skip
        a = make(data.w, xs, ys, sample_weight=weights)
        assert relative_error(a.dense(), exact, scale) <= 1e-10


def test_class_weights_and_ignored_labels():
    loss = hc.CrossEntropyLoss(weight=[0.5, 2.0, 1.0], ignore_index=7)
    f = problems.mlp(4, 6, 3, loss=loss)
    w, x, y = problems.batch(f, 14, 4, classes=3)
    y[[0, 4, 5]] = 7
    slices = parts(len(x))
    xs, ys = [x[s] for s in slices], [y[s] for s in slices]
    exact = f.hessian(w, x, y)
    a = f.hessian(w, xs, ys)
    np.testing.assert_allclose(a.dense(), exact.dense(), rtol=0, atol=1e-13)
    for kind in ("hesscale", "ggn", "empirical_fisher", "bl89"):
        np.testing.assert_allclose(a.diagonal(kind), exact.diagonal(kind), rtol=1e-11, atol=1e-15)
    v = np.random.default_rng(1).normal(size=(2, f.num_params))
    for kind in ("hessian", "ggn", "gap"):
        np.testing.assert_allclose(
            f.quadratic_form(w, xs, ys, v, kind), f.quadratic_form(w, x, y, v, kind), rtol=1e-11
        )
    np.testing.assert_allclose(
        list(f.layer_forms(w, zip(xs, ys, strict=True)).values()),
        list(f.layer_forms(w, x, y).values()), rtol=1e-11,
    )  # fmt: skip
    np.testing.assert_allclose(f.block(w, xs, ys, "0"), f.block(w, x, y, "0"), atol=1e-13)


def test_solvers_take_them(problem):
    f, (w, x, y) = problem
    slices = parts(len(x))
    one = hc.identity(f.num_params)
    b = f.value_and_grad(w, x, y)[1]
    expected, _ = hc.cg(f.ggn(w, x, y) + one, b, rtol=1e-12)
    for data in ([(x[s], y[s]) for s in slices], Loader(x, y, slices)):
        got, report = hc.cg(f.ggn(w, data) + one, b, rtol=1e-12)
        assert report.converged
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_sampled_fishers_draw_for_each_batch():
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 6, 4, classes=3)
    x[3:], y[3:] = x[:3], y[:3]
    same = f.fisher(w, x[:3], y[:3], kind="mc", seed=5).dense()
    twice = f.fisher(w, [x[:3], x[3:]], [y[:3], y[3:]], kind="mc", seed=5).dense()
    assert np.abs(twice - same).max() > 1e-6 * np.abs(same).max()
    first = f.fisher(w, [x[:3]], [y[:3]], kind="mc", seed=5).dense()
    np.testing.assert_allclose(first, same, rtol=1e-13)
    again = f.fisher(w, [x[:3], x[3:]], [y[:3], y[3:]], kind="mc", seed=5).dense()
    assert again.tobytes() == twice.tobytes()


def test_dropout_draws_for_each_batch():
    f = problems.mlp(4, 6, 3, dropout=0.5)
    w, x, y = problems.batch(f, 6, 4, classes=3)
    x[3:], y[3:] = x[:3], y[:3]
    data = [x[:3], x[3:]], [y[:3], y[3:]]
    a, b = (f.ggn(w, *data, train=(3, step)) for step in (0, 1))
    halves = f.ggn(w, x[:3], y[:3], train=(3, 0)).dense()
    assert np.abs(a.dense() - halves).max() > 1e-6
    assert np.abs(a.dense() - b.dense()).max() > 1e-6
    np.testing.assert_allclose(a.diagonal(), np.diag(a.dense()), rtol=1e-11, atol=1e-15)


def test_progress(problem, capsys, monkeypatch):
    import hesscore._progress as progress

    f, (w, x, y) = problem
    slices = parts(len(x))
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    a = f.ggn(w, [(x[s], y[s]) for s in slices], progress=True)
    a @ w
    shown = capsys.readouterr().err
    assert f"product 1: batch {len(slices)} of {len(slices)}" in shown
    a @ w
    assert "product 2: batch 1 of" in capsys.readouterr().err
    f.ggn(w, x, y).dense(progress=True)
    assert f"product {f.num_params} of {f.num_params}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("empty", hc.ShapeError, "at least one batch"),
        ("short", hc.ShapeError, "y: expected as many batches as the others"),
        ("list and array", hc.DTypeError, "x: expected an array or a dict"),
        ("function and list", hc.DTypeError, "x: expected as many batches as y has, or y None"),
        ("numbers", hc.DTypeError, r"x: expected batches \(x, y\)"),
        ("bad shape", hc.ShapeError, r"batch 1: x: expected \(N, 4\)"),
        ("bad label", hc.LabelError, "batch 2: y: expected labels"),
        ("weights", hc.OptionError, "sample_weight: expected None"),
        ("one weight", hc.DTypeError, "sample_weight: expected one array for each batch"),
        ("memory", hc.OptionError, "max_memory: expected"),
        ("progress", hc.OptionError, "progress: expected"),
        ("nan", hc.NonFiniteError, "batch 1: x: "),
        ("dtype", hc.DTypeError, "batch 1: x: expected float64"),
    ],
)
def test_bad_batches(problem, data, error, message):
    f, (w, x, y) = problem
    xs, ys = [x[:3], x[3:6], x[6:]], [y[:3], y[3:6], y[6:]]
    arguments, options = {
        "empty": (([],), {}),
        "short": ((xs, ys[:2]), {}),
        "list and array": ((xs, y), {}),
        "function and list": ((lambda: zip(xs, ys, strict=True), ys), {}),
        "numbers": (([1.0, 2.0],), {}),
        "bad shape": (([xs[0], xs[1][:, :3], xs[2]], ys), {}),
        "bad label": ((xs, [*ys[:2], ys[2] + 5]), {}),
        "weights": ((list(zip(xs, ys, strict=True)),), {"sample_weight": [np.ones(3)] * 3}),
        "one weight": ((xs, ys), {"sample_weight": np.ones(3)}),
        "memory": ((xs, ys), {"max_memory": -1}),
        "progress": ((xs, ys), {"progress": "yes"}),
        "nan": (([xs[0], xs[1] * np.nan, xs[2]], ys), {}),
        "dtype": (([xs[0], xs[1].astype("float32"), xs[2]], ys), {}),
    }[data]
    with pytest.raises(error, match=message):
        f.ggn(w, *arguments, **options)


def test_a_loader_that_fails():
    f = problems.mlp(4, 6, 3)
    w, x, y = problems.batch(f, 6, 4, classes=3)

    class Failing(Loader):
        def __iter__(self):
            yield from super().__iter__()
            if self.passes > 1:
                raise OSError("disk")

    a = f.ggn(w, Failing(x, y, parts(6)))
    with pytest.raises(OSError, match="disk"):
        a @ w
    assert f.loss(w, x, y) > 0
