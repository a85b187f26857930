"""Digits of 8 x 8 pixels as arrays of NumPy, or of CuPy: what all examples work on."""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import Any

import numpy as np

import hesscore as hc


def array_module(about: str | None) -> ModuleType:
    """Choose NumPy, or CuPy if `--cuda` is given: arrays decide where the work runs."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--cuda", action="store_true", help="run on a GPU, with CuPy's arrays")
    if not parser.parse_args().cuda:
        return np
    import cupy

    return cupy


def digits(xp: ModuleType) -> tuple[Any, Any, Any, Any]:
    """Load images (N, 64) in float32 and labels (N,), to train and to test."""
    data = hc.datasets.digits()
    arrays = data.x_train.reshape(-1, 64), data.y_train, data.x_test.reshape(-1, 64), data.y_test
    return tuple(xp.asarray(a) for a in arrays)


def perceptron() -> hc.Objective:
    """Make a network 64-64-32-10 and its cross-entropy."""
    return hc.Objective(hc.models.mlp(64, 64, 32, 10), hc.CrossEntropyLoss())


def accuracy(f: hc.Objective, w: Any, x: Any, y: Any) -> float:
    """Count the share of samples whose largest output is that of their label."""
    return float((f.predict(w, x).argmax(1) == y).mean())
