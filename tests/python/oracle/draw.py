"""Random problems from a seed: free graphs and container networks, all activations and losses."""

from __future__ import annotations

import math

import numpy as np

from .activations import VARIANTS
from .recursion import forward
from .spec import Net, Shape, Spec, make_inputs

MAX_PARAMS = 140
MAX_WORK = 1.2e6  # batch * largest layer * parameters^2: the cost of the dense reference

LOSSES = (
    "CrossEntropyLoss",
    "MSELoss",
    "BCEWithLogitsLoss",
    "GaussianNLLLoss",
    "PoissonNLLLoss",
    "HuberLoss",
)


def random_graph(seed: int) -> Spec:
    """A problem drawn from ``seed``, small enough for dense references and tame in value."""
    rng = np.random.default_rng([seed, 7])
    while True:
        try:
            spec = (_containers if rng.random() < 0.4 else _free)(rng, seed)
            net = Net(spec)
        except ValueError:
            continue
        widest = max(math.prod(n.shape) for n in net.nodes)
        work = spec.batch * widest * net.num_params**2
        if 0 < net.num_params <= MAX_PARAMS and work <= MAX_WORK and _range(spec, net) < 12:
            return spec


def _range(spec: Spec, net: Net) -> float:
    with np.errstate(all="ignore"):
        top = max(np.abs(v).max() for v in forward(net, *make_inputs(spec, net)))
    return top if np.isfinite(top) else math.inf


def random_loss(rng, name: str, out: Shape) -> dict:
    """Arguments for the loss on outputs of the given shape."""
    loss: dict = {"name": name, "reduction": str(rng.choice(["mean", "mean", "sum"]))}
    if name == "CrossEntropyLoss":
        if rng.random() < 0.4:
            loss["weight"] = [float(v) for v in rng.uniform(0.3, 2.0, size=out[0]).round(3)]
        if rng.random() < 0.35:
            loss["label_smoothing"] = float(rng.choice([0.1, 0.25]))
        if rng.random() < 0.3:
            loss["soft"] = True
        elif rng.random() < 0.4:
            loss["ignore_index"] = int(rng.choice([-100, 0])) if out[0] > 1 else -100
    elif name == "BCEWithLogitsLoss" and rng.random() < 0.5:
        count = 1 if rng.random() < 0.5 else math.prod(out)
        loss["pos_weight"] = [float(v) for v in rng.uniform(0.3, 3.0, size=count).round(3)]
    elif name == "HuberLoss":
        loss["delta"] = float(rng.choice([0.5, 1.0, 2.0]))
    return loss


def _activation(rng):
    name, args = VARIANTS[rng.integers(len(VARIANTS))]
    return ("act", {"name": name, "args": args})


def _width(rng) -> int:
    return int(rng.integers(1, 10))


def _input_shape(rng, positions: int) -> Shape:
    return (positions, int(rng.integers(1, 6))) if positions else (_width(rng),)


def _finish(rng, seed, inputs, nodes=(), layers=()) -> Spec:
    """The network with a batch and a loss that fits its output."""
    spec = Spec(
        seed, int(rng.integers(1, 8)), inputs, {}, tuple(nodes), tuple(layers),
        weighted=bool(rng.random() < 0.3),
    )  # fmt: skip
    out = Net(spec).output.shape
    names = [n for n in LOSSES if n != "GaussianNLLLoss" or out[0] % 2 == 0]
    loss = random_loss(rng, str(rng.choice([*names, LOSSES[0]])), out)
    return Spec(seed, spec.batch, inputs, loss, spec.nodes, spec.layers, spec.weighted)


# ---- free graphs ----


def _free(rng, seed) -> Spec:
    positions = int(rng.integers(2, 5)) if rng.random() < 0.3 else 0
    count = int(rng.choice([1, 1, 2, 3]))
    inputs = {("x", "u", "v")[i]: _input_shape(rng, positions) for i in range(count)}
    draft = _Draft(rng, inputs)
    for _ in range(int(rng.integers(2, 11))):
        draft.grow()
    draft.close()
    return _finish(rng, seed, inputs, nodes=draft.nodes)


class _Draft:
    def __init__(self, rng, inputs):
        self.rng, self.nodes = rng, []
        self.shapes = dict(inputs)
        self.unused = list(inputs)
        self.layers: list[tuple[str, int, int]] = []

    def push(self, kind, sources, args, shape):
        at = len(self.nodes)
        self.nodes.append((kind, tuple(sources), args))
        self.shapes[at] = shape
        self.unused = [u for u in self.unused if u not in sources] + [at]
        return at

    def pick(self):
        pool = self.unused if self.rng.random() < 0.6 else list(self.shapes)
        return pool[self.rng.integers(len(pool))]

    def linear(self, a, out):
        args = {"out": out, "bias": bool(self.rng.random() < 0.8)}
        if self.rng.random() < 0.4:
            args["layer"] = f"shared{len(self.layers)}"
            self.layers.append((args["layer"], self.shapes[a][-1], out))
        return self.push("linear", [a], args, (*self.shapes[a][:-1], out))

    def grow(self):
        rng, a = self.rng, self.pick()
        shape = self.shapes[a]
        kind = rng.choice(["linear"] * 4 + ["act"] * 4 + ["pair"] * 4 + ["share"] * 3 + ["other"])
        if kind == "act":
            self.push("act", [a], _activation(rng)[1], shape)
        elif kind == "pair":
            self.pair(str(rng.choice(["add", "multiply", "concat"])), a)
        elif kind == "share" and [s for s in self.layers if s[1] == shape[-1]]:
            fits = [s for s in self.layers if s[1] == shape[-1]]
            key, _, out = fits[rng.integers(len(fits))]
            self.push("linear", [a], {"out": out, "layer": key}, (*shape[:-1], out))
        elif kind == "other":
            other = str(rng.choice(["dropout", "identity", "flatten"]))
            args = {"p": 0.3} if other == "dropout" else {}
            self.push(other, [a], args, (math.prod(shape),) if other == "flatten" else shape)
        else:
            self.linear(a, _width(rng))

    def pair(self, kind, a):
        shape = self.shapes[a]
        same = [k for k, s in self.shapes.items() if s == shape and k != a]
        if same and self.rng.random() < 0.8:
            b = same[self.rng.integers(len(same))]
        else:
            b = self.linear(a, shape[-1])
        args = {}
        if kind == "concat":
            axis = int(self.rng.integers(len(shape)))
            args = {"axis": axis + 1}
            shape = shape[:axis] + (2 * shape[axis],) + shape[axis + 1 :]
        self.push(kind, [a, b], args, shape)

    def close(self):
        """Join the loose ends so that every node is used; maybe end in a last linear layer."""
        ends = list(self.unused)
        if len(ends) > 1 and len({self.shapes[e][:-1] for e in ends}) > 1:
            ends = [self.flat(e) for e in ends]
        while len(ends) > 1:
            a, b = ends.pop(), ends.pop()
            if self.rng.random() < 0.5:
                axis = len(self.shapes[a])
                out = self.shapes[a][-1] + self.shapes[b][-1]
                shape = (*self.shapes[a][:-1], out)
                ends.append(self.push("concat", [a, b], {"axis": axis}, shape))
            else:
                b = self.linear(b, self.shapes[a][-1])
                ends.append(self.push("add", [a, b], {}, self.shapes[a]))
        if self.rng.random() < 0.7 or len(self.nodes) == 0:
            self.linear(ends[0], int(self.rng.integers(1, 7)))
        elif self.unused != [len(self.nodes) - 1]:
            self.push("identity", [ends[0]], {}, self.shapes[ends[0]])

    def flat(self, a):
        if len(self.shapes[a]) == 1:
            return a
        return self.push("flatten", [a], {}, (math.prod(self.shapes[a]),))


# ---- containers ----


def _containers(rng, seed) -> Spec:
    positions = int(rng.integers(2, 5)) if rng.random() < 0.25 else 0
    layers = _block(rng, depth=0)
    if rng.random() < 0.8:
        layers.append(("linear", {"out": int(rng.integers(1, 7))}))
    return _finish(rng, seed, {"x": _input_shape(rng, positions)}, layers=layers)


def _block(rng, depth) -> list:
    layers: list = []
    for _ in range(int(rng.integers(1, 5 - depth))):
        kind = rng.choice(["linear"] * 3 + ["act"] * 3 + ["nest"] * 2 + ["dropout", "flatten"])
        if kind == "linear":
            layers.append(("linear", {"out": _width(rng), "bias": bool(rng.random() < 0.8)}))
        elif kind == "act":
            layers.append(_activation(rng))
        elif kind == "dropout":
            layers.append(("dropout", {"p": 0.2}))
        elif kind == "flatten" and depth == 0:
            layers.append(("flatten", {}))
        elif depth < 2:
            layers.append(_nest(rng, depth + 1))
    return layers or [("linear", {"out": 2})]


def _nest(rng, depth):
    same = [("linear", {"out": None})]
    kind = str(rng.choice(["residual", "gate", "branches"]))
    if kind == "branches":
        return (kind, {"body": [_block(rng, depth) for _ in range(int(rng.integers(2, 4)))]})
    body = _block(rng, depth) + same
    if kind == "gate" and rng.random() < 0.5:
        body.append(("act", {"name": "Sigmoid"}))
    args: dict = {"body": body}
    if kind == "residual" and rng.random() < 0.3:
        args = {"body": _block(rng, depth), "shortcut": same}
    return (kind, args)
