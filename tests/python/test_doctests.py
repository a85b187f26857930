"""Every example in a docstring of the package runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import hesscore as hc

MODULES = [
    "_buffers",
    "_curvature",
    "_onnx.convert",
    "_forms",
    "_evaluations",
    "_parameters",
    "checkpoint",
    "config",
    "eigen",
    "errors",
    "estimators._estimate",
    "estimators.diagonal",
    "estimators.spectrum",
    "estimators.trace",
    "graph",
    "initial",
    "kronecker",
    "losses",
    "models",
    "krylov",
    "layers.activations",
    "layers.containers",
    "layers.conv",
    "layers.embedding",
    "layers.linear",
    "layers.norms",
    "layers.pooling",
    "layers.structure",
    "objective",
    "operators.identity",
    "operators.matrices",
    "operators.products",
    "optim",
    "solve",
    "testing.derivatives",
]


NEEDS = {"_onnx.convert": "onnx", "checkpoint": "safetensors"}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    failed, _ = doctest.testmod(importlib.import_module(f"hesscore.{name}"))
    assert failed == 0


def test_example_of_the_package_runs():
    assert doctest.testmod(hc).failed == 0


def test_every_public_name_is_documented():
    named = [getattr(hc, n) for n in hc.__all__ if not n.startswith("__")]
    bare = [o for o in named if not (inspect.getdoc(o) or "").strip()]
    assert bare == []


def test_public_functions_and_main_classes_have_examples():
    for name in ("cg", "devices", "diagonal", "frobenius_norm", "from_onnx", "identity", "load",
                 "save", "set_num_threads", "show_config", "get_include", "get_cmake_dir", "trace",
                 "tune_init", "Optimizer", "Graph", "Linear", "Sequential"):  # fmt: skip
        assert ">>>" in inspect.getdoc(getattr(hc, name)), name
    for owner in (hc.Objective, hc.Optimizer):
        for name, method in inspect.getmembers(owner, inspect.isfunction):
            if not name.startswith("_") and name != "load_state_dict":
                assert ">>>" in (method.__doc__ or ""), name
