"""Fixtures: a byte-level BPE, models of width 16 and a project folder with all inputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
SOURCES = [
    "the cat sat on the mat. It slept until the evening, and then it went out to hunt mice in the garden.",
    "a dog ran. It was brown!",
    "x",
    "the house is old and made of stone; nobody has lived in it for years. The roof leaks.",
    "to be or not to be, that is the question.",
    "python 3.11",
    "she sells sea shells by the sea shore. He does not. They never did, as far as anyone in town remembers.",
    "rain",
]
TARGETS = [
    "le chat était assis sur le tapis.", "un chien courait.", "x", "la maison est vieille.\nElle est en pierre.",
    "être ou ne pas être", "python 3.11", "elle vend des coquillages", "pluie",
]  # fmt: skip
PAIR_SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>"}
MASKED_SPECIALS = {
    "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
    "eos_token": "[SEP]",
}  # fmt: skip

GROUPS = ["cats", "cats", "plays", "letters", "dogs"]


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


def make_model(kind: str, positions: int = 64, seed: int = 1):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        "llama": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
                  "num_key_value_heads": 2, "max_position_embeddings": positions},
        "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": positions},
    }[kind]  # fmt: skip
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, vocab_size=300, bos_token_id=0, eos_token_id=0, pad_token_id=0, **shape)
    return scale(AutoModelForCausalLM.from_config(config))


@pytest.fixture
def project(tmp_path: Path, monkeypatch, bpe, llama) -> Path:
    """A project root with all inputs of the stage for the recipe `tiny`; made the current folder."""
    return causal_project(tmp_path, monkeypatch, bpe, llama)


@pytest.fixture(scope="session")
def causal(tmp_path_factory, bpe, llama):
    """The folder with the outputs of a causal model, for read-only tests."""
    root = tmp_path_factory.mktemp("causal")
    with run_once(lambda patch: causal_project(root, patch, bpe, llama)) as folder:
        yield folder


def causal_project(root: Path, monkeypatch, bpe: Path, model) -> Path:
    folder = empty_project(root, monkeypatch)
    write_recipe(root)
    write_model(folder / "model", model, bpe)
    write_corpus(folder / "clean" / "test", TEXTS, GROUPS)
    write_tokens(folder / "tokens" / "train", bpe)
    return root


def empty_project(root: Path, monkeypatch) -> Path:
    """Make `root` the current folder, and create `data/tiny` with the inputs common to all tasks."""
    monkeypatch.chdir(root)
    (root / "recipes").mkdir()
    folder = root / "data" / "tiny"
    for name in ("base", "training"):
        (folder / name).mkdir(parents=True)
    (folder / "base" / "report.json").write_text("{}")
    (folder / "training" / "history.csv").write_text(
        "step,tokens,loss,validation_loss,learning_rate,grad_norm\n1,64,5.7,,0.001,1.0\n2,128,5.1,5.4,0.0005,0.9\n"
    )
    return folder


def write_model(folder: Path, model, tokenizer: Path, **usage: object) -> None:
    """Write a model folder as the stage `train` does."""
    from tasks.formats.usage import Usage

    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer / name).read_bytes())
    Usage(**{"task": "causal-lm", **usage}).write(folder)


def save_tokenizer(folder: Path, texts: list[str], size: int, specials: dict[str, str], template: str) -> Path:
    """Train and save a byte-level BPE, with `specials` (eos_token → </s>) and a `template` of special tokens."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    engine = ByteLevelBPETokenizer()
    names = list(dict.fromkeys(specials.values()))
    engine.train_from_iterator(texts, size, special_tokens=names, show_progress=False)
    places = [(token, number) for number, token in enumerate(names)]
    engine._tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=places)
    PreTrainedTokenizerFast(tokenizer_object=engine._tokenizer, **specials).save_pretrained(folder)
    return folder


def scale(model, factor: float = 4.0):
    """Weights far from uniform, so that a wrong target, a lost token or visible padding changes the scores."""
    import torch

    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "embed_positions" not in name:  # sinusoids, recomputed when a model is loaded
                weights.mul_(factor)
    return model.eval()


def output_bytes(folder: Path = Path("data/tiny")) -> dict[str, bytes]:
    from tasks.evaluate.__main__ import STAGE

    return {name: (folder / name).read_bytes() for name in STAGE.outputs}


def read_output(name: str, folder: Path = Path("data/tiny")):
    import json

    return json.loads((folder / "evaluation" / name).read_text())


def read_scores(folder: Path = Path("data/tiny")) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(folder / "evaluation" / "scores.parquet").to_pylist()


def write_base(folder: Path, bpe: Path, **model: int) -> None:
    """Write a base: another model with the same tokenizer."""
    write_model(folder, make_model("llama", **model), bpe)


def write_recipe(root: Path, **evaluate: object) -> None:
    import json

    section = {"window": 24, "stride": 8, "batch_size": 4, "prompts": ["the cat", "To be"]}
    section |= {"generation": {"max_new_tokens": 8, "seed": 3}} | evaluate
    (root / "recipes" / "tiny.yaml").write_text(json.dumps({"task": "causal-lm", "evaluate": section}))


def write_corpus(folder: Path, texts: list[str], groups: list[str], **more: list) -> None:
    """Write documents d0, d1, …; `more`: the columns target and label, or other ids."""
    import pyarrow as pa

    from tasks.formats.corpus import CorpusWriter, corpus_schema

    columns = {"id": [f"d{n}" for n in range(len(texts))], "group": groups, "text": texts, **more}
    rows = [dict(zip(columns, row, strict=True), source="s") for row in zip(*columns.values(), strict=True)]
    with CorpusWriter(folder, corpus_schema()) as writer:
        if rows:
            writer.write(pa.RecordBatch.from_pylist(rows, corpus_schema()))


def write_tokens(folder: Path, bpe: Path, tokenizer: str | None = None) -> None:
    from transformers import AutoTokenizer

    from tasks.formats.tokens import TokenWriter
    from tasks.stage.identity import hash_file

    loaded = AutoTokenizer.from_pretrained(bpe)
    ids = np.array([*loaded.encode(TEXTS[0], add_special_tokens=False), loaded.eos_token_id], np.uint16)
    writer = TokenWriter(folder, 300, loaded.eos_token_id, tokenizer or hash_file(bpe / "tokenizer.json"))
    writer.write(ids, np.array([len(ids)]), len(TEXTS[0]))
    writer.close()


@contextmanager
def run_once(make: Callable[[pytest.MonkeyPatch], object]) -> Iterator[Path]:
    """Run the stage on a project for read-only tests; returns the output folder."""
    from tasks.evaluate.__main__ import STAGE
    from tasks.stage.run import run

    with pytest.MonkeyPatch.context() as patch:
        make(patch)
        run(STAGE, "tiny")
        folder = Path("data/tiny").resolve()
    yield folder


@pytest.fixture(scope="session")
def source_bpe(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("source"), SOURCES, 290, PAIR_SPECIALS, "$A </s>")


@pytest.fixture(scope="session")
def target_bpe(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("target"), TARGETS, 270, PAIR_SPECIALS, "$A </s>")


@pytest.fixture(scope="session")
def masked_bpe(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("masked"), TEXTS, 300, MASKED_SPECIALS, "[CLS] $A [SEP]")
