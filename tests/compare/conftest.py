"""The tokenizers and models of the stage evaluate's tests."""

from tests.evaluate.conftest import bpe, llama, masked_bpe, source_bpe, target_bpe

__all__ = ["bpe", "llama", "masked_bpe", "source_bpe", "target_bpe"]
