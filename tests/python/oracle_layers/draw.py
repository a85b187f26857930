"""Random networks of any layers from a seed, small enough for dense references."""

from __future__ import annotations

import itertools
import math

import numpy as np

from oracle.draw import LOSSES, random_loss

from . import plain
from .draft import MAX_SIZE, Draft
from .shapes import NORMS
from .spec import Net, Spec, make_data

MAX_PARAMS = 150
MAX_OUTPUTS = 70  # of the whole batch: columns of the dense Jacobian


def random_network(seed: int) -> Spec:
    """A problem drawn from ``seed``, tame in value."""
    rng = np.random.default_rng([seed, 11])
    while True:
        try:
            spec = _draw(rng, seed)
            net = Net(spec)
        except ValueError:
            continue
        small = max(math.prod(n.shape) for n in net.nodes) <= MAX_SIZE
        outputs = spec.batch * math.prod(net.output.shape)
        if (
            0 < net.num_params <= MAX_PARAMS
            and small
            and outputs <= MAX_OUTPUTS
            and tame(spec, net)
        ):
            return spec


def tame(spec: Spec, net: Net) -> bool:
    """Values of moderate size, and statistics over enough elements to mean something."""
    data = make_data(spec, net)
    with np.errstate(all="ignore"):
        values = plain.forward(net, data.w, data.x, data.buffers)
    top = max(np.abs(v).max() for v in values)
    return np.isfinite(top) and top < 12 and all(
        _spread(node, [values[s] for s in node.sources]) > 1e-3
        for node in net.nodes
        if node.kind in NORMS
    )  # fmt: skip


def _spread(node, src) -> float:
    """The smallest variance plus eps that a norm divides by."""
    x = src[0]
    if node.kind == "batch_norm":
        var = x.var((0, *range(2, x.ndim))) if x[:, 0].size > 1 else np.zeros(1)
    elif node.kind in ("layer_norm", "rms_norm"):
        axes = tuple(range(-len(node.args["shape"]), 0))
        var = (x * x).mean(axes) if node.kind == "rms_norm" else x.var(axes)
    else:
        var = x.reshape(len(x), node.args.get("groups", x.shape[1]), -1).var(-1)
    return float(var.min())


def _draw(rng, seed) -> Spec:
    batch = int(rng.integers(1, 8))
    draft = Draft(rng)
    for _ in range(int(rng.integers(1, 3)) if rng.random() < 0.4 else 1):
        draft.input()
    for _ in range(int(rng.integers(2, 9))):
        draft.grow()
    draft.close()
    train = bool(rng.random() < 0.5) and any(_has(n, "batch_norm") for n in draft.nodes)
    nodes = tuple(draft.nodes)
    if train:  # no masks of dropout
        nodes = tuple(("identity", n[1], {}) if n[0] == "dropout" else n for n in nodes)
    spec = Spec(seed, batch, draft.inputs, {}, nodes, bool(rng.random() < 0.3), train,
                draft.integers)  # fmt: skip
    out = Net(spec).output.shape
    names = [n for n in LOSSES if n != "GaussianNLLLoss" or out[0] % 2 == 0]
    loss = random_loss(rng, str(rng.choice([*names, LOSSES[0]])), out)
    return Spec(seed, batch, draft.inputs, loss, nodes, spec.weighted, train, draft.integers)


def _has(node, kind) -> bool:
    inside = [*node[-1].get("body", ()), *itertools.chain(*node[-1].get("branches", ()))]
    return node[0] == kind or any(_has((k, (), a), kind) for k, a in inside)
