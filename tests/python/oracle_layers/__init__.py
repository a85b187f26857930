"""Independent references for all layers: random networks as data, JAX, a NumPy recursion."""

from .draw import random_network
from .spec import Net, Spec, make_data

__all__ = ["Net", "Spec", "make_data", "random_network"]
