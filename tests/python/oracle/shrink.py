"""Smaller problems that fail in the same way, for a reproduction that fits on a screen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from .compare import Mismatch
from .spec import Net, Spec


def shrink(spec: Spec, fails: Callable[[Spec], bool], tries: int = 400) -> Spec:
    """Follow simplifications for as long as ``fails`` holds."""
    return smallest(spec, lambda s: (c for c in candidates(s) if is_whole(c, Net)), fails, tries)


def smallest(spec, simpler: Callable[[Any], Iterator], fails: Callable[[Any], bool], tries: int):
    """Follow ``simpler`` specs greedily for as long as ``fails`` holds."""
    again = True
    while again and tries > 0:
        again = False
        for candidate in simpler(spec):
            tries -= 1
            if tries < 0:
                break
            if fails(candidate):
                spec, again = candidate, True
                break
    return spec


def is_whole(spec, net_of: Callable[[Any], Any]) -> bool:
    """Is it a network with one end, parameters, and a loss that fits its output?"""
    try:
        net = net_of(spec)
    except (ValueError, TypeError, IndexError):
        return False
    used = {s for n in net.nodes for s in n.sources}
    one_end = set(range(len(net.nodes))) - used == {len(net.nodes) - 1}
    return one_end and net.num_params > 0 and _loss_fits(spec.loss, net.output.shape)


def fail_smallest(
    spec, dtype: str, error: Exception, check: Callable, shrink: Callable
) -> NoReturn:
    """Fail the test with the smallest problem found for which ``check`` raises the same error."""
    kind = type(error)

    def fails(candidate) -> bool:
        try:
            check(candidate, dtype)
        except kind:
            return True
        except Exception:
            return False
        return False

    package = check.__module__.partition(".")[0]
    pytest.fail(
        f"seed {spec.seed}, {dtype}: {kind.__name__}: {error}\nreproduce with\n"
        f"from {package} import Spec; from {package}.compare import check\n"
        f"check({shrink(spec, fails)!r}, {dtype!r})",
        pytrace=not isinstance(error, Mismatch),
    )


def _loss_fits(loss: dict, out: tuple) -> bool:
    if loss["name"] == "GaussianNLLLoss":
        return out[0] % 2 == 0
    if len(loss.get("weight", [0] * out[0])) != out[0]:
        return False
    return len(loss.get("pos_weight", [1])) in (1, math.prod(out))


def candidates(spec: Spec) -> Iterator[Spec]:
    """Simpler specs, the most different first; some are not valid."""
    new = dataclasses.replace
    yield from (new(spec, layers=ls) for ls in _shorter(spec.layers) if ls)
    yield from (new(spec, nodes=ns) for ns in _without(spec.nodes) if ns)
    for batch in {1, spec.batch // 2, spec.batch - 1} - {spec.batch, 0}:
        yield new(spec, batch=batch)
    if spec.weighted:
        yield new(spec, weighted=False)
    for key in set(spec.loss) - {"name"}:
        yield new(spec, loss={k: v for k, v in spec.loss.items() if k != key})
    if spec.loss["name"] != "MSELoss":
        yield new(spec, loss={"name": "MSELoss"})
    used = {s for _, sources, _ in spec.nodes for s in sources}
    if spec.nodes and set(spec.inputs) - used:
        yield new(spec, inputs={k: s for k, s in spec.inputs.items() if k in used})
    for name, shape in spec.inputs.items():
        for i, d in enumerate(shape):
            if d > 1:
                smaller = (*shape[:i], d // 2, *shape[i + 1 :])
                yield new(spec, inputs={**spec.inputs, name: smaller})
        if len(shape) > 1:
            yield new(spec, inputs={**spec.inputs, name: shape[1:]})
    yield from (new(spec, nodes=ns) for ns in _plainer(spec.nodes))
    yield from (new(spec, layers=ls) for ls in _plainer(spec.layers))


def _shorter(layers: tuple) -> Iterator[tuple]:
    for i, (kind, args) in enumerate(layers):
        yield layers[:i] + layers[i + 1 :]
        if kind in ("residual", "gate"):
            yield layers[:i] + tuple(args["body"]) + layers[i + 1 :]
            for body in _shorter(tuple(args["body"])):
                yield layers[:i] + ((kind, {**args, "body": list(body)}),) + layers[i + 1 :]
        if kind == "branches":
            for j in range(len(args["body"])):
                body = args["body"][:j] + args["body"][j + 1 :]
                yield layers[:i] + tuple(args["body"][j]) + layers[i + 1 :]
                yield layers[:i] + ((kind, {"body": body}),) + layers[i + 1 :]


def _without(nodes: tuple) -> Iterator[tuple]:
    """The nodes less one, whose users read its first source instead."""
    for gone, (_, sources, _) in enumerate(nodes):

        def renamed(s, gone=gone, instead=sources[0]):
            s = instead if s == gone else s
            return s - 1 if isinstance(s, int) and s > gone else s

        kept = nodes[:gone] + nodes[gone + 1 :]
        yield tuple((k, tuple(renamed(s) for s in src), a) for k, src, a in kept)
    yield from (nodes[:n] for n in range(1, len(nodes)))


def _plainer(items: tuple) -> Iterator[tuple]:
    """One layer with simpler arguments."""
    for i, item in enumerate(items):
        for args in _plainer_args(item[0], item[-1]):
            yield items[:i] + ((*item[:-1], args),) + items[i + 1 :]


def _plainer_args(kind: str, args: dict) -> Iterator[dict]:
    if kind == "linear":
        if args["out"] and args["out"] > 1:
            yield {**args, "out": args["out"] // 2}
        if "layer" in args:
            yield {k: v for k, v in args.items() if k != "layer"}
        if args.get("bias"):
            yield {**args, "bias": False}
    elif kind == "act" and args["name"] not in ("Square", "Tanh"):
        yield {"name": "Square"}
        yield {"name": "Tanh"}
