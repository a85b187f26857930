"""Networks of other programs: models in the ONNX format, with their parameters."""

from .convert import OnnxModel, from_onnx

__all__ = ["OnnxModel", "from_onnx"]
