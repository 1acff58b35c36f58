"""Make smaller variants of a model: `python -m tasks.compress smollm2-debian`.

in    model/, tokens/train/ (for calibration), the recipe's `task` and section `compress`
out   variants/<name>/       a model folder like model/, see `tasks.quantize.layout`
      variants/report.json   of each variant: its settings, bytes, and the layers that stay float

work        variant by variant
quantize    linear layers with integer weights
settings    the section `compress`
"""

LIBRARIES = ("numpy", "safetensors", "tokenizers", "torch", "transformers")
"""Libraries whose version can change the output."""
