"""Smaller networks that fail in the same way, for a reproduction that fits on a screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from oracle.shrink import is_whole, smallest

from .spec import Net, Spec


def shrink(spec: Spec, fails: Callable[[Spec], bool], tries: int = 60) -> Spec:
    """Follow simplifications for as long as ``fails`` holds."""
    return smallest(spec, lambda s: (c for c in candidates(s) if is_whole(c, Net)), fails, tries)


def candidates(spec: Spec) -> Iterator[Spec]:
    """Simpler specs, the most different first; some are not valid."""
    new = dataclasses.replace
    plain = {"name": "MSELoss"}
    for nodes in _without(spec.nodes):
        inputs = _used(spec.inputs, nodes)
        yield new(spec, nodes=nodes, inputs=inputs)
        yield new(spec, nodes=nodes, inputs=inputs, loss=plain)
    for batch in {1, spec.batch // 2, spec.batch - 1} - {spec.batch, 0}:
        yield new(spec, batch=batch)
    if spec.weighted:
        yield new(spec, weighted=False)
    if spec.loss != plain:
        yield new(spec, loss=plain)
    for i, (kind, sources, args) in enumerate(spec.nodes):
        for simpler in _simpler(kind, args):
            nodes = (*spec.nodes[:i], (*simpler[:1], sources, simpler[1]), *spec.nodes[i + 1 :])
            yield new(spec, nodes=nodes)


def _used(inputs, nodes):
    names = {s for _, sources, _ in nodes for s in sources}
    return {k: v for k, v in inputs.items() if k in names}


def _without(nodes: tuple) -> Iterator[tuple]:
    """The first nodes alone; and all but one, whose users read its source instead."""
    yield from (_alive(nodes[:n]) for n in range(1, len(nodes)))
    for gone, (_, sources, _) in enumerate(nodes):
        for source in sources:
            kept = nodes[:gone] + nodes[gone + 1 :]
            if kept:
                renaming = {gone: source} | {k: k - 1 for k in range(gone + 1, len(nodes))}
                yield _alive(_renamed(kept, renaming))


def _renamed(nodes: tuple, names: dict) -> tuple:
    return tuple((k, tuple(names.get(s, s) for s in src), a) for k, src, a in nodes)


def _alive(nodes: tuple) -> tuple:
    """What leads to the last node."""
    used = {len(nodes) - 1}
    for k in reversed(range(len(nodes))):
        if k in used:
            used |= set(nodes[k][1])
    kept = [k for k in range(len(nodes)) if k in used]
    return _renamed(tuple(nodes[k] for k in kept), {k: i for i, k in enumerate(kept)})


def _simpler(kind: str, args: dict) -> Iterator[tuple]:
    body = args.get("body", [])
    for i in range(len(body)):
        yield kind, {**args, "body": body[:i] + body[i + 1 :]}
    if len(body) == 1:
        yield body[0]
    for branch in args.get("branches", []):
        yield "sequential", {"body": branch}
    usual = {"groups": 1, "bias": False, "ceil_mode": False, "affine": False}
    for name, value in usual.items():
        if args.get(name, value) != value:
            yield kind, {**args, name: value}
    for name, value in (("dilation", 1), ("stride", 1), ("padding", 0), ("output_padding", 0)):
        if "kernel" in args and name in args and args[name] != (value,) * len(args["kernel"]):
            yield kind, {**args, name: (value,) * len(args["kernel"])}
    if "layer" in args:
        yield kind, {k: v for k, v in args.items() if k != "layer"}
    if kind == "act" and args["name"] != "Tanh":
        yield kind, {"name": "Tanh"}
