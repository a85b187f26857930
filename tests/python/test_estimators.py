"""Traces, diagonals and norms from random signs: unbiased, exact where they are said to be, and
with standard errors that are those of many seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import hesscore as hc
import problems

N, SEEDS = 60, 300
TRACES = ["hutchinson", "hutchpp", "xtrace"]
DIAGONALS = ["hutchinson", "xdiag"]
SPECTRA = {
    "flat": np.linspace(-1, 1.5, N),
    "slow": 1 / np.sqrt(np.arange(1, N + 1)),
    "fast": 1 / np.arange(1.0, N + 1) ** 2,
    "geometric": 0.7 ** np.arange(N),
}


def matrix(eigenvalues, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))
    return (q * eigenvalues) @ q.T


def low_rank(rank, n=N, seed=0):
    left, right = np.random.default_rng(seed).normal(size=(2, n, rank))
    return left @ right.T


def deviations(estimates, exact):
    """Mean in standard errors of the mean, and the root mean square in standard errors."""
    errors = np.array([e.value - exact for e in estimates])
    told = np.sqrt(np.mean([e.standard_error**2 for e in estimates], axis=0))
    return errors.mean(0) / (errors.std(0) / np.sqrt(len(errors))), (errors**2).mean(
        0
    ) ** 0.5 / told


@pytest.mark.statistics
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("method", TRACES)
def test_traces_are_unbiased_with_calibrated_errors(method, spectrum):
    a = matrix(SPECTRA[spectrum])
    z, ratio = deviations([hc.trace(a, 24, method, seed=s) for s in range(SEEDS)], np.trace(a))
    assert abs(z) < 5
    assert 0.7 < ratio < 1.35


@pytest.mark.statistics
@pytest.mark.parametrize("method", TRACES)
def test_traces_of_matrices_without_symmetry(method):
    a = np.random.default_rng(3).normal(size=(N, N)) / np.arange(1, N + 1)
    z, ratio = deviations([hc.trace(a, 24, method, seed=s) for s in range(SEEDS)], np.trace(a))
    assert abs(z) < 5
    assert 0.6 < ratio < 1.35


@pytest.mark.statistics
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("method", DIAGONALS)
def test_diagonals_are_unbiased_with_calibrated_errors(method, spectrum):
    a = matrix(SPECTRA[spectrum])
    z, ratio = deviations([hc.diagonal(a, 24, method, seed=s) for s in range(SEEDS)], np.diag(a))
    assert np.abs(z).max() < 5
    assert 0.6 < np.median(ratio) < 1.3


@pytest.mark.statistics
def test_xdiag_of_a_matrix_without_symmetry():
    a = np.random.default_rng(3).normal(size=(N, N)) / np.arange(1, N + 1)
    z, ratio = deviations([hc.diagonal(a, 24, "xdiag", seed=s) for s in range(SEEDS)], np.diag(a))
    assert np.abs(z).max() < 5
    assert 0.6 < np.median(ratio) < 1.3


@pytest.mark.statistics
def test_frobenius_norm():
    a = low_rank(20) + np.diag(np.arange(N))
    exact = np.linalg.norm(a)
    found = [hc.frobenius_norm(a, 200, seed=s) for s in range(SEEDS)]
    _, ratio = deviations(found, exact)
    assert 0.85 < ratio < 1.15
    squares = np.array([float(e) ** 2 for e in found])  # these are unbiased
    assert abs(squares.mean() - exact**2) < 5 * squares.std() / np.sqrt(SEEDS)


def test_variance_of_hutchinson_is_that_of_theory():
    a = matrix(SPECTRA["slow"])
    theory = 2 * (np.sum(a * a) - np.sum(np.diag(a) ** 2))
    e = hc.trace(a, 20_000)
    assert e.standard_error == pytest.approx(np.sqrt(theory / 20_000), rel=0.05)


@pytest.mark.parametrize("rank", [0, 1, 5, 7])
@pytest.mark.parametrize("symmetric", [True, False])
def test_low_rank_is_exact(rank, symmetric):
    a = low_rank(rank)
    a = a + a.T if symmetric else a
    a = a if not symmetric or rank < 4 else low_rank(rank) @ low_rank(rank).T
    size = np.abs(a).sum() + 1e-300
    for method, samples in (("hutchpp", 24), ("xtrace", 16)):
        e = hc.trace(a, samples, method)
        assert abs(float(e) - np.trace(a)) < 1e-13 * size, method
        assert e.standard_error < 1e-13 * size
    d = hc.diagonal(a, 16, "xdiag")
    np.testing.assert_allclose(d.value, np.diag(a), atol=1e-13 * size)
    assert np.max(d.standard_error) < 1e-13 * size


def test_diagonal_matrices_are_exact():
    a = np.diag(np.random.default_rng(0).normal(size=N))
    e = hc.trace(a, 3)
    assert float(e) == pytest.approx(np.trace(a), rel=1e-14)
    assert e.standard_error < 1e-14
    d = hc.diagonal(a, 3)
    np.testing.assert_allclose(d.value, np.diag(a), rtol=1e-15)
    assert np.max(d.standard_error) < 1e-15


@pytest.mark.parametrize("n", [1, 2, 3])
def test_more_samples_than_rows(n):
    a = np.random.default_rng(0).normal(size=(n, n))
    for method in TRACES:
        e = hc.trace(a, 50, method)
        assert abs(float(e) - np.trace(a)) <= 5 * e.standard_error + 1e-12
        assert e.products <= 50
    for method in ("hutchpp", "xtrace"):
        assert float(hc.trace(a, 50, method)) == pytest.approx(np.trace(a), abs=1e-12)
    np.testing.assert_allclose(hc.diagonal(a, 50, "xdiag").value, np.diag(a), atol=1e-12)


@pytest.mark.parametrize("method", TRACES)
def test_every_kind_of_operator(method):
    a = matrix(SPECTRA["slow"])
    expected = hc.trace(a, 30, method, seed=5)
    kinds = {
        "function": (lambda v: a @ v, N),
        "LinearOperator": (aslinearoperator(a), None),
        "without matmat": (LinearOperator((N, N), matvec=lambda v: a @ v, dtype=float), None),
        "sparse": (csr_array(a), None),
    }
    for name, (operator, n) in kinds.items():
        got = hc.trace(operator, 30, method, seed=5, n=n)
        assert float(got) == pytest.approx(float(expected), rel=1e-12), name
        assert got.standard_error == pytest.approx(expected.standard_error, rel=1e-9)
        assert (got.samples, got.products) == (expected.samples, expected.products)
    integers = np.arange(16).reshape(4, 4)
    assert float(hc.trace(integers, 60, "xtrace")) == pytest.approx(30)


def test_counts_of_products():
    calls = []

    def product(v):
        calls.append(v)
        return 2 * v

    for method, samples, drawn, made in [
        ("hutchinson", 10, 10, 10), ("hutchpp", 10, 7, 10), ("xtrace", 11, 5, 10),
    ]:  # fmt: skip
        calls.clear()
        e = hc.trace(product, samples, method, n=30)
        assert (e.samples, e.products, len(calls)) == (drawn, made, made)
        assert e.method == method
        assert abs(float(e) - 60) <= 5 * e.standard_error + 1e-12
    e = hc.diagonal(product, 9, "xdiag", n=30)
    assert (e.samples, e.products) == (4, 8)


@pytest.mark.parametrize("kind", ["hessian", "ggn", "fisher"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operators_of_networks(kind, dtype):
    f = problems.mlp(4, 6, 3)
    point = problems.batch(f, 20, 4, classes=3, dtype=dtype)
    a = getattr(f, kind)(*point)
    dense = a.dense().astype("float64")
    for method in TRACES:
        e = hc.trace(a, 40, method)
        assert abs(float(e) - np.trace(dense)) < 5 * e.standard_error + 1e-5 * np.trace(dense)
    for method in DIAGONALS:
        d = hc.diagonal(a, 40, method)
        assert d.value.dtype == d.standard_error.dtype == np.dtype(dtype)
        z = np.abs(d.value - np.diag(dense)) / (d.standard_error + 1e-5 * np.abs(dense).max())
        assert z.max() < 6
    e = hc.frobenius_norm(a, 200)
    assert abs(float(e) - np.linalg.norm(dense)) < 5 * e.standard_error


def test_hutchinson_averages_all_its_samples():
    """Fifty samples, not one sample divided by fifty, and error bars that shrink by their root."""
    a = matrix(SPECTRA["slow"])
    for estimate, exact in ((hc.trace, np.trace(a)), (hc.diagonal, np.diag(a))):
        one = np.array([estimate(a, 1, seed=s).value for s in range(400)])
        fifty = np.array([estimate(a, 50, seed=s).value for s in range(100)])
        assert np.sum(fifty.mean(0) * exact) / np.sum(exact * exact) == pytest.approx(1, abs=0.05)
        ratio = np.sqrt((one.var(0) / fifty.var(0)).mean())
        assert ratio == pytest.approx(np.sqrt(50), rel=0.2)
    alone = [float(hc.trace(a, 1, seed=3)), np.isnan(hc.trace(a, 1).standard_error)]
    assert alone[1] and np.isfinite(alone[0])


def test_probes_are_fair_and_differ():
    """A probe that is always the same returns row sums, every time."""
    rows = hc._core.probes(-1, "float64", 7).rows(1000, 0, 400)
    assert set(np.unique(rows)) == {-1.0, 1.0}
    assert len({row.tobytes() for row in rows}) == 400
    bound = 5 / np.sqrt(rows.size)
    assert abs(rows.mean()) < bound
    assert abs((rows[:, 1:] * rows[:, :-1]).mean()) < bound
    assert abs((rows[1:] * rows[:-1]).mean()) < bound
    cross = rows @ rows.T / 1000 - np.eye(400)
    assert np.abs(cross).max() < 6 / np.sqrt(1000)
    other = hc._core.probes(-1, "float64", 8).rows(1000, 0, 400)
    assert abs((rows * other).mean()) < bound


def test_probes_do_not_depend_on_blocks_dtypes_or_threads():
    core = hc._core.probes(-1, "float64", 2**64 - 1)
    rows = core.rows(777, 0, 9)
    for first in (0, 3, 8):
        np.testing.assert_array_equal(core.rows(777, first, 1)[0], rows[first])
    single = hc._core.probes(-1, "float32", 2**64 - 1).rows(777, 0, 9)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, rows)
    np.testing.assert_array_equal(core.rows(500, 4, 2), rows[4:6, :500])
    before = hc.get_num_threads()
    try:
        wide = [hc.set_num_threads(k) or core.rows(300_000, 5, 1) for k in (1, 2)]
    finally:
        hc.set_num_threads(before)
    np.testing.assert_array_equal(*wide)


def test_results_do_not_depend_on_threads():
    f = problems.mlp(20, 40, 5)
    point = problems.batch(f, 64, 20, classes=5, dtype="float32")
    before, found = hc.get_num_threads(), []
    try:
        for threads in (1, 2):
            hc.set_num_threads(threads)
            a = f.hessian(*point)
            found.append((float(hc.trace(a, 70)), hc.diagonal(a, 70).value.tobytes()))
    finally:
        hc.set_num_threads(before)
    assert found[0] == found[1]


def test_operators_have_the_methods():
    f = problems.mlp(4, 6, 3)
    a = f.ggn(*problems.batch(f, 20, 4, classes=3))
    for operator in (a, 2.0 * a, a + hc.identity(f.num_params)):
        got = operator.trace(30, method="xtrace", seed=2)
        assert float(got) == float(hc.trace(operator, 30, "xtrace", 2))
    assert float((2.0 * a).trace(9)) == pytest.approx(2 * float(a.trace(9)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hc.trace(np.ones((2, 3))), hc.ShapeError, "A: expected a square matrix"),
        (lambda: hc.trace(3.0), hc.DTypeError, "A: expected an operator"),
        (lambda: hc.trace(lambda v: v), hc.OptionError, "n: expected the size of A"),
        (lambda: hc.trace(np.eye(3), n=4), hc.OptionError, "n: expected 3"),
        (lambda: hc.trace(np.eye(3) * 1j), hc.DTypeError, "A: expected float32"),
        (lambda: hc.trace(np.eye(3), 2, "hutchpp"), hc.OptionError, "samples: .* >= 3"),
        (lambda: hc.trace(np.eye(3), 3, "xtrace"), hc.OptionError, "samples: .* >= 4"),
        (lambda: hc.trace(np.eye(3), 0), hc.OptionError, "samples: .* >= 1"),
        (lambda: hc.trace(np.eye(3), 5, "hutch++"), hc.OptionError, "did you mean 'hutchpp'"),
        (lambda: hc.trace(np.eye(3), seed=-1), hc.OptionError, "seed: expected an integer >= 0"),
        (lambda: hc.diagonal(np.eye(3), 5, "xdag"), hc.OptionError, "did you mean 'xdiag'"),
        (lambda: hc.trace(lambda v: v[:1], n=3), hc.ShapeError, r"A\(v\): expected \(3,\)"),
        (lambda: hc.trace(np.full((3, 3), np.nan)), hc.NonFiniteError, "A: expected finite"),
        (lambda: hc.trace(np.full((9, 9), np.inf), 9, "xtrace"), hc.NonFiniteError, "A: expected"),
        (lambda: hc.frobenius_norm(np.full((3, 3), np.nan)), hc.NonFiniteError, "A: expected"),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, message):
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        call()


def test_xdiag_needs_products_with_the_transpose():
    a = np.diag(np.arange(5.0))
    one_sided = LinearOperator((5, 5), matvec=lambda v: a @ v, dtype=float)
    with pytest.raises(hc.UnsupportedError, match="rmatvec"):
        hc.diagonal(one_sided, 4, "xdiag")
    both = LinearOperator((5, 5), matvec=lambda v: a @ v, rmatvec=lambda v: a @ v, dtype=float)
    assert hc.diagonal(both, 10, "xdiag").value == pytest.approx(np.arange(5.0), abs=1e-13)


def test_repr_and_float():
    e = hc.trace(np.diag([1.0, 2.0]), 2)
    assert repr(e) == "Estimate(3 +- 0, hutchinson: samples=2, products=2)"
    assert float(e) == e.value == 3.0
    d = hc.diagonal(np.eye(3), 4)
    assert repr(d) == "Estimate(shape=(3,), hutchinson: samples=4, products=4)"
    with pytest.raises(TypeError):
        float(d)
