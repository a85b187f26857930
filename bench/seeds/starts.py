"""Initial parameters as Keras draws them, and those of paper 001; biases are zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import hesscore as hc

from .settings import Settings

TRUNCATED = 0.87962566103423978  # deviation of a standard normal cut at two deviations


def truncated(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """Draw normal numbers again until all lie within two deviations; nothing is rescaled."""
    z = rng.standard_normal(shape)
    while (far := np.abs(z) > 2).any():
        z[far] = rng.standard_normal(int(far.sum()))
    return deviation * z


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    bound = math.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, shape)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw Keras' He normal: truncated, then of the deviation sqrt(2 / fan_in)."""
    return truncated(rng, shape, math.sqrt(2 / shape[1]) / TRUNCATED)


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    tall = rng.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))
    return q if shape[0] >= shape[1] else q.T


def dense(f: hc.Objective, scheme: str, seed: int, settings: Settings, sigma: float = 0.3) -> Any:
    """Draw a dense network's parameters.

    "hessian-driven" is the paper's, chosen by hand: Glorot's first layer, then normal numbers of
    deviation `sigma`, truncated and not rescaled.
    """
    rng = np.random.default_rng((seed, 1))
    draw = {"glorot": glorot_uniform, "he": he_normal, "orthogonal": orthogonal}
    w = np.zeros(f.num_params, np.float32)
    first = True
    for view in f.views(w).values():
        if view.ndim < 2:
            continue
        if scheme == "hessian-driven":
            drawn = glorot_uniform(rng, view.shape) if first else truncated(rng, view.shape, sigma)
        else:
            drawn = draw[scheme](rng, view.shape)
        view[:] = drawn
        first = False
    return settings.put(w)
