"""One operator of a model, with what has become of its inputs: what rules look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Graph, Node
from ..layers.base import Layer, Shape
from .model import Array, Step

BATCH = 2**62 - 57  # stands for the number of samples in a shape that the model computes


class Refused(Exception):
    """There is no layer for this operator with these arguments."""


class Site:
    """A step of the model, its inputs as nodes of the graph or as constants."""

    def __init__(self, weights: Weights, step: Step, inputs: list[Any]) -> None:
        self.graph = weights.graph
        self.step = step
        self._weights = weights
        self._inputs = inputs

    def has(self, i: int) -> bool:
        """Tell whether there is an i-th input."""
        return i < len(self._inputs) and self._inputs[i] is not None

    def nodes(self) -> list[Node]:
        """Return all inputs."""
        return [self.node(i) for i in range(len(self._inputs))]

    def node(self, i: int = 0) -> Node:
        """Return an input that is computed from the network's."""
        value = self._inputs[i] if self.has(i) else None
        if not isinstance(value, Node):
            raise Refused(f"input {i} is {'constant' if self.has(i) else 'missing'}")
        return value

    def is_batch(self, size: int) -> bool:
        """Tell whether this size is the number of samples."""
        return size == BATCH or {size} == self._weights.batches

    def array(self, i: int, usual: Any = None) -> Array:
        """Return an input that is constant."""
        value = self._inputs[i] if self.has(i) else usual
        if value is None or isinstance(value, Node):
            raise Refused(f"input {i} is {'missing' if value is None else 'not constant'}")
        return np.asarray(value)

    def attribute(self, name: str, usual: Any = None) -> Any:
        """Return an attribute."""
        return self.step.attributes.get(name, usual)

    def given(self, name: str, i: int, usual: Any = None) -> Any:
        """Return what older versions of an operator have as attribute, newer ones as an input."""
        if name in self.step.attributes:
            return self.step.attributes[name]
        return self.array(i).tolist() if self.has(i) else usual

    def axis(self, number: int) -> int:
        """Return an axis, counted from the front with the batch, which it must not be."""
        axis = number + len(self.node().shape) + 1 if number < 0 else number
        if axis < 1:
            raise Refused("it acts on the batch")
        return axis

    def spatial(self) -> Shape:
        """Return the sizes behind the channels."""
        shape = self.node().shape[1:]
        if len(shape) not in (1, 2):
            raise Refused(f"{len(shape)} spatial axes")
        return shape

    def apply(self, layer: Layer, *, to: Node | None = None) -> Node:
        """Apply a layer without parameters."""
        return self.graph(layer, self.node() if to is None else to)

    def apply_with(self, layer: Layer, arrays: dict[str, Array], to: Node | None = None) -> Node:
        """Apply a layer with parameters; the same ones again if the model has them twice."""
        return self._weights.apply(self.step, layer, arrays, self.node() if to is None else to)


class Weights:
    """The graph, and the parameters and running statistics of its layers by their names."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.arrays: dict[str, Array] = {}
        self.batches: set[int | None] = set()  # numbers of samples that inputs have, if told
        self._layers: dict[tuple[str, ...], tuple[Layer, str]] = {}
        self._names: set[str] = set()

    def apply(self, step: Step, layer: Layer, arrays: dict[str, Array], node: Node) -> Node:
        """Apply a layer, named after its weights in the model."""
        key = repr(layer), repr(step.attributes), *step.inputs[1:]
        if key not in self._layers:
            self._layers[key] = layer, self._name(step)
        layer, name = self._layers[key]
        output = self.graph(layer, node, name)
        self.arrays.update({f"{name}.{part}": array for part, array in arrays.items()})
        return output

    def _name(self, step: Step) -> str:
        named = step.inputs if step.op == "MatMul" else step.inputs[:2]  # exporters merge biases
        parts = (name.rpartition(".") for name in named if "::" not in name)
        known = [head for head, _, part in parts if head and part in ("weight", "bias")]
        plain = known[0] if known else step.name.strip("/").replace("/", ".")
        name, k = plain, 1
        while name in self._names:
            k += 1
            name = f"{plain}_{k}"
        self._names.add(name)
        return name
