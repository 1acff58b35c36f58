"""The section `export` of a recipe."""

from typing import Literal

from pydantic import Field

from tasks.stage.settings import Section


class OnnxSettings(Section):
    """ONNX, for ONNX Runtime: every length and number of rows; a decoder takes and returns its cache."""

    tolerance: float = Field(1e-3, gt=0)
    """How far a logit may be from PyTorch's; the stage fails beyond it."""
    int8: bool = False
    """Also write files with weights in 8 bits and activations quantized as they come (ONNX Runtime's dynamic
    quantization). How often they choose the same token or class is told; `tolerance` does not bind them."""


class GgufSettings(Section):
    """GGUF, for llama.cpp and what is built on it: causal models of Llama's and Qwen3's architecture."""

    types: tuple[Literal["f32", "f16", "bf16", "q8_0", "q4_0"], ...] = Field(("f16", "q8_0"), min_length=1)
    """A file for each: `f32`, `f16` and `bf16` are floats, `q8_0` and `q4_0` integers of 8 and 4 bits, of which 32
    share a scale."""
    tolerance: float = Field(0.05, gt=0)
    """How far the log-probability of a next token may be from PyTorch's, of the 20 likeliest, in files of floats; the
    stage fails beyond it. Files of integers are told, not bound."""


class ExportSettings(Section):
    """Files of the model for other runtimes. None by default."""

    onnx: OnnxSettings | None = None
    """For ONNX Runtime."""
    gguf: GgufSettings | None = None
    """For llama.cpp."""
