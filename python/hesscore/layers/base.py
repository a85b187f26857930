"""What all layers share: the base class, the engine's builder, checks of nets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from ..errors import GraphError

Shape = tuple[int, ...]


class Builder:
    """The engine's builder, and the layers with parameters that it has met."""

    def __init__(self) -> None:
        self.engine = _core.GraphBuilder()
        self._made: dict[int, tuple[Layer, Any]] = {}

    def call(self, layer: Layer, x: int, make: Callable[[], Any]) -> int:
        """Apply a layer with parameters; the second time with the same ones."""
        if id(layer) not in self._made:
            self._made[id(layer)] = (layer, make())
        return self.engine.call(self._made[id(layer)][1], x)


def join(path: str, name: object) -> str:
    """Name a layer inside a container."""
    return f"{path}.{name}" if path else str(name)


class Layer:
    """Base of all layers and containers.

    A layer is a description. It can be used in several networks; used twice in one network, it has
    one set of parameters there, named after its first place.
    """

    _keeps_shape = False

    def _build(self, builder: Builder, x: int, path: str) -> int:
        raise NotImplementedError

    def _input_shape(self) -> Shape | None:
        """Tell the shape that this layer insists on."""
        return None

    def _arguments(self) -> tuple[str, ...]:
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._arguments())})"


def as_layers(name: str, items: Any) -> list[Layer]:
    """Check that these are layers."""
    for item in items:
        if isinstance(item, type) and issubclass(item, Layer):
            raise GraphError.about(name, f"a layer, {item.__name__}(...)", f"its class {item!r}")
        if not isinstance(item, Layer):
            raise GraphError.about(name, "a layer", repr(item))
    return list(items)


def changed(layer: Layer, usual: dict[str, Any]) -> tuple[str, ...]:
    """Write the arguments that are not the usual ones."""
    return tuple(f"{k}={getattr(layer, k)!r}" for k, v in usual.items() if getattr(layer, k) != v)
