"""torch.func: transformations of pure functions of the parameters."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools

import torch
from torch import func

from .cases import has_batch_norm
from .problem import Problem
from .rows import Row
from .torch_nets import network
from .torch_sides import (
    batch,
    join_samples,
    join_tensors,
    loss,
    rademacher,
    set_threads,
    vectors,
    versions_with,
)

__all__ = ["rows", "set_threads", "versions"]

versions = versions_with


class Functions:
    """The functions of one problem, of parameters `w` that are a tuple of tensors."""

    def __init__(self, problem: Problem) -> None:
        self.net = network(problem)
        self.names = [name for name, _ in self.net.named_parameters()]
        self.w = tuple(p.detach() for p in self.net.parameters())
        self.v = tuple(vectors(problem))
        self.x, self.y = batch(problem)

    def output(self, w, x):
        return func.functional_call(self.net, dict(zip(self.names, w, strict=True)), (x,))

    def loss(self, w, x, y):
        return loss(self.output(w, x), y)

    def gradient(self, w):
        return func.grad(self.loss)(w, self.x, self.y)

    def hvp(self, w, v):
        return func.jvp(self.gradient, (w,), (v,))[1]

    def hutchinson(self, w):
        z = tuple(rademacher(w))
        grads, products = func.jvp(self.gradient, (w,), (z,))
        return grads, tuple(a * b for a, b in zip(z, products, strict=True))

    def ggnvp(self, w, v):
        z, tangents = func.jvp(lambda w: self.output(w, self.x), (w,), (v,))
        curved = func.jvp(func.grad(lambda z: loss(z, self.y)), (z,), (tangents,))[1]
        return func.vjp(lambda w: self.output(w, self.x), w)[1](curved)[0]

    def per_sample_grads(self, w):
        return self._per_sample(w, self.y)

    def ggn_mc(self, w):
        """Gradient, and mean squares of gradients at drawn labels."""
        with torch.no_grad():
            drawn = torch.distributions.Categorical(logits=self.output(w, self.x)).sample()
        return self.gradient(w), [g.square().mean(0) for g in self._per_sample(w, drawn)]

    def _per_sample(self, w, labels):
        one = func.grad(lambda w, x, y: self.loss(w, x[None], y[None]))
        return func.vmap(one, in_dims=(None, 0, 0))(w, self.x, labels)

    def linearised(self):
        return func.linearize(self.gradient, self.w)[1]


def rows(problem: Problem) -> dict[str, Row]:
    f = Functions(problem)

    def call(function, *arguments):
        return lambda: functools.partial(function, f.w, *arguments)

    found = {
        "gradient": Row(call(f.gradient), join_tensors),
        "hutchinson": Row(call(f.hutchinson)),
        "hvp": Row(call(f.hvp, f.v), join_tensors),
        "hvp, linearised once": Row(lambda: functools.partial(f.linearised(), f.v), join_tensors),
        "ggnvp, linearised anew": Row(call(f.ggnvp, f.v), join_tensors),
    }
    if has_batch_norm(problem.case.layers):
        return found
    return found | {
        "per_sample_grads": Row(call(f.per_sample_grads), join_samples),
        "ggn_mc": Row(call(f.ggn_mc)),
    }
