"""The package as a user meets it: models, evaluations, operators, solvers, optimizers."""

from __future__ import annotations

import array
import io
import os
import pickle
import signal
import threading

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.sparse.linalg import cg as scipy_cg

import hesscore as hc

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


def small_net() -> hc.Sequential:
    return hc.Sequential(
        hc.Linear(4, 6),
        hc.Tanh(),
        hc.Residual(hc.Linear(6, 6), hc.GELU()),
        hc.Concat(hc.Linear(6, 3), hc.Gate(hc.Linear(6, 6), hc.Sigmoid())),
        hc.Parallel(hc.Linear(9, 3), hc.Linear(9, 3, bias=False)),
    )


@pytest.fixture
def problem(rng):
    f = hc.Objective(small_net(), hc.CrossEntropyLoss())
    return f, f.init(seed=3, dtype="float64"), rng.normal(size=(20, 4)), rng.integers(0, 3, 20)


# ---- models and parameters -----------------------------------------------------------------------


def test_layout_names_follow_the_places_of_the_layers(problem):
    f = problem[0]
    assert list(f.layout) == [
        "0.weight", "0.bias", "2.0.weight", "2.0.bias", "3.0.weight", "3.0.bias",
        "3.1.0.weight", "3.1.0.bias", "4.0.weight", "4.0.bias", "4.1.weight",
    ]  # fmt: skip
    ends = [offset + int(np.prod(shape)) for offset, shape in f.layout.values()]
    assert ends[-1] == f.num_params
    assert [offset for offset, _ in f.layout.values()] == [0, *ends[:-1]]


def test_views_share_memory_and_flatten_inverts_them(problem):
    f, w, *_ = problem
    views = f.views(w)
    assert all(np.shares_memory(w, v) for v in views.values())
    assert np.array_equal(f.flatten(views), w)


def test_init_gives_the_same_numbers_in_both_dtypes(problem):
    f = problem[0]
    for scheme in ("default", "xavier", "he", "lecun", "orthogonal", "hessian"):
        w = f.init(5, scheme, "float64")
        assert np.array_equal(w.astype(np.float32), f.init(5, scheme))
        assert not np.array_equal(w, f.init(6, scheme, "float64"))


def test_a_layer_used_twice_shares_its_parameters(rng):
    layer = hc.Linear(3, 3)
    f = hc.Objective(hc.Sequential(layer, hc.Tanh(), layer), hc.MSELoss())
    assert list(f.layout) == ["0.weight", "0.bias"]
    w, x, y = f.init(dtype="float64"), rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    assert max(hc.testing.check_derivatives(f, w, x, y).values()) < 1e-6


def test_graph_with_two_inputs_serves_several_objectives(rng):
    g = hc.Graph()
    shared = hc.Linear(4, 5)
    a, b = g.input((4,), name="a"), g.input(4, name="b")
    g.output(g(hc.Linear(10, 2), g.concat(g(shared, a) * g(shared, b), g(hc.Tanh(), g(shared, b)))))
    x = {"b": rng.normal(size=(7, 4)), "a": rng.normal(size=(7, 4))}
    y = rng.normal(size=(7, 2))
    for loss in (hc.MSELoss(), hc.HuberLoss(0.5)):
        f = hc.Objective(g, loss)
        assert f.inputs == ("a", "b")
        assert f.predict(f.init(dtype="float64"), x).shape == (7, 2)
    f = hc.Objective(g, hc.MSELoss())
    assert max(hc.testing.check_derivatives(f, f.init(dtype="float64"), x, y).values()) < 1e-6


def test_every_activation_and_loss_builds_and_differentiates(rng):
    kinds = [k for k in vars(hc).values() if isinstance(k, type) and issubclass(k, hc.nn.Layer)]
    activations = [k for k in kinds if issubclass(k, hc.activations.Activation)]
    assert len(activations) == 20
    x, targets = rng.normal(size=(6, 3)), rng.random((6, 2))
    losses = [hc.MSELoss(), hc.BCEWithLogitsLoss(2.0), hc.PoissonNLLLoss(), hc.HuberLoss()]
    for i, kind in enumerate(activations):
        f = hc.Objective(hc.Sequential(hc.Linear(3, 4), kind(), hc.Linear(4, 2)), losses[i % 4])
        errors = hc.testing.check_derivatives(f, f.init(i, dtype="float64"), x, targets)
        assert errors["grad"] < 1e-5, kind
    f = hc.Objective(hc.Linear(3, 2), hc.GaussianNLLLoss())
    w = f.init(dtype="float64")
    assert max(hc.testing.check_derivatives(f, w, x, targets[:, :1]).values()) < 1e-6


def test_errors_can_be_caught_as_builtins_and_pickled(problem):
    f, w, x, y = problem
    with pytest.raises(ValueError, match="w: expected") as caught:
        f.loss(w[:-1], x, y)
    error = caught.value
    assert isinstance(error, hc.ShapeError)
    assert (error.arg, error.got) == ("w", str((len(w) - 1,)))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, again.arg) == (hc.ShapeError, error.args, "w")
    assert issubclass(hc.OutOfMemoryError, MemoryError)
    assert issubclass(hc.CheckpointError, OSError)


# ---- evaluations ---------------------------------------------------------------------------------


def test_evaluate_agrees_with_the_single_calls(problem):
    f, w, x, y = problem
    names = ("hesscale", "loss", "ggn", "grad", "predict", "ggn_mc", "empirical_fisher")
    out = f.evaluate(w, x, y, names, samples=3, seed=4)
    assert tuple(out) == names
    value, grad = f.value_and_grad(w, x, y)
    assert out["loss"] == value == f.loss(w, x, y)
    assert np.array_equal(out["grad"], grad)
    assert np.array_equal(out["predict"], f.predict(w, x))
    assert np.array_equal(out["hesscale"], f.diag(w, x, y))
    assert np.allclose(out["ggn_mc"], f.diag(w, x, y, "ggn_mc", 3, 4), rtol=1e-12)


def test_reduction_and_sample_weight_scale_everything(problem):
    f, w, x, y = problem
    total = hc.Objective(small_net(), hc.CrossEntropyLoss(), reduction="sum")
    v = np.ones_like(w)
    twice = np.repeat([1.0, 2.0], 10)
    copies = np.concatenate([np.arange(20), np.arange(10, 20)])
    for what in (
        lambda g, *a, **k: g.value_and_grad(w, *a, **k)[1],
        lambda g, *a, **k: g.hvp(w, *a, v, **k),
        lambda g, *a, **k: g.fishervp(w, *a, v, **k),
        lambda g, *a, **k: g.diag(w, *a, "ggn", **k),
        lambda g, *a, **k: g.ggn(w, *a, **k) @ v,
    ):
        assert np.allclose(what(total, x, y), 20 * what(f, x, y))
        weighted = what(f, x, y, sample_weight=twice)
        assert np.allclose(weighted, what(f, x[copies], y[copies]))


def test_dropout_masks_belong_to_seed_and_step(rng):
    f = hc.Objective(
        hc.Sequential(hc.Linear(4, 30), hc.Dropout(0.5), hc.Linear(30, 2)), hc.MSELoss()
    )
    w, x = f.init(dtype="float64"), rng.normal(size=(5, 4))
    first = f.predict(w, x, train=(1, 2))
    assert np.array_equal(first, f.predict(w, x, train=(1, 2)))
    assert not np.array_equal(first, f.predict(w, x, train=(1, 3)))
    assert not np.array_equal(first, f.predict(w, x))
    assert np.array_equal(f.predict(w, x, train=True), f.predict(w, x, train=(0, 0)))


def test_other_array_libraries_and_layouts_give_the_same_bits(problem):
    jnp = pytest.importorskip("jax.numpy")
    f, w, x, y = problem
    w, x = w.astype(np.float32), x.astype(np.float32)
    grad = f.value_and_grad(w, x, y)[1]
    spread = np.zeros((40, 8), np.float32)
    spread[::2, ::2] = x
    packed = np.zeros(20, [("a", "i1"), ("x", "f4", (4,))])
    packed["x"] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for other in (
        np.asfortranarray(x),
        spread[::2, ::2],
        x[::-1].copy()[::-1],
        packed["x"],
        frozen,
    ):
        assert np.array_equal(f.value_and_grad(w, other, y)[1], grad)
    flat = array.array("f", w.tolist())
    assert np.array_equal(f.value_and_grad(flat, jnp.asarray(x), jnp.asarray(y))[1], grad)
    for kind in "bBhHiIlLqQ":
        assert np.array_equal(f.value_and_grad(w, x, y.astype(kind))[1], grad)


def test_quadratic_form_and_jacobian_products(problem, rng):
    f, w, x, y = problem
    v = rng.normal(size=w.size)
    hessian, ggn = f.hessian(w, x, y).dense(), f.ggn(w, x, y).dense()
    assert np.isclose(f.quadratic_form(w, x, y, v), v @ hessian @ v)
    assert np.isclose(f.quadratic_form(w, x, y, v, "gap"), v @ (hessian - ggn) @ v)
    u = rng.normal(size=(2, 20, 3))
    assert np.allclose(f.vjp(w, x, u) @ v, np.sum(u * f.jvp(w, x, v), axis=(1, 2)))


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


def test_exceptions_in_callables_come_through(problem):
    f, w, x, y = problem

    def broken(*_):
        raise KeyError("mine")

    for call in (
        lambda: hc.cg(broken, np.ones(3)),
        lambda: hc.cg(np.eye(3), np.ones(3), callback=broken),
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


# ---- the rest ------------------------------------------------------------------------------------


def test_threads_share_an_objective(problem):
    f, _, x, y = problem
    results = {}

    def work(seed: int) -> None:
        w = f.init(seed, dtype="float64")
        results[seed] = [f.value_and_grad(w, x, y)[1] for _ in range(50)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, grads in results.items():
        expected = f.value_and_grad(f.init(seed, dtype="float64"), x, y)[1]
        assert all(np.array_equal(expected, g) for g in grads)


def test_configuration_tells_devices_and_threads(capsys):
    hc.show_config()
    assert "threads" in capsys.readouterr().out
    assert hc.devices()[0] == "cpu"
    before = hc.get_num_threads()
    hc.set_num_threads(1)
    assert hc.get_num_threads() == 1
    hc.set_num_threads(before)
    assert hc.__version__
