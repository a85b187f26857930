"""Independent references: random problems as data, dense second-order arithmetic, JAX."""

from .draw import random_graph
from .reference import Reference
from .spec import Data, Net, Spec, make_data

__all__ = ["Data", "Net", "Reference", "Spec", "make_data", "random_graph"]
