"""Tokenizers, and the inputs and outputs of a causal model."""

from pathlib import Path

import pytest

from tests.evaluate.chats import make_chat_model, save_chat_tokenizer
from tests.evaluate.projects import causal_project, make_model, run_once, save_tokenizer
from tests.evaluate.texts import SOURCES, TARGETS, TEXTS
from tests.preferences import save_word_tokenizer

PAIR_SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>"}
MASKED_SPECIALS = {
    "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
    "eos_token": "[SEP]",
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Use one thread: for models of width 16, thread synchronization costs more than it saves."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def bpe(tmp_path_factory):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    engine = ByteLevelBPETokenizer()
    engine.train_from_iterator(TEXTS, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=engine._tokenizer, eos_token="<|endoftext|>")
    folder = tmp_path_factory.mktemp("bpe")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama():
    return make_model("llama")


@pytest.fixture
def project(tmp_path: Path, monkeypatch, bpe, llama) -> Path:
    """A project root with all inputs of the stage for the recipe `tiny`; made the current folder."""
    return causal_project(tmp_path, monkeypatch, bpe, llama)


@pytest.fixture(scope="session")
def causal(tmp_path_factory, bpe, llama):
    """The folder with the outputs of a causal model, for read-only tests."""
    return run_once(causal_project, tmp_path_factory.mktemp("causal"), bpe, llama)


@pytest.fixture(scope="session")
def source_bpe(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("source"), SOURCES, 290, PAIR_SPECIALS, "$A </s>")


@pytest.fixture(scope="session")
def target_bpe(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("target"), TARGETS, 270, PAIR_SPECIALS, "$A </s>")


@pytest.fixture(scope="session")
def masked_bpe(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("masked"), TEXTS, 300, MASKED_SPECIALS, "[CLS] $A [SEP]")


@pytest.fixture(scope="session")
def word_tokenizer(tmp_path_factory):
    return save_word_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="session")
def chat_bpe(tmp_path_factory):
    return save_chat_tokenizer(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="session")
def chat_model(chat_bpe):
    return make_chat_model(chat_bpe)
