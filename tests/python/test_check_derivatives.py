"""`hc.testing.check_derivatives`: quiet where all is well, loud and exact where it is not."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc
import problems
from oracle import Net, make_data, random_graph
from oracle.build import objective

QUANTITIES = ["grad", "hvp", "jvp", "vjp", "ggnvp", "symmetry", "ggn_symmetry", "ggn_positive"]


class Wrong:
    """An objective of which one method returns something else."""

    def __init__(self, f, method, change):
        self._f, self._method, self._change = f, method, change

    def __getattr__(self, name):
        value = getattr(self._f, name)
        if name != self._method:
            return value
        return lambda *args, **kw: self._change(value(*args, **kw), *args, **kw)


def point(activation=hc.Tanh, loss=None, seed=0):
    f = problems.mlp(4, 6, 5, 3, activation=activation, loss=loss)
    return f, problems.batch(f, 7, 4, classes=None if loss else 3, seed=seed)


def failed(report):
    return {c.quantity: c.where for c in report.checks if c.verdict == "FAIL"}


def add(index, amount):
    def change(value, *_, **__):
        value = value.copy()
        value.reshape(-1)[index] += amount
        return value

    return change


def test_all_is_well():
    f, args = point()
    report = hc.testing.check_derivatives(f, *args, raises=True)
    assert report.ok and not report.kinks
    assert set(QUANTITIES) <= set(report)
    assert max(report.values()) < 1e-7
    lines = str(report).splitlines()
    assert lines[0].split() == ["quantity", "error", "tolerance", "verdict", "worst", "at"]
    assert [line.split()[0] for line in lines[1:]] == [c.quantity for c in report.checks]
    assert repr(report).startswith("<DerivativeReport: ok>\nquantity")


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed):
    """Also with kinks close by: rectifiers, maxima, Huber's loss, dropout, several inputs."""
    spec = random_graph(seed)
    data, f = make_data(spec, Net(spec)), objective(spec)
    x = data.x if len(data.x) > 1 else data.x["x"]
    report = hc.testing.check_derivatives(f, data.w, x, data.y, sample_weight=data.sample_weight)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize("activation", [hc.ReLU, hc.LeakyReLU, hc.Hardtanh, hc.ReLU6])
@pytest.mark.parametrize("seed", range(5))
def test_rectifiers_away_from_their_kinks(activation, seed):
    f, args = point(activation, seed=seed)
    report = hc.testing.check_derivatives(f, *args, seed=seed)
    assert report.ok and not report.kinks, f"\n{report}"
    assert {"grad", "hvp", "jvp"} <= set(report)


def test_kinks_are_named_and_no_failure():
    """Rectifiers that start at 0: nothing has a derivative there in most directions."""
    for sizes in ((4, 6, 3), (4, 6, 5, 3)):
        f = problems.mlp(*sizes, activation=hc.ReLU)
        w, x, y = problems.batch(f, 7, 4, classes=3)
        report = hc.testing.check_derivatives(f, np.zeros_like(w), x, y)
        assert report.ok, f"\n{report}"
    f = hc.Objective(hc.Sequential(hc.Linear(4, 3), hc.ReLU()), hc.MSELoss(), input_shape=(4,))
    w, x, y = problems.batch(f, 7, 4)
    w[:4], w[12] = 0, 0  # the first unit is at its kink for every sample
    report = hc.testing.check_derivatives(f, w, x, y)
    assert report.ok, f"\n{report}"
    kinks = {c.quantity: c for c in report.kinks}
    assert {"grad", "hvp", "jvp"} <= set(kinks)
    assert "0.weight[0, 0]" in kinks["hvp"].note
    assert "5 of 15 elements" in kinks["hvp"].note
    assert "output[" in kinks["jvp"].note


def test_mistakes_are_caught_beside_kinks():
    f = hc.Objective(hc.Sequential(hc.Linear(4, 3), hc.ReLU()), hc.MSELoss(), input_shape=(4,))
    w, x, y = problems.batch(f, 7, 4)
    w[:4], w[12] = 0, 0
    wrong = Wrong(f, "hvp", add(7, 1e-3))
    assert failed(hc.testing.check_derivatives(wrong, w, x, y))["hvp"] == "0.weight[1, 3]"


@pytest.mark.parametrize("amount", [1e-3, -1.0])
@pytest.mark.parametrize("index", [0, 23, 30, -1])
def test_a_wrong_gradient_is_found_to_the_element(index, amount):
    f, args = point()

    def change(result, *_, **__):
        return result[0], add(index, amount)(result[1])

    report = hc.testing.check_derivatives(Wrong(f, "value_and_grad", change), *args)
    name = {0: "0.weight[0, 0]", 23: "0.weight[5, 3]", 30: "2.weight[0, 0]", -1: "4.bias[2]"}[index]
    assert not report.ok
    assert failed(report) == {"grad": name}  # a constant does not change the Hessian


def test_a_gradient_that_is_not_one():
    """A weight decay that the loss lacks."""
    f, args = point()

    def change(result, w, *_, **__):
        return result[0], result[1] + 0.01 * w

    report = hc.testing.check_derivatives(Wrong(f, "value_and_grad", change), *args)
    assert set(failed(report)) == {"grad", "hvp"}
    assert "FAIL" in str(report)
    with pytest.raises(hc.testing.DerivativeError, match=r"grad .* FAIL"):
        report.raise_if_failed()
    with pytest.raises(AssertionError):
        hc.testing.check_derivatives(Wrong(f, "value_and_grad", change), *args, raises=True)


@pytest.mark.parametrize(
    ("method", "index", "expected"),
    [
        ("hvp", 24, {"hvp": "0.bias[0]", "symmetry": "", "diag_hessian": None}),
        ("jvp", 4, {"jvp": "output[4]", "vjp": None, "ggnvp": None}),
        ("vjp", 30, {"vjp": "2.weight[0, 0]", "ggnvp": "2.weight[0, 0]"}),
        ("ggnvp", 3, {"ggnvp": "0.weight[0, 3]", "ggn_symmetry": "", "diag_ggn": None}),
    ],
)
def test_wrong_products(method, index, expected):
    f, args = point()
    found = failed(hc.testing.check_derivatives(Wrong(f, method, add(index, 0.01)), *args))
    assert set(found) <= set(expected) | {"ggn_positive"}
    assert method in found
    for quantity, where in expected.items():
        if where is not None:
            assert found[quantity] == where


def test_wrong_diagonals_and_signs():
    f, args = point()
    twice = Wrong(f, "diag", lambda d, *_, **__: 2 * d)
    assert {"diag_ggn", "diag_empirical_fisher", "diag_hessian"} <= set(
        failed(hc.testing.check_derivatives(twice, *args))
    )
    negative = Wrong(f, "ggnvp", lambda d, *_, **__: -d)
    assert {"ggnvp", "ggn_positive", "diag_ggn"} == set(
        failed(hc.testing.check_derivatives(negative, *args))
    )
    hessian = Wrong(f, "ggnvp", lambda d, *args, **kw: f.hvp(*args, **kw))
    assert {"ggnvp", "ggn_positive"} <= set(failed(hc.testing.check_derivatives(hessian, *args)))


def test_unsupported_and_not_convex_are_said():
    f = problems.mlp(4, 6, 4, loss=hc.GaussianNLLLoss())
    w, x = problems.batch(f, 7, 4)[:2]
    report = hc.testing.check_derivatives(f, w, x, np.ones((7, 2)))
    assert report.ok
    notes = {c.quantity: c.note for c in report.checks if c.verdict == "skipped"}
    assert "not convex" in notes["ggn_positive"]
    net = hc.Sequential(hc.Linear(4, 6), hc.BatchNorm1d(6), hc.Tanh(), hc.Linear(6, 3))
    f = hc.Objective(net, hc.CrossEntropyLoss())
    report = hc.testing.check_derivatives(f, *problems.batch(f, 7, 4, classes=3), train=True)
    assert report.ok, f"\n{report}"
    notes = {c.quantity: c.note for c in report.checks if c.verdict == "skipped"}
    assert "BatchNorm1d" in notes["diag_ggn"]


def test_dropout_keeps_its_mask():
    f = problems.mlp(4, 16, 3, dropout=0.5)
    assert hc.testing.check_derivatives(
        f, *problems.batch(f, 7, 4, classes=3), train=(3, 1), raises=True
    )


def test_float64_or_cast():
    f = problems.mlp(4, 6, 3)
    args = problems.batch(f, 7, 4, classes=3, dtype="float32")
    with pytest.raises(hc.DTypeError, match=r"w: expected float64, or cast=True, got float32"):
        hc.testing.check_derivatives(f, *args)
    assert max(hc.testing.check_derivatives(f, *args, cast=True, raises=True).values()) < 1e-7
