"""The package as a user meets it: models, parameters, evaluations, configuration."""

from __future__ import annotations

import array
import pickle
import threading

import numpy as np
import pytest

import hesscore as hc
import problems


@pytest.fixture
def problem(rng):
    f = hc.Objective(problems.branched(), hc.CrossEntropyLoss())
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
    total = hc.Objective(problems.branched(), hc.CrossEntropyLoss(), reduction="sum")
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
