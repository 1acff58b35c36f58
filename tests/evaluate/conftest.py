"""A tiny world to evaluate in: a byte-level BPE, models of width 16 and a project folder with all inputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

TEXTS = [
    "the cat sat on the mat and the dog ran after the cat, round and round the old stone house. " * 3,
    "A short one.",
    "to be or not to be, that is the question: whether it is nobler — naïve, ünïcode — to suffer. " * 2,
    "x",
    "the dog and the cat ate the rat that sat on the mat; the rat ran. " * 5,
]
GROUPS = ["cats", "cats", "plays", "letters", "dogs"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Models of width 16 only lose time to the barriers of several threads."""
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


def make_model(kind: str, positions: int = 64):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        "llama": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
                  "num_key_value_heads": 2, "max_position_embeddings": positions},
        "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": positions},
    }[kind]  # fmt: skip
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, vocab_size=300, bos_token_id=0, eos_token_id=0, pad_token_id=0, **shape)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(4)  # far from uniform, so that a wrong target or a lost token shows
    return model


@pytest.fixture
def project(tmp_path: Path, monkeypatch, bpe, llama) -> Path:
    """A project root, made the current folder, with every input of the stage for the recipe `tiny`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    write_recipe(tmp_path)
    folder = tmp_path / "data" / "tiny"
    llama.save_pretrained(folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "model" / name).write_bytes((bpe / name).read_bytes())
    write_corpus(folder / "clean" / "test", TEXTS, GROUPS)
    write_tokens(folder / "tokens" / "train", bpe)
    (folder / "training").mkdir()
    (folder / "training" / "history.csv").write_text(
        "step,tokens,loss,validation_loss,learning_rate,grad_norm\n1,64,5.7,,0.001,1.0\n2,128,5.1,5.4,0.0005,0.9\n"
    )
    return tmp_path


def write_recipe(root: Path, **evaluate: object) -> None:
    import json

    section = {"window": 24, "stride": 8, "batch_size": 4, "prompts": ["the cat", "To be"]}
    section |= {"generation": {"max_new_tokens": 8, "seed": 3}} | evaluate
    (root / "recipes" / "tiny.yaml").write_text(json.dumps({"task": "causal-lm", "evaluate": section}))


def write_corpus(folder: Path, texts: list[str], groups: list[str]) -> None:
    import pyarrow as pa

    from tasks.contract.corpus import CorpusWriter, corpus_schema

    rows = [
        {"id": f"d{n}", "group": g, "text": t, "source": "s"}
        for n, (t, g) in enumerate(zip(texts, groups, strict=True))
    ]
    with CorpusWriter(folder, corpus_schema()) as writer:
        if rows:
            writer.write(pa.RecordBatch.from_pylist(rows, corpus_schema()))


def write_tokens(folder: Path, bpe: Path, tokenizer: str | None = None) -> None:
    from transformers import AutoTokenizer

    from tasks.contract.identity import hash_file
    from tasks.contract.tokens import TokenWriter

    encode: Callable[[str], list[int]] = AutoTokenizer.from_pretrained(bpe).encode
    ids = np.array([*encode(TEXTS[0]), 0], np.uint16)
    writer = TokenWriter(folder, 300, 0, tokenizer or hash_file(bpe / "tokenizer.json"))
    writer.write(ids, np.array([len(ids)]), len(TEXTS[0]))
    writer.close()
