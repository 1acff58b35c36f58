"""Non-causal families: tiny models, texts and project folders with all inputs."""

import json
from pathlib import Path

from tests.evaluate.projects import copy_tokenizer, empty_project, scale, write_corpus, write_model, write_tokens
from tests.evaluate.texts import GROUPS, SOURCES, TARGETS, TEXTS


def make_pair_model(kind: str):
    """A T5 with one vocabulary, or a Marian with one per side that prefers short outputs."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    tokens = {"vocab_size": 300, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "d_model": 16}
    shape = {
        "t5": {"d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2},
        "marian": {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_vocab_size": 280,
                   "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
                   "max_position_embeddings": 64, "forced_eos_token_id": None, "tie_word_embeddings": False,
                   "share_encoder_decoder_embeddings": False},
    }[kind]  # fmt: skip
    torch.manual_seed(1)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(kind, **tokens, **shape))
    if kind == "t5":
        return scale(model, 3.0)
    model.final_logits_bias[0, 1] = 45.0
    return scale(model, 14.0)


def pair_project(root: Path, monkeypatch, task: str, kind: str, source: Path, target: Path | None, **usage) -> Path:
    """A project with a recipe `tiny` for pairs; `target` is the target tokenizer, if separate."""
    folder = empty_project(root, monkeypatch)
    write_model(folder / "model", make_pair_model(kind), source, task=task, **usage)
    write_corpus(folder / "clean" / "test", SOURCES, ["a", "b"] * 4, target=TARGETS)
    write_tokens(folder / "tokens" / "train", source)
    write_tokens(folder / "tokens" / "train" / "target", target or source)
    if target:
        copy_tokenizer(target, folder / "model" / "target")
    write_pair_recipe(root, task)
    return root


def write_pair_recipe(root: Path, task: str, generation: dict | None = None, **evaluate: object) -> None:
    section = {"batch_size": 3, "samples": 3, "bootstrap": {"samples": 50, "seed": 7}} | evaluate
    section["generation"] = {"num_beams": 2, "max_new_tokens": 6} | (generation or {})
    (root / "recipes" / "tiny.yaml").write_text(json.dumps({"task": task, "evaluate": section}))


def make_bert(model: str, factor: float = 6.0, **config: object):
    """A BERT of width 16, built with the transformers class `model`."""
    import torch
    import transformers

    torch.manual_seed(1)
    shape = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0,
             "intermediate_size": 32, "max_position_embeddings": 64}  # fmt: skip
    return scale(getattr(transformers, model).from_config(transformers.BertConfig(**shape, **config)), factor)


def masked_project(root: Path, monkeypatch, bpe: Path) -> Path:
    folder = empty_project(root, monkeypatch)
    write_model(folder / "model", make_bert("AutoModelForMaskedLM"), bpe, task="masked-lm")
    write_corpus(folder / "clean" / "test", TEXTS, GROUPS)
    write_tokens(folder / "tokens" / "train", bpe)
    write_masked_recipe(root)
    return root


def write_masked_recipe(root: Path, **evaluate: object) -> None:
    section = {"window": 20, "batch_size": 4, "mask_probability": 0.3, "seed": 5, "prompts": ["the [MASK] sat"]}
    (root / "recipes" / "tiny.yaml").write_text(json.dumps({"task": "masked-lm", "evaluate": section | evaluate}))


CLASSES = ["cats", "dogs", "letters"]
LABELLED = [
    ("the cat sat on the mat and purred", "cats"), ("a cat hunts mice in the garden at night " * 3, "cats"),
    ("the dog ran after the ball", "dogs"), ("a dog barks at the postman", "dogs"), ("x", "letters"),
    ("the cat ate", "cats"), ("dogs bark", "dogs"), ("z z z", "letters"), ("the old house of the cat", "cats"),
]  # fmt: skip
TRAINING = [
    ("the cat purrs", "cats"), ("cats hunt mice", "cats"), ("cat and cat", "cats"), ("the dog barks", "dogs"),
    ("dogs run and bark", "dogs"), ("x y z", "letters"), ("z", "letters"), ("a cat sat on the mat", "cats"),
]  # fmt: skip


def make_classifier(kind: str):
    """A BERT, or a GPT-2 that pads with its end-of-text token, because its tokenizer has no pad token."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: n for n, name in enumerate(CLASSES)}}
    if kind == "bert":
        return make_bert("AutoModelForSequenceClassification", factor=40.0, **labels)
    torch.manual_seed(1)
    shape = {"vocab_size": 300, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **shape, **tokens, **labels)
    return scale(AutoModelForSequenceClassification.from_config(config))


def class_project(root: Path, monkeypatch, kind: str, tokenizer: Path, **usage: object) -> Path:
    folder = empty_project(root, monkeypatch)
    write_model(folder / "model", make_classifier(kind), tokenizer, task="classification", **usage)
    for split, documents in (("train", TRAINING), ("test", LABELLED)):
        write_labelled(folder / "clean" / split, documents)
    write_tokens(folder / "tokens" / "train", tokenizer)
    (root / "recipes" / "tiny.yaml").write_text("task: classification\nevaluate: {batch_size: 4}\n")
    return root


def write_labelled(folder: Path, documents: list[tuple], **more: list) -> None:
    texts, labels = map(list, zip(*documents, strict=True))
    write_corpus(folder, texts, ["a"] * len(texts), label=labels, **more)
