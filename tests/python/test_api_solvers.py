"""The package as a user meets it: operators, solvers, optimizers."""

from __future__ import annotations

import inspect
import io
import os
import signal
import threading

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.sparse.linalg import cg as scipy_cg

import hesscore as hc
import problems

METHODS = [
    ("sgd", {"momentum": 0.9}),
    ("adam", {}),
    ("adamw", {}),
    ("adahessian", {}),
    ("adahesscale", {"moment": "abs"}),
    ("adahesscale_gn", {}),
    ("gauss_newton", {}),
    ("gauss_newton", {"damping": "constant", "preconditioner": "hesscale"}),
]


@pytest.fixture
def problem(rng):
    f = hc.Objective(problems.branched(), hc.CrossEntropyLoss())
    return f, f.init(seed=3, dtype="float64"), rng.normal(size=(20, 4)), rng.integers(0, 3, 20)


# ---- operators and solvers -----------------------------------------------------------------------


def test_operators_are_scipy_operators(problem):
    f, w, x, y = problem
    H, G = f.hessian(w, x, y), f.ggn(w, x, y)
    dense = H.dense()
    assert isinstance(H, LinearOperator)
    assert np.allclose(dense, dense.T)
    assert np.allclose(H @ w, f.hvp(w, x, y, w))
    assert np.allclose(H @ dense, dense @ dense)
    assert np.allclose(H.diagonal(), np.diag(dense))
    assert np.allclose(G.diagonal(), np.diag(G.dense()))
    assert np.allclose((H + G) @ w, H @ w + G @ w)
    top = eigsh(G, k=1, return_eigenvectors=False)
    assert np.allclose(top, np.linalg.eigvalsh(G.dense())[-1])


def test_shifted_operators_stay_in_the_engine(problem):
    f, w, x, y = problem
    G = f.ggn(w, x, y)
    eye = hc.identity(f.num_params)
    A = 2 * G + 0.5 * eye - 0.25 * eye
    assert type(A).__name__ == "EngineOperator"
    assert np.allclose(A.dense(), 2 * G.dense() + 0.25 * np.eye(f.num_params))
    assert np.allclose((3 * eye + G) @ w, G @ w + 3 * w)


def test_operator_keeps_the_point_it_was_made_at(problem):
    f, w, x, y = problem
    H, hv, d = f.hessian(w, x, y), f.hvp(w, x, y, w), f.diag(w, x, y)
    v = w.copy()
    w[:], x[:] = 0, 0
    assert np.allclose(H @ v, hv)
    assert np.array_equal(H.diagonal("hesscale"), d)


def test_cg_solves_with_every_kind_of_operator(problem, rng):
    f, w, x, y = problem
    A = f.ggn(w, x, y) + 0.1 * hc.identity(f.num_params)
    b = rng.normal(size=f.num_params)
    reference = np.linalg.solve(A.dense(), b)
    wrapped = LinearOperator(A.shape, matvec=A.matvec, dtype=A.dtype)
    for operator in (A, wrapped, A.dense(), lambda v: A @ v):
        solution, report = hc.cg(operator, b, rtol=1e-12)
        assert report.converged
        assert report.status == "converged"
        assert len(report.history) == report.iterations + 1
        assert np.allclose(solution, reference)
    for inverse in (1 / A.diagonal(), np.diag(1 / A.diagonal()), lambda r: r / A.diagonal()):
        assert np.allclose(hc.cg(A, b, rtol=1e-12, M=inverse)[0], reference)
    assert np.allclose(scipy_cg(A, b)[0], reference, rtol=1e-3, atol=1e-4)


def test_cg_outcomes_are_told_in_the_report(problem):
    f, w, x, y = problem
    A = f.ggn(w, x, y) + hc.identity(f.num_params)
    assert hc.cg(A, w, maxiter=2, rtol=0)[1].status == "max_iterations"
    assert hc.cg(-A, w)[1].status == "negative_curvature"
    seen = []
    assert hc.cg(A, w, callback=lambda v: seen.append(v) or len(seen) == 2)[1].status == "stopped"
    assert len(seen) == 2
    assert np.array_equal(hc.cg(A, w, x0=w * 0)[0], hc.cg(A, w)[0])


def test_solvers_have_the_signatures_that_scripts_use():
    parameters = {
        name: list(inspect.signature(getattr(hc, name)).parameters)
        for name in ("cg", "minres", "lanczos", "eigsh", "trust_region")
    }
    cg = ["A", "b", "x0", "rtol", "atol", "maxiter", "M", "callback", "stop"]
    assert parameters["cg"][: len(cg)] == cg
    assert parameters["minres"][:3] == ["A", "b", "x0"]
    assert parameters["lanczos"][:2] == ["A", "k"]
    assert parameters["eigsh"][:3] == ["A", "k", "which"]
    assert parameters["trust_region"][:3] == ["A", "g", "radius"]


def test_every_solver_takes_every_kind_of_operator_and_reports(problem, rng):
    f, w, x, y = problem
    A = f.ggn(w, x, y) + 0.5 * hc.identity(f.num_params)
    b = rng.normal(size=f.num_params)
    wrapped = LinearOperator(A.shape, matvec=A.matvec, rmatvec=A.matvec, dtype=A.dtype)
    exact = np.linalg.solve(A.dense(), b)
    top = np.linalg.eigvalsh(A.dense())[-3:]
    for operator in (A, wrapped, A.dense()):
        for x_found, report in (
            hc.minres(operator, b, rtol=1e-12),
            hc.lsmr(operator, b, rtol=1e-12),
            hc.trust_region(operator, -b, 1e3, rtol=1e-12, hard_case=False),
        ):
            assert np.allclose(x_found, exact, atol=1e-6)
            for name in ("status", "message", "iterations", "residual", "history"):
                assert hasattr(report, name)
            assert report.message.endswith(".") and len(report.history) > 1
        assert np.allclose(hc.eigsh(operator, 3)[0], top)
        assert np.allclose(hc.lanczos(operator, 5, v0=b).ritz()[0].max(), top[-1], rtol=0.2)


def test_preconditioners_of_diagonals(problem, rng):
    f, w, x, y = problem
    G, b = f.ggn(w, x, y), rng.normal(size=f.num_params)
    M = hc.diagonal_preconditioner(f.diag(w, x, y, kind="hesscale"), damping=0.1)
    A = G + 0.1 * hc.identity(f.num_params)
    for solver in (hc.cg, hc.minres):
        assert np.allclose(solver(A, b, M=M, rtol=1e-12)[0], np.linalg.solve(A.dense(), b))


def test_exceptions_in_callables_come_through(problem):
    f, w, x, y = problem

    def broken(*_):
        raise KeyError("mine")

    for call in (
        lambda: hc.cg(broken, np.ones(3)),
        lambda: hc.cg(np.eye(3), np.ones(3), callback=broken),
        lambda: hc.minres(broken, np.ones(3)),
        lambda: hc.minres(np.eye(3), np.ones((2, 3)), callback=broken),
        lambda: hc.lanczos(broken, 2, v0=np.ones(3)),
        lambda: hc.eigsh(broken, 2, v0=np.ones(3)),
        lambda: hc.trust_region(broken, np.ones(3), 1.0),
        lambda: hc.Optimizer(f, "adam", lr=broken).step(w, x, y),
        lambda: hc.Optimizer(f, "adam").run(w, x, y, on_step=broken, progress=False),
    ):
        with pytest.raises(KeyError, match="mine"):
            call()


# ---- optimizers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_state_goes_through_a_file_bit_for_bit(problem, method, options, dtype):
    f, w, x, y = problem
    w, x = w.astype(dtype), x.astype(dtype)
    opt = hc.Optimizer(f, method, **options)
    losses = opt.run(w, x, y, batch_size=8, epochs=3, progress=False)
    assert losses.shape == (9,)
    file = io.BytesIO()
    np.savez(file, **opt.state_dict())
    file.seek(0)
    other, w_other = hc.Optimizer(f, method, **options), w.copy()
    other.load_state_dict(np.load(file))
    for _ in range(3):
        info = opt.step(w, x, y)
        assert other.step(w_other, x, y).loss == info.loss
        assert np.array_equal(w, w_other)
    assert info.step == 12 or method == "gauss_newton"


def test_run_is_the_sum_of_its_epochs_and_of_its_steps(problem):
    f, w, x, y = problem
    whole, parts = w.copy(), w.copy()
    losses = hc.Optimizer(f, "adam").run(whole, x, y, 8, 4, 7, progress=False)
    opt = hc.Optimizer(f, "adam")
    first = opt.run(parts, x, y, 8, 1, 7, progress=False)
    rest = opt.run(parts, x, y, 8, 3, 7, progress=False, first_epoch=1)
    assert np.array_equal(whole, parts)
    assert np.array_equal(losses, np.concatenate([first, rest]))
    by_step, by_run = w.copy(), w.copy()
    opt = hc.Optimizer(f, "adam")
    for i in (0, 8, 16):
        opt.step(by_step, x[i : i + 8], y[i : i + 8])
    hc.Optimizer(f, "adam").run(by_run, x, y, 8, 1, shuffle=False, progress=False)
    assert np.array_equal(by_step, by_run)


def test_rates_may_be_schedules(problem):
    f, w, x, y = problem
    asked = []
    opt = hc.Optimizer(f, "sgd", lr=lambda step: asked.append(step) or 0.0)
    before = w.copy()
    opt.run(w, x, y, batch_size=20, epochs=3, progress=False)
    assert np.array_equal(w, before)
    assert sorted(set(asked)) == [0, 1, 2]


def test_unknown_names_suggest_the_nearest(problem):
    f = problem[0]
    with pytest.raises(hc.OptionError, match="did you mean 'adahesscale'"):
        hc.Optimizer(f, "adahescale")
    with pytest.raises(hc.OptionError, match="did you mean 'momentum'"):
        hc.Optimizer(f, "sgd", momentun=0.9)
    with pytest.raises(hc.OptionError, match="did you mean 'hesscale'"):
        f.diag(*problem[1:], kind="hescale")


def test_a_failed_step_changes_nothing(problem):
    f, w, x, y = problem
    opt = hc.Optimizer(f, "adam")
    opt.step(w, x, y)
    before, state = w.copy(), opt.state_dict()
    x[0, 0] = np.nan
    with pytest.raises(hc.NonFiniteError, match="x: expected finite values"):
        opt.step(w, x, y)
    with pytest.raises(hc.OutputError):
        opt.step(np.repeat(w, 2)[::2], x, y)
    assert np.array_equal(w, before)
    assert all(np.array_equal(state[k], v) for k, v in opt.state_dict().items())


def test_interrupted_run_stands_between_two_steps(problem, rng):
    f, w, *_ = problem
    X, Y = rng.normal(size=(512, 4)), rng.integers(0, 3, 512)
    interrupted, again = w.copy(), w.copy()
    opt = hc.Optimizer(f, "adam")
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        opt.run(interrupted, X, Y, batch_size=4, epochs=10**6, progress=False)
    steps = int(opt.state_dict()["step"])
    hc.Optimizer(f, "adam").run(
        again, X, Y, 4, 10**6, progress=False, on_step=lambda info: info.step == steps
    )
    assert np.array_equal(interrupted, again)


def test_interrupt_ends_cg(rng):
    f = hc.Objective(hc.Sequential(hc.Linear(50, 200), hc.Tanh(), hc.Linear(200, 10)), hc.MSELoss())
    w, x = f.init(dtype="float64"), rng.normal(size=(500, 50))
    A = f.ggn(w, x, x[:, :10]) + 1e-9 * hc.identity(f.num_params)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        hc.cg(A, w, rtol=0, maxiter=10**9)


def test_progress_works_with_and_without_tqdm(problem, capsys, monkeypatch):
    f, w, x, y = problem
    hc.Optimizer(f, "sgd").run(w, x, y, epochs=2)
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    hc.Optimizer(f, "sgd").run(w, x, y, epochs=2)
    assert capsys.readouterr().out == ""
