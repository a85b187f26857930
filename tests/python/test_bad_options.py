"""Bad hyper-parameters, run options and solver options: errors that name them."""

from __future__ import annotations

import numpy as np
import pytest

import entries
import hesscore as hc

OPTIONS = [
    ("sgd", {"lr": -1.0}),
    ("sgd", {"lr": float("nan")}),
    ("sgd", {"lr": float("inf")}),
    ("sgd", {"lr": "fast"}),
    ("sgd", {"lr": None}),
    ("sgd", {"momentum": 1.0}),
    ("sgd", {"momentum": -0.1}),
    ("sgd", {"nesterov": "yes"}),
    ("sgd", {"weight_decay": -1.0}),
    ("adam", {"beta1": 1.0}),
    ("adam", {"beta2": -0.1}),
    ("adam", {"eps": 0.0}),
    ("adamw", {"weight_decay": float("nan")}),
    ("adahessian", {"samples": 0}),
    ("adahessian", {"samples": 1.5}),
    ("adahessian", {"power": 0.0}),
    ("adahesscale", {"moment": "cube"}),
    ("adahesscale_gn", {"power": -1.0}),
    ("adahesscale", {"delta": -1.0}),
    ("bl89", {"max_scale": 0.0}),
    ("chainrule_adam", {"diag": "bl89"}),
    ("chainrule_adam", {"bias_correction": None}),
    ("sophia_g", {"interval": 0}),
    ("sophia_h", {"gamma": 0.0}),
    ("hessian_free", {"product": "fisher"}),
    ("trust_region", {"radius": 0.0}),
    ("trust_region", {"solver": "cg"}),
    ("newton", {"indefinite": "no"}),
    ("newton", {"damping": -1.0}),
    ("lbfgs", {"history": 0}),
    ("lbfgs", {"c2": 1.0}),
    ("lbfgs", {"c1": 0.95}),
    ("gauss_newton", {"damping": -1.0}),
    ("gauss_newton", {"damping_rule": "none"}),
    ("gauss_newton", {"cg_iterations": 0}),
    ("gauss_newton", {"cg_rtol": -1.0}),
    ("gauss_newton", {"preconditioner": "magic"}),
]


@pytest.mark.parametrize(("method", "options"), OPTIONS, ids=str)
def test_options(method, options):
    f, _ = entries.make()
    with pytest.raises((ValueError, TypeError)) as caught:
        hc.Optimizer(f, method, **options)
    assert isinstance(caught.value, hc.Error)
    assert next(iter(options)) in str(caught.value)


def test_unknown_options_suggest_the_nearest():
    f, _ = entries.make()
    with pytest.raises(hc.OptionError, match="momentum"):
        hc.Optimizer(f, "sgd", momentun=0.9)
    with pytest.raises(hc.OptionError, match="adahesscale"):
        hc.Optimizer(f, "adahescale")
    with pytest.raises(hc.Error, match="hesscale"):
        f.diag(*[entries.make()[1][k] for k in "wxy"], kind="hescale")


@pytest.mark.parametrize("value", ["text", float("nan"), np.ones(2), None, -1.0])
def test_schedules_must_return_rates(value):
    f, args = entries.make()
    opt = hc.Optimizer(f, "adam", lr=lambda step: value)
    before = args["w"].tobytes()
    with pytest.raises((ValueError, TypeError), match="lr"):
        opt.step(args["w"], args["x"], args["y"])
    assert args["w"].tobytes() == before


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("batch_size", {"batch_size": 0}),
        ("batch_size", {"batch_size": -3}),
        ("batch_size", {"batch_size": 2.5}),
        ("epochs", {"epochs": -1}),
        ("epochs", {"epochs": "two"}),
        ("first_epoch", {"epochs": 3, "first_epoch": 2**63 - 2}),
    ],
    ids=str,
)
def test_run_options(name, options):
    f, args = entries.make()
    before = args["w"].tobytes()
    with pytest.raises((ValueError, TypeError), match=name):
        hc.Optimizer(f, "sgd").run(args["w"], args["x"], args["y"], progress=False, **options)
    assert args["w"].tobytes() == before


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rtol", {"rtol": -1.0}),
        ("rtol", {"rtol": float("nan")}),
        ("maxiter", {"maxiter": -1}),
        ("maxiter", {"maxiter": 2.5}),
        ("stop", {"stop": "soon"}),
        ("x0", {"x0": np.zeros(4)}),
        ("x0", {"x0": [0.0, 0.0]}),
    ],
    ids=str,
)
def test_solver_options(name, options):
    from scipy.sparse.linalg import aslinearoperator

    with pytest.raises((ValueError, TypeError), match=name):
        hc.cg(aslinearoperator(np.eye(2)), np.ones(2), **options)


def test_more_samples_than_are_counted():
    f, args = entries.make()
    point = [args[k] for k in "wxy"]
    calls = (
        lambda n: f.evaluate(*point, ("ggn_mc",), n),
        lambda n: f.diag(*point, kind="hutchinson", samples=n),
        lambda n: f.fishervp(*point, args["w"], "mc", samples=n),
        lambda n: f.fisher(*point, "mc", samples=n),
    )
    for call in calls:
        for n in (2**31, 2**64):
            with pytest.raises(hc.OptionError, match="samples: expected an integer >= 1 and <"):
                call(n)


@pytest.mark.parametrize("key", [1, None, ("a",)])
def test_states_have_strings_as_keys(key):
    f, _ = entries.make()
    opt = hc.Optimizer(f, "adam")
    with pytest.raises(hc.StateError, match="keys that are strings"):
        opt.load_state_dict({**opt.state_dict(), key: 1.0})


@pytest.mark.parametrize("factor", ["3", b"3"])
def test_operators_times_text(factor):
    f, args = entries.make()
    for A in (f.ggn(*(args[k] for k in "wxy")), hc.identity(f.num_params)):
        with pytest.raises(TypeError):
            A * factor
        with pytest.raises(TypeError):
            factor * A
