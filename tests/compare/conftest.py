"""The tokenizers and models of the stage evaluate's tests."""

from tests.evaluate.conftest import bpe, chat_bpe, chat_model, llama, masked_bpe, source_bpe, target_bpe, word_tokenizer

__all__ = ["bpe", "chat_bpe", "chat_model", "llama", "masked_bpe", "source_bpe", "target_bpe", "word_tokenizer"]
