"""Every quantity of the engine on random networks of all layers, against JAX in float64.

HESSCORE_TEST_NETWORKS sets the number of fixed seeds (700); a fifth as many fresh ones are added. A
failure prints its seed and the smallest problem found that still fails, ready to paste.
"""

from __future__ import annotations

import collections
import os
import secrets

import pytest

import hesscore as hc
from hesscore.layers.base import Layer

pytest.importorskip("jax")

from oracle.compare import Mismatch
from oracle.shrink import fail_smallest
from oracle_layers import Net, build, random_network
from oracle_layers.compare import OF_SAMPLES, check
from oracle_layers.jax_net import JaxReference
from oracle_layers.shrink import shrink

NETWORKS = int(os.environ.get("HESSCORE_TEST_NETWORKS", "700"))


def run(seed: int, dtype: str = "float64") -> None:
    import jax

    spec = random_network(seed)
    try:
        check(spec, dtype)
    except Exception as error:  # whatever happened, look for the smallest case of it
        fail_smallest(spec, dtype, error, check, shrink)
    finally:
        jax.clear_caches()  # every network is compiled once; their memory is not for ever


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_fixed_network(seed):
    run(seed)


@pytest.mark.parametrize("part", range(4))
def test_fresh_networks(part):
    start = secrets.randbits(48)
    print("fresh seeds from", start)
    for seed in range(start, start + -(-NETWORKS // 20)):
        run(seed)


@pytest.mark.parametrize("seed", range(NETWORKS, NETWORKS + NETWORKS // 7))
def test_float32_network(seed):
    run(seed, "float32")


def classes(layer):
    """The classes of a layer and of all inside it."""
    yield type(layer)
    inner = [*getattr(layer, "layers", ()), *getattr(layer, "branches", ())]
    for part in (*inner, *filter(None, [getattr(layer, "shortcut", None)])):
        yield from classes(part)


def test_every_layer_class_is_drawn(monkeypatch):
    call, drawn = hc.Graph.__call__, collections.Counter()
    trained, joints = set(), collections.Counter()

    def recorded(graph, layer, x, name=None):
        drawn.update(set(classes(layer)))
        return call(graph, layer, x, name)

    monkeypatch.setattr(hc.Graph, "__call__", recorded)
    for seed in range(max(NETWORKS, 700)):
        spec = random_network(seed)
        before = drawn.copy()
        build.objective(spec)
        joints.update(kind for kind, _, _ in spec.nodes if kind in build.JOINTS)
        trained |= set(drawn - before) if spec.train else set()
    known = (getattr(hc, name) for name in hc.__all__)
    layers = {c for c in known if isinstance(c, type) and issubclass(c, Layer)}
    assert len(layers) > 55
    assert {c.__name__ for c in layers if drawn[c] < 5} == set()
    assert {hc.BatchNorm1d, hc.BatchNorm2d} <= trained
    assert min(joints[kind] for kind in build.JOINTS) >= 10


class Bent:
    """An objective with one method off by a hundred-millionth."""

    def __init__(self, f, method):
        self._f, self._method = f, method

    def __getattr__(self, name):
        call = getattr(self._f, name)
        if name != self._method:
            return call
        off = 1 + 1e-8

        def bent(*args, **kw):
            result = call(*args, **kw)
            if isinstance(result, dict):
                return {name: part * off for name, part in result.items()}
            return (result[0], result[1] * off) if isinstance(result, tuple) else result * off

        return bent


METHODS = ["loss", "predict", "value_and_grad", "jvp", "vjp", "hvp", "ggnvp", "fishervp", "diag",
           "per_sample_grads", "grad_moments"]  # fmt: skip


def test_the_comparison_has_teeth(monkeypatch):
    specs = [s for s in map(random_network, range(8)) if not s.train]
    references = [JaxReference(s) for s in specs]
    objective = build.objective
    for method in METHODS:
        monkeypatch.setattr(build, "objective", lambda *a, m=method: Bent(objective(*a), m))
        caught = tried = 0
        for spec, reference in zip(specs, references, strict=True):
            if method in OF_SAMPLES and Net(spec).couples_samples():
                continue
            tried += 1
            try:
                check(spec, reference=reference)
            except Mismatch:
                caught += 1
        assert caught >= tried - 1 > 4, method
