"""The layers under the name that PyTorch users look for."""

from .layers import *  # noqa: F403
