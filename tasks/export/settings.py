"""The section `export` of a recipe."""

from pydantic import Field

from tasks.stage.settings import Section


class OnnxSettings(Section):
    """ONNX, for ONNX Runtime: every length and number of rows; a decoder takes and returns its cache."""

    tolerance: float = Field(1e-3, gt=0)
    """How far a logit may be from PyTorch's; the stage fails beyond it."""
    int8: bool = False
    """Also write files with weights in 8 bits and activations quantized as they come (ONNX Runtime's dynamic
    quantization). How often they choose the same token or class is told; `tolerance` does not bind them."""


class ExportSettings(Section):
    """Files of the model for other runtimes. None by default."""

    onnx: OnnxSettings | None = None
    """For ONNX Runtime."""
