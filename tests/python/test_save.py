"""Checkpoints give back the same function, and steps go on from them bit for bit."""

from __future__ import annotations

import inspect
import os

import numpy as np
import pytest

import hesscore as hc
import oracle
import oracle.build
import oracle_layers
import oracle_layers.build
import problems
from hesscore import layers, losses
from hesscore._describe import describe, make_objective
from optimizers import METHODS, parts

pytest.importorskip("safetensors")

IMAGE, DIGIT = (3, 32, 32), (1, 28, 28)
MODELS = {
    "mlp": (lambda: hc.models.mlp(6, 5, 4, activation=hc.GELU), None),
    "lenet5": (hc.models.lenet5, DIGIT),
    "cnn_3c3d": (hc.models.cnn_3c3d, IMAGE),
    "all_cnn_c": (hc.models.all_cnn_c, IMAGE),
    "resnet18_cifar": (hc.models.resnet18_cifar, IMAGE),
    "resnet20": (lambda: hc.models.resnet20(norm="group"), IMAGE),
    "efficient_block_net": (hc.models.efficient_block_net, (3, 16, 16)),
}


def same(f, g):
    """Do the two describe one function of one layout?"""
    assert (g.layout, g.inputs, g.output_shape) == (f.layout, f.inputs, f.output_shape)
    assert g.supports() == f.supports()
    assert (repr(g.loss_function), g.reduction) == (repr(f.loss_function), f.reduction)
    assert (g.check_finite, g.precision) == (f.check_finite, f.precision)
    assert describe(g) == describe(f)
    np.testing.assert_equal(g.buffers, f.buffers)


def round_trip(folder, f, w, opt=None, **options):
    hc.save(folder / "c.safetensors", f, w, opt)
    loaded = hc.load(folder / "c.safetensors", **options)
    same(f, loaded.f)
    assert loaded.w.dtype == w.dtype and loaded.w.tobytes() == w.tobytes()
    assert loaded.w.flags.writeable
    return loaded


# ---- what is saved -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_networks_of_papers(tmp_path, rng, name):
    make, shape = MODELS[name]
    f = hc.Objective(make(), hc.CrossEntropyLoss(), input_shape=shape)
    w = f.init(seed=2)
    g, v, opt = round_trip(tmp_path, f, w)
    assert opt is None
    x = rng.normal(size=(2, *(shape or (6,)))).astype(np.float32)
    assert g.predict(v, x).tobytes() == f.predict(w, x).tobytes()
    assert repr(g.net) == repr(f.net)


def test_several_integer_inputs(tmp_path):
    f = hc.Objective(hc.models.skipgram(20, 4, contexts=3), hc.BCEWithLogitsLoss([1.0, 2.0, 0.5]))
    w = f.init(dtype="float64")
    g, v, _ = round_trip(tmp_path, f, w)
    x = {"word": np.arange(5), "context": np.arange(15).reshape(5, 3)}
    y = np.ones((5, 3))
    assert g.loss(v, x, y) == f.loss(w, x, y)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("kind", [oracle, oracle_layers], ids=["graphs", "layers"])
def test_random_networks(kind, seed):
    random = oracle.random_graph if kind is oracle else oracle_layers.random_network
    f = kind.build.objective(random(seed))
    same(f, make_objective(describe(f)))


@pytest.mark.parametrize(
    "loss",
    [
        hc.CrossEntropyLoss([0.1, 0.7, 1 / 3], ignore_index=-100, label_smoothing=0.1),
        hc.CrossEntropyLoss(reduction="sum"),
        hc.MSELoss(),
        hc.BCEWithLogitsLoss(pos_weight=2.5),
        hc.PoissonNLLLoss(reduction="sum"),
        hc.HuberLoss(0.3),
    ],
    ids=repr,
)
def test_losses_and_options(tmp_path, loss):
    f = hc.Objective(problems.branched(), loss, 4, "sum", check_finite=False, precision="fp64")
    w = f.init(dtype="float64")
    w[3] = np.nan
    round_trip(tmp_path, f, w)


def test_two_heads(tmp_path):
    f = hc.Objective(hc.Linear(3, 4), hc.GaussianNLLLoss())
    round_trip(tmp_path, f, f.init())


def test_shared_layers_stay_shared(tmp_path):
    layer, act = hc.Linear(3, 3), hc.SqueezeExcite(3, 2, activation=hc.ELU(0.5))
    net = hc.Sequential(hc.Conv2d(3, 3, 1), act, hc.Residual(act, shortcut=act), hc.Flatten(),
                        hc.Linear(12, 3), layer, hc.Concat(layer, layer))  # fmt: skip
    f = hc.Objective(net, hc.MSELoss(), input_shape=(3, 2, 2))
    g, *_ = round_trip(tmp_path, f, f.init())
    assert g.net.layers[5] is g.net.layers[6].branches[1]
    assert g.net.layers[1] is g.net.layers[2].shortcut


def test_free_graphs(tmp_path):
    g, layer = hc.Graph(), hc.Linear(3, 3)
    a, b = g.input(3, name="a"), g.input((3,), name="b")
    h = g(layer, g(layer, a, name="twice") * b) + g(hc.Sequential(hc.Tanh(), layer), b)
    g.output(g.concat(g.inner(h, a), g.add(h, a, b), axis=1))
    f = hc.Objective(g, hc.MSELoss())
    assert list(f.layout) == ["twice.weight", "twice.bias"]
    round_trip(tmp_path, f, f.init())


def test_names_of_a_graph_do_not_depend_on_what_is_collected():
    for _ in range(20):
        g = hc.Graph()
        x = g.input(2)
        for _ in range(5):
            x = g(hc.Linear(2, 2), g(hc.Tanh(), x))
        g.output(x)
        names = list(hc.Objective(g, hc.MSELoss()).layout)[::2]
        assert names == [f"{k}.weight" for k in (1, 3, 5, 7, 9)]


def test_every_layer_and_loss_keeps_its_arguments():
    """Which is what descriptions are made of."""
    classes = [getattr(layers, name) for name in layers.__all__]
    classes = [c for c in classes if inspect.isclass(c) and issubclass(c, layers.Layer)]
    found = vars(losses).values()
    classes += [c for c in found if inspect.isclass(c) and issubclass(c, losses.Loss)]
    two = {"num_groups", "num_channels", "kernel_size"}
    for cls in classes:
        parameters = inspect.signature(cls).parameters.values()
        some = {"layers": [hc.Linear(2, 2)], "branches": [hc.Linear(2, 2)], "shape": [2]}
        first = [v for p in parameters if p.kind is p.VAR_POSITIONAL for v in some[p.name]]
        needed = [p.name for p in parameters
                  if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]  # fmt: skip
        values = {name: 2 if name in two else 4 for name in needed}
        values.update({"unflattened_size": (2, 2)} if "unflattened_size" in values else {})
        values.update({"scale_factor": 2} if cls is hc.Upsample else {})
        made = cls(*first, **values)
        for p in parameters:
            assert hasattr(made, p.name), f"{cls.__name__}.{p.name}"


def test_no_parameters(tmp_path):
    f = hc.Objective(hc.Tanh(), hc.MSELoss(), input_shape=3)
    round_trip(tmp_path, f, f.init(dtype="float64"))


def test_names_are_those_of_the_views(tmp_path):
    from safetensors.numpy import load_file

    net = hc.Sequential(hc.Linear(3, 4), hc.BatchNorm1d(4))
    f = hc.Objective(net, hc.MSELoss())
    w, opt = f.init(), hc.Optimizer(f, "adam")
    opt.step(w, np.eye(3, dtype=np.float32), np.eye(3, 4, dtype=np.float32))
    hc.save(tmp_path / "c", f, w, opt)
    tensors = load_file(tmp_path / "c")
    assert set(tensors) == {*f.layout, *f.buffers, "optimizer/m", "optimizer/u"}
    for name, view in f.views(w).items():
        assert np.array_equal(tensors[name], view)
    assert tensors["optimizer/u"].dtype == np.float32


def test_the_same_contents_give_the_same_file(tmp_path):
    f = hc.Objective(problems.branched(), hc.CrossEntropyLoss())
    for name in "ab":
        hc.save(tmp_path / name, f, f.init(), hc.Optimizer(f, "kfac"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = hc.load(tmp_path / "a")
    hc.save(tmp_path / "c", *loaded)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


# ---- going on ------------------------------------------------------------------------------------


def trainee(method):
    """With running statistics and dropout, unless the method needs gradients of single samples."""
    net = [hc.Linear(5, 8), hc.BatchNorm1d(8), hc.Dropout(0.2), hc.Tanh(), hc.Linear(8, 4)]
    if method in ("kfac", "chainrule_adam", "sophia_g"):
        del net[1]
    return hc.Objective(hc.Sequential(*net), hc.CrossEntropyLoss())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_steps_go_on_bit_for_bit(tmp_path, method, dtype):
    f = trainee(method)
    w, x, y = problems.batch(f, 28, 5, classes=4, dtype=dtype)
    limits = {"ema": 0.9}
    if method in ("sgd", "adam", "replica_newton"):
        limits["clip_norm"] = 0.5
    opt = hc.Optimizer(f, method, **METHODS[method], **limits)
    batches, expected = list(parts(x, y, 9)), None
    for k, (xb, yb) in enumerate(batches):
        if k in (0, 4, 7):  # also before the first step
            g, v, other = round_trip(tmp_path, f, w, opt)
            np.testing.assert_equal(other.state_dict(), opt.state_dict())
            assert repr(other) == repr(opt)
            for xc, yc in batches[k:]:
                other.step(v, xc, yc)
            ends = v, other.state_dict(), g.buffers
            np.testing.assert_equal(ends, expected or ends)
            expected = ends
        opt.step(w, xb, yb)
    np.testing.assert_equal((w, opt.state_dict(), f.buffers), expected)


def test_a_run_goes_on(tmp_path):
    f = trainee("adamw")
    w, x, y = problems.batch(f, 50, 5, classes=4)
    opt = hc.Optimizer(f, "adamw")
    data = {"batch_size": 16, "shuffle_seed": 3, "dropout_seed": 5, "progress": False}
    opt.run(w, x, y, epochs=2, **data)
    g, v, other = round_trip(tmp_path, f, w, opt)
    opt.run(w, x, y, epochs=2, first_epoch=2, **data)
    other.run(v, x, y, epochs=2, first_epoch=2, **data)
    assert v.tobytes() == w.tobytes()
    np.testing.assert_equal(g.buffers, f.buffers)


def test_it_may_be_saved_between_the_steps_of_a_run(tmp_path):
    f = trainee("adam")
    w, x, y = problems.batch(f, 40, 5, classes=4)
    opt = hc.Optimizer(f, "adam")
    opt.run(w, x, y, 8, 1, shuffle=False, progress=False,
            on_step=lambda info: hc.save(tmp_path / str(info.step), f, w, opt))  # fmt: skip
    assert len(os.listdir(tmp_path)) == 5
    for k in range(1, 6):
        g, v, other = hc.load(tmp_path / str(k))
        assert other.state_dict()["step"] == k
        for row in range(8 * k, 40, 8):
            other.step(v, x[row : row + 8], y[row : row + 8])
        assert v.tobytes() == w.tobytes()
        np.testing.assert_equal(g.buffers, f.buffers)


def test_schedules_are_to_be_given_again(tmp_path):
    f = trainee("kfac")
    w, x, y = problems.batch(f, 28, 5, classes=4)
    schedules = {"lr": lambda step: 0.1 / (1 + step), "damping": lambda step: 0.5}
    options = {"damping_rule": "constant", "momentum": np.float32(0.5), "interval": np.int64(2)}
    opt = hc.Optimizer(f, "kfac", **schedules, **options)
    opt.step(w, x, y)
    hc.save(tmp_path / "c", f, w, opt)
    for given in (None, {"lr": 0.1}):
        missing = "lr" if given is None else "damping"
        with pytest.raises(hc.OptionError, match=f"options: expected '{missing}' among them"):
            hc.load(tmp_path / "c", options=given)
    with pytest.raises(hc.OptionError, match=r"intervall.*did you mean 'interval'"):
        hc.load(tmp_path / "c", options={**schedules, "intervall": 3})
    _, v, other = round_trip(tmp_path, f, w, opt, options=schedules)
    assert other.options["interval"] == 2
    opt.step(w, x, y)
    other.step(v, x, y)
    assert v.tobytes() == w.tobytes()


def test_options_may_be_changed(tmp_path):
    f = trainee("adam")
    *_, opt = round_trip(tmp_path, f, f.init(), hc.Optimizer(f, "adam"), options={"lr": 0.5})
    assert opt.options["lr"] == 0.5
    hc.save(tmp_path / "c", f, f.init())
    with pytest.raises(hc.OptionError, match="options: expected none"):
        hc.load(tmp_path / "c", options={"lr": 0.5})


# ---- bad arguments -------------------------------------------------------------------------------


class Mine(hc.Sequential):
    pass


class Ours(hc.nn.Tanh):
    pass


def test_all_foreign_layers_are_named(tmp_path):
    f = hc.Objective(hc.Sequential(hc.Linear(2, 2), Ours(), Mine(hc.Linear(2, 2))), hc.MSELoss())
    with pytest.raises(hc.UnsupportedError, match="not Mine, Ours"):
        hc.save(tmp_path / "c", f, f.init())


def test_layers_that_have_changed_are_noticed(tmp_path):
    f = hc.Objective(hc.Sequential(hc.Linear(2, 2)), hc.MSELoss())
    f.net.layers.append(hc.Tanh())
    with pytest.raises(hc.StateError, match="f: expected layers as they were"):
        hc.save(tmp_path / "c", f, f.init())


def test_bad_arguments(tmp_path):
    f = hc.Objective(hc.Linear(2, 2), hc.MSELoss())
    g = hc.Objective(hc.Linear(2, 2), hc.MSELoss())
    w, path = f.init(), tmp_path / "c"
    bad = [
        (hc.OptionError, "path", (3, f, w)),
        (hc.OptionError, "f", (path, f.net, w)),
        (hc.ShapeError, "w", (path, f, w[1:])),
        (hc.DTypeError, "w", (path, f, w.astype(np.float16))),
        (hc.NonFiniteError, "w", (path, f, w * np.inf)),
        (hc.OptionError, "opt", (path, f, w, hc.Optimizer(g, "sgd"))),
        (hc.OptionError, "opt", (path, f, w, "sgd")),
    ]
    for error, name, arguments in bad:
        with pytest.raises(error) as caught:
            hc.save(*arguments)
        assert caught.value.arg == name
    with pytest.raises(hc.OptionError, match="path"):
        hc.load(None)
    assert os.listdir(tmp_path) == []


def test_strided_and_foreign_arrays_are_saved(tmp_path):
    f = hc.Objective(hc.Linear(2, 2), hc.MSELoss())
    hc.save(tmp_path / "c", f, np.repeat(f.init(), 2)[::2])
    assert np.array_equal(hc.load(tmp_path / "c").w, f.init())
    jnp = pytest.importorskip("jax.numpy")
    hc.save(tmp_path / "c", f, jnp.asarray(f.init(seed=1)))
    loaded = hc.load(tmp_path / "c", xp=jnp)
    assert isinstance(loaded.w, jnp.ndarray)
    assert np.array_equal(loaded.w, f.init(seed=1))
