"""Causal models of width 16, and project folders with all inputs of the stage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.evaluate.__main__ import STAGE
from tasks.evaluate.settings import CausalEvaluateSettings
from tasks.formats.text_ids import opening
from tasks.stage.run import run
from tests.evaluate.texts import FOLDER, GROUPS, TEXTS

SCORING = CausalEvaluateSettings(window=24, stride=8, batch_size=4)


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
    copy_tokenizer(tokenizer, folder)
    Usage(**{"task": "causal-lm", **usage}).write(folder)


def copy_tokenizer(source: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder)


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


def write_base(folder: Path, bpe: Path, **model: int) -> None:
    """Write a base: another model with the same tokenizer."""
    write_model(folder, make_model("llama", **model), bpe)


def write_recipe(root: Path, **evaluate: object) -> None:
    section = {"window": 24, "stride": 8, "batch_size": 4, "prompts": ["the cat", "To be"]}
    section |= {"generation": {"max_new_tokens": 8, "seed": 3}} | evaluate
    (root / "recipes" / "tiny.yaml").write_text(json.dumps({"task": "causal-lm", "evaluate": section}))


def write_corpus(folder: Path, texts: list[str], groups: list[str], **more: list) -> None:
    """Write documents d0, d1, … instead of any there; `more`: the columns target, label and messages, or other ids."""
    import pyarrow as pa

    from tasks.formats.corpus import EXTRA, CorpusWriter, corpus_schema

    shutil.rmtree(folder, ignore_errors=True)
    columns = {"id": [f"d{n}" for n in range(len(texts))], "group": groups, "text": texts, **more}
    rows = [dict(zip(columns, row, strict=True), source="s") for row in zip(*columns.values(), strict=True)]
    schema = corpus_schema(extra=[name for name in EXTRA if name in more])
    with CorpusWriter(folder, schema) as writer:
        if rows:
            writer.write(pa.RecordBatch.from_pylist(rows, schema))


def write_tokens(folder: Path, bpe: Path, tokenizer: str | None = None) -> None:
    from transformers import AutoTokenizer

    from tasks.formats.tokens import TokenWriter
    from tasks.stage.identity import hash_file

    shutil.rmtree(folder, ignore_errors=True)
    loaded = AutoTokenizer.from_pretrained(bpe)
    plain = loaded.encode(TEXTS[0], add_special_tokens=False)
    ids = np.array([*opening(loaded), *plain, loaded.eos_token_id], np.uint16)
    writer = TokenWriter(folder, 300, loaded.eos_token_id, tokenizer or hash_file(bpe / "tokenizer.json"))
    writer.write(ids, np.array([len(ids)]), len(TEXTS[0]))
    writer.close()


def run_once(make: Callable[..., object], root: Path, *rest: object, **usage: object) -> Path:
    """Run the stage on a new project for read-only tests; returns the output folder."""
    with pytest.MonkeyPatch.context() as patch:
        make(root, patch, *rest, **usage)
        run(STAGE, "tiny")
        return FOLDER.resolve()
