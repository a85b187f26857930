"""A free graph as it grows, of any layers."""

from __future__ import annotations

import contextlib
import math

from oracle.activations import VARIANTS

from .shapes import NORMS, Shape
from .spec import Net, Spec

MAX_SIZE = 300  # elements of one sample of any node


class Draft:
    """A free graph as it grows: a random layer on a random node, again and again."""

    def __init__(self, rng):
        self.rng, self.nodes = rng, []
        self.inputs: dict[str, Shape] = {}
        self.integers: dict[str, int] = {}
        self.shapes: dict = {}
        self.unused: list = []
        self.shared: list = []

    # ---- helpers ----

    def n(self, low, high) -> int:
        """An integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, p) -> bool:
        return bool(self.rng.random() < p)

    def push(self, kind, sources, args):
        spec = Spec(0, 1, self.inputs, {}, (*self.nodes, (kind, tuple(sources), args)), False,
                    False, self.integers)  # fmt: skip
        shape = Net(spec).output.shape  # ValueError if it does not fit
        if math.prod(shape) > MAX_SIZE:
            raise ValueError("too large")
        self.nodes.append((kind, tuple(sources), args))
        at = len(self.nodes) - 1
        self.shapes[at] = shape
        self.unused = [u for u in self.unused if u not in sources] + [at]
        return at

    def input(self):
        name = ("x", "u", "v")[len(self.inputs)]
        kind = self.rng.choice(["image"] * 6 + ["sequence"] * 2 + ["vector", "tokens"])
        if kind == "image":
            shape = (self.n(1, 3), self.n(3, 7), self.n(3, 7))
        elif kind == "sequence":
            shape = (self.n(1, 3), self.n(3, 9))
        else:
            shape = (self.n(2, 5),)
        if kind == "tokens":
            self.integers[name] = self.n(2, 6)
        self.inputs[name] = shape
        if kind == "tokens":
            self.embed(name)
        else:
            self.shapes[name] = shape
            self.unused.append(name)

    def embed(self, name):
        rows = self.integers[name]
        padding = self.n(0, rows - 1) if self.chance(0.4) else None
        args = {"rows": rows, "out": self.n(1, 4), "padding_idx": padding}
        if self.chance(0.5):
            args["layer"] = f"table of {name}"
        self.push("embedding", [name], args)
        if self.chance(0.4):  # once more, the same one or another
            self.push("embedding", [name], args)

    def pick(self):
        pool = self.unused if self.rng.random() < 0.7 else list(self.shapes)
        return pool[self.rng.integers(len(pool))]

    # ---- growth ----

    def grow(self):
        a = self.pick()
        rank = len(self.shapes[a])
        kinds = ["act"] * 3 + ["norm"] * 2 + ["pair"] * 2 + ["container"] * 2 + ["move"] * 2
        kinds += ["linear", "inner", "other"] + ["share"] * (3 * bool(self.shared))
        if rank > 1:
            kinds += ["conv"] * 5 + ["conv_transpose"] * 2 + ["pool"] * 4 + ["resize"] * 2
        kind = str(self.rng.choice(kinds))
        with contextlib.suppress(ValueError):  # it does not fit here; another turn will
            getattr(self, kind)(a)

    def act(self, a):
        return self.push("act", [a], self.activation())

    def activation(self) -> dict:
        name, args = VARIANTS[self.rng.integers(len(VARIANTS))]
        return {"name": name, "args": args}

    def linear(self, a, out=None):
        args = {"out": out or self.n(1, 5), "bias": self.chance(0.8)}
        return self.push("linear", [a], self.maybe_shared("linear", args, self.shapes[a][-1]))

    def maybe_shared(self, kind, args, fan_in):
        if self.chance(0.35):
            args["layer"] = f"shared{len(self.shared)}"
            self.shared.append((kind, fan_in, args))
        return args

    def share(self, a):
        """Another use of a layer that is there, on this node or on one that it fits."""
        if not self.shared:
            return
        kind, fan_in, args = self.shared[self.rng.integers(len(self.shared))]

        def fits(shape):
            if kind == "linear":
                return shape[-1] == fan_in
            return shape[0] == fan_in and (kind in NORMS or len(shape) == len(args["kernel"]) + 1)

        nodes = [k for k, shape in self.shapes.items() if fits(shape)]
        if a not in nodes and nodes:
            a = nodes[self.rng.integers(len(nodes))]
        self.push(kind, [a], args)

    def conv(self, a):
        return self.push("conv", [a], self.convolution(a))

    def convolution(self, a) -> dict:
        channels, *space = self.shapes[a]
        axes = len(space)
        groups = [1, 1, *(g for g in range(2, channels + 1) if channels % g == 0)]
        groups = groups[self.rng.integers(len(groups))]
        args = {
            "out": groups * self.n(1, 2 if groups > 1 else 3),
            "kernel": tuple(self.n(1, 3) for _ in range(axes)),
            "stride": tuple(self.n(1, 2) for _ in range(axes)),
            "padding": tuple(self.n(0, 2) for _ in range(axes)),
            "dilation": tuple(self.n(1, 2) if self.chance(0.3) else 1 for _ in range(axes)),
            "groups": groups,
            "bias": self.chance(0.7),
        }
        if self.chance(0.3):
            args |= {"padding": "same", "stride": (1,) * axes}
        return self.maybe_shared("conv", args, channels)

    def conv_transpose(self, a):
        args = self.convolution(a)
        args["padding"] = tuple(self.n(0, 1) for _ in args["kernel"])
        more = [max(s, d) - 1 for s, d in zip(args["stride"], args["dilation"], strict=True)]
        args["output_padding"] = tuple(self.n(0, m) for m in more)
        if "layer" in args:
            self.shared[-1] = ("conv_transpose", self.shapes[a][0], args)
        return self.push("conv_transpose", [a], args)

    def pool(self, a):
        axes = len(self.shapes[a]) - 1
        kind = str(self.rng.choice(["max_pool", "avg_pool", "max_pool", "avg_pool", "adaptive"]))
        if kind == "adaptive":
            if self.chance(0.4):
                return self.push("global_avg_pool", [a], {})
            kind = "adaptive_max_pool" if self.chance(0.3) else "adaptive_avg_pool"
            size = tuple(self.n(1, n) for n in self.shapes[a][1:])
            return self.push(kind, [a], {"size": size})
        kernel = tuple(self.n(1, 3) for _ in range(axes))
        args = {
            "kernel": kernel,
            "stride": tuple(self.n(1, 3) for _ in range(axes)),
            "padding": tuple(self.n(0, k // 2) for k in kernel),
            "ceil_mode": self.chance(0.4),
        }
        if kind == "max_pool":
            args["dilation"] = tuple(self.n(1, 2) if self.chance(0.2) else 1 for _ in range(axes))
        else:
            args["count_include_pad"] = self.chance(0.5)
            if axes == 2 and self.chance(0.15):
                args["divisor_override"] = self.n(1, 5)
        return self.push(kind, [a], args)

    def norm(self, a):
        kind, args = self.normalisation(self.shapes[a])
        if kind in ("batch_norm", "group_norm"):
            args = self.maybe_shared(kind, args, self.shapes[a][0])
        return self.push(kind, [a], args)

    def normalisation(self, shape):
        kinds = ["layer_norm", "rms_norm", "batch_norm", "batch_norm"]
        kind = str(self.rng.choice(kinds + ["group_norm", "instance_norm"] * (len(shape) > 1)))
        args = {"eps": float(self.rng.choice([1e-5, 1e-2, 0.1])), "affine": self.chance(0.7)}
        if kind in ("layer_norm", "rms_norm"):
            args["shape"] = shape[-self.n(1, len(shape)) :]
            if kind == "layer_norm":
                args["bias"] = self.chance(0.7)
        elif kind == "group_norm":
            args["groups"] = self.n(1, shape[0])
            if shape[0] % args["groups"]:
                args["groups"] = 1
        elif kind == "batch_norm":
            args["track"] = self.chance(0.85)
        return kind, args

    def resize(self, a):
        axes = len(self.shapes[a]) - 1
        if self.chance(0.6):
            padding = tuple(self.n(-1, 2) for _ in range(2 * axes))
            return self.push("zero_pad", [a], {"padding": padding})
        return self.push("upsample", [a], {"by": tuple(self.n(1, 2) for _ in range(axes))})

    def move(self, a):
        """A slice, or an axis made two."""
        shape = self.shapes[a]
        axis = self.n(0, len(shape) - 1)
        size = shape[axis]
        if self.chance(0.6) and size > 1:
            start, stop = sorted(self.rng.choice(size + 1, 2, replace=False).tolist())
            args = {"axis": axis + 1, "start": int(start), "stop": int(stop), "step": self.n(1, 2)}
            return self.push("slice", [a], args)
        if len(shape) < 3:
            sizes = [k for k in range(1, size + 1) if size % k == 0]
            first = sizes[self.rng.integers(len(sizes))]
            args = {"axis": axis + 1, "sizes": (first, size // first)}
            return self.push("unflatten", [a], args)
        if self.chance(0.5):
            sizes = [k for k in range(1, math.prod(shape) + 1) if math.prod(shape) % k == 0]
            first = sizes[self.rng.integers(len(sizes))]
            return self.push("reshape", [a], {"shape": (first, math.prod(shape) // first)})
        return self.push("flatten", [a], {})

    def pair(self, a):
        kind = str(self.rng.choice(["add", "multiply", "concat"]))
        shape = self.shapes[a]
        same = [k for k, s in self.shapes.items() if s == shape and k != a]
        if kind == "multiply" and len(shape) > 1:
            same += [k for k, s in self.shapes.items() if s == (shape[0], *[1] * (len(shape) - 1))]
        if kind == "concat":
            axis = self.n(0, len(shape) - 1)
            same = [k for k, s in self.shapes.items() if len(s) == len(shape)
                    and s[:axis] + s[axis + 1 :] == shape[:axis] + shape[axis + 1 :]]  # fmt: skip
        b = same[self.rng.integers(len(same))] if same else self.act(a)
        args = {"axis": axis + 1} if kind == "concat" and same else {}
        if kind == "concat" and not same:
            args = {"axis": self.n(1, len(shape))}
        return self.push(kind, [a, b], args)

    def inner(self, a):
        """With a vector of another node: scores."""
        fits = [k for k, s in self.shapes.items() if s == self.shapes[a][-1:]]
        if len(self.shapes[a]) <= 2 and fits:
            return self.push("inner_product", [fits[self.rng.integers(len(fits))], a], {})
        return None

    def container(self, a):
        shape = self.shapes[a]
        kinds = ["residual", "gate", "squeeze_excite", "shortcut", "parallel", "side_by_side"]
        kind = str(self.rng.choice(kinds))
        if kind == "squeeze_excite" and len(shape) == 3:
            return self.push(kind, [a], {"squeeze": self.n(1, 2)})
        if kind == "shortcut":
            out = self.n(1, 3)
            body = [*self.small(shape), self.keeping(shape, out)]
            return self.push(
                "residual", [a], {"body": body, "shortcut": [self.keeping(shape, out)]}
            )
        if kind in ("parallel", "side_by_side"):
            outs = [self.n(1, 2)] * 2 if kind == "parallel" else [self.n(1, 2), self.n(1, 2)]
            branches = [[*self.small(shape), self.keeping(shape, out)] for out in outs]
            args = {"axis": 1} if kind == "side_by_side" else {}
            return self.push(kind, [a], {"branches": branches, **args})
        if kind == "gate":
            body = []
            if len(shape) == 3 and self.chance(0.6):
                body, shape = [("global_avg_pool", {})], (shape[0], 1, 1)
            body += [*self.small(shape), self.keeping(shape), ("act", {"name": "Sigmoid"})]
            return self.push("gate", [a], {"body": body})
        return self.push("residual", [a], {"body": [*self.small(shape), self.keeping(shape)]})

    def small(self, shape) -> list:
        """A layer or two that keep the shape."""
        layers = []
        if self.chance(0.4):
            layers.append(self.normalisation(shape))
        if self.chance(0.6):
            layers.append(("act", self.activation()))
        return layers

    def keeping(self, shape, out=None):
        """A convolution or linear layer that keeps the shape but for ``out``."""
        if len(shape) == 1 or (len(shape) == 2 and self.chance(0.3) and out is None):
            return ("linear", {"out": out or shape[-1], "bias": self.chance(0.7)})
        axes = len(shape) - 1
        args = {
            "out": out or shape[0], "kernel": tuple(self.n(1, 3) for _ in range(axes)),
            "stride": (1,) * axes, "padding": "same",
            "dilation": tuple(self.n(1, 2) for _ in range(axes)), "groups": 1,
            "bias": self.chance(0.7),
        }  # fmt: skip
        if out is None and shape[0] > 1 and self.chance(0.4):
            args["groups"] = shape[0]
        return ("conv", args)

    def other(self, a):
        kind = str(self.rng.choice(["dropout", "identity", "flatten"]))
        return self.push(kind, [a], {"p": 0.3} if kind == "dropout" else {})

    # ---- the end ----

    def close(self):
        """Join the loose ends so that every node is used; maybe end in a linear layer."""
        ends = [self.smaller(e) for e in self.unused]
        if len(ends) > 1:
            ends = [e if len(self.shapes[e]) == 1 else self.push("flatten", [e], {}) for e in ends]
            ends = [self.push("concat", ends, {"axis": 1})]
        (end,) = ends
        if len(self.shapes[end]) > 1 and self.chance(0.75):
            end = self.push("flatten", [end], {})
        if self.chance(0.7) or not self.nodes:
            self.linear(end, self.n(1, 4))

    def smaller(self, a):
        shape = self.shapes[a]
        if math.prod(shape) <= 20:
            return a
        if len(shape) == 1:
            return self.push("linear", [a], {"out": 2, "bias": False})
        size = tuple(min(n, self.n(1, 2)) for n in shape[1:])
        return self.push("adaptive_avg_pool", [a], {"size": size})
