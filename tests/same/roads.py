"""Tiny recipes to compare two versions of the code: every task, and settings that take other paths."""

import json
import random
from pathlib import Path
from typing import Any

from tests.families import MODELS, tiny_recipe, write_source

LICENSE = Path(__file__).parents[2] / "LICENSE"
DIRTY = (
    "Write to jane.doe@example.org or call +1 212 555 0199 before Friday, from 203.0.113.7 or 2001:db8::17.",
    "The card 4111 1111 1111 1111 and the account DE89 3704 0044 0532 0130 00 are for tests only.",
    "<p>A page of <b>HTML</b> with a <a href='https://example.org/'>link</a> &amp; an entity.</p>",
    "The cafÃ© opens at nine\u200b; the naïve façade stays shut.   \n\n\n\n\nIts last line is here.\x07",
    "lorem ipsum dolor sit amet, consectetur adipiscing elit { javascript } Terms of use and cookie policy.",
    "- one\n- two\n- three\n- four ...\nread more ...\nread more ...",
    "Le contrat est soumis au droit français et le tribunal de Paris est seul compétent pour en connaître.",
    "password = 'hunter2hunter2' AKIAIOSFODNN7EXAMPLE ghp_0123456789abcdefghijklmnopqrstuvwxyz",
    "buy buy buy buy buy buy buy casino bonus buy buy buy buy buy buy buy buy buy buy buy",
)
CLEAN_ALL: dict[str, Any] = {
    "html": "text",
    "min_characters": 20,
    "max_words": 5000,
    "languages": {"text": "en"},
    "quality": {"preset": "fineweb"},
    "blocked_words": {"words": ["casino bonus"]},
    "privacy": {"iban": {"action": "drop"}},
    "near_duplicates": {},
    "duplicate_paragraphs": {},
    "contamination": {"files": ["unseen/exam.txt"]},
    "splits": {"validation": 0.1, "test": 0.2, "seed": 1},
}


def write_texts(folder: Path) -> None:
    """Random words for the tasks, prose with every kind of dirt for cleaning, and an evaluation set."""
    write_source(folder / "texts/all.jsonl")
    words = LICENSE.read_text(encoding="utf-8").lower().replace("(", " ").replace(")", " ").split()
    generator = random.Random(1)

    def prose() -> str:
        sentences = [" ".join(generator.choices(words, k=generator.randint(9, 16))) for _ in range(7)]
        return "\n\n".join(f"{sentence.strip('.,;:').capitalize()}." for sentence in sentences)

    rows = [prose() for _ in range(90)]
    rows += [f"{prose()}\n\n{line}" for line in DIRTY for _ in range(3)]
    rows += [*rows[:3], f"{rows[5]} Once more.", *DIRTY]
    with (folder / "texts/prose.jsonl").open("w", encoding="utf-8") as file:
        for number, text in enumerate(rows):
            file.write(json.dumps({"text": text, "group": f"g{number % 40}"}) + "\n")
    (folder / "plays").mkdir()
    for number in range(12):
        scenes = [f"# Scene {scene}\n\n{prose()}" for scene in (1, 2)]
        (folder / f"plays/play-{number}.md").write_text("\n\n".join(scenes), encoding="utf-8")
    chats = [{"text": f"<s>{words[number]} to </s> {words[number + 1]}"} for number in range(60)]
    (folder / "texts/chats.jsonl").write_text("\n".join(map(json.dumps, chats)), encoding="utf-8")
    write_base(folder / "begun")
    (folder / "unseen").mkdir()
    (folder / "unseen/exam.txt").write_text(f"{rows[7]}\n", encoding="utf-8")


def write_base(folder: Path) -> None:
    """A small Llama with random weights, whose tokenizer begins each text with `<s>`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    names = {"<s>": 0, "</s>": 1}
    signs = {sign: number for number, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), 2)}
    tokenizer = Tokenizer(models.BPE(names | signs, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=list(names.items()))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    shape = {**MODELS["causal-lm"][1], "vocab_size": len(tokenizer.get_vocab())}
    LlamaForCausalLM(LlamaConfig(**shape, bos_token_id=0, eos_token_id=1)).save_pretrained(folder)


def roads() -> dict[str, dict[str, Any]]:
    """Recipes by name, each after the ones it starts from."""
    adamw = {"name": "adamw", "learning_rate": 0.003, "embedding_learning_rate": 0.01, "weight_decay": 0.1}
    muon = {"name": "muon", "matrix_learning_rate": 0.01, "learning_rate": 0.003}
    words, prose = "texts/all.jsonl", "texts/prose.jsonl"
    found = {
        "causal": tiny_recipe("causal-lm", words, optimizer=muon, accumulation=2),
        "lora": tiny_recipe("causal-lm", words, init="recipe:causal", precision="fp32", evaluate_every=1),
        "translation": tiny_recipe("translation", words, optimizer=adamw, label_smoothing=0.1),
        "summarization": tiny_recipe("summarization", words, clip_norm=None),
        "one-row": tiny_recipe("summarization", words, init="recipe:causal"),
        "masked": tiny_recipe("masked-lm", words, next_sentence=True),
        "classification": tiny_recipe("classification", words, init="recipe:masked"),
        "unigram": tiny_recipe("translation", words, like="causal-lm"),
        "plays": tiny_recipe("causal-lm", "plays/*.md", accumulation=2),
        "blocks": tiny_recipe("masked-lm", words),
        "begun": tiny_recipe(
            "causal-lm", "texts/chats.jsonl", init={"kind": "folder", "path": "begun", "licence": "-"}
        ),
        "prose": tiny_recipe("causal-lm", prose, schedule={"name": "cosine", "warmup_steps": 2}),
        "chat": tiny_recipe("chat", words),
        "preference": tiny_recipe("preference", words, init="recipe:chat", loss={"name": "dpo"}),
        "tuned": tiny_recipe("chat", words, init="recipe:chat"),
        "mixture": tiny_recipe("causal-lm", words, shuffle="documents"),
    }
    found["lora"]["train"] |= {"keep": "best", "patience": 1}
    found["lora"]["train"]["optimizer"]["learning_rate"] = 1.0  # diverges, so that early stopping ends it
    found["lora"]["model"]["lora"] = {"rank": 2, "dropout": 0.1}
    found["begun"]["tokenize"]["special_tokens_in_text"] = "text"
    del found["begun"]["ingest"]["documents"]
    found["unigram"]["tokenize"] = {"kind": "unigram", "vocab_size": 60}
    found["masked"]["tokenize"] = {"kind": "wordpiece", "vocab_size": 90, "lowercase": True}
    found["plays"]["ingest"]["documents"] = {"split_at": "^# "}
    found["plays"]["clean"] = {
        "html": "main",
        "contamination": {"files": ["unseen/exam.txt"]},
        "splits": {"validation": 0.2, "test": 0.4, "seed": 1},
    }
    found["prose"]["clean"] = CLEAN_ALL
    found["prose"]["model"]["config"] |= {"attention_dropout": 0.1}
    found["translation"]["clean"] |= {
        "max_length_ratio": 3.0, "identical_sides": "drop", "target": {"max_characters": 500, "min_words": 1},
    }  # fmt: skip
    found["classification"]["clean"]["min_documents_per_label"] = 2
    source, documents = found["mixture"]["ingest"], found["mixture"]["ingest"]["documents"]
    found["mixture"]["ingest"] = {
        "sources": [
            {**source, "name": "words", "weight": 0.7},
            {**source, "name": "targets", "weight": 0.3, "documents": {**documents, "text_column": "target"}},
        ]
    }
    again = found["tuned"]["ingest"]
    found["tuned"]["ingest"] = {"sources": [{**again, "name": "once", "weight": 2}, {**again, "name": "again"}]}
    found["tuned"]["clean"]["exact_duplicates"] = "keep"
    found["mixture"]["clean"]["sources"] = {"targets": {"min_characters": 8}}
    for name in ("causal", "summarization", "classification"):
        found[name]["compress"] = {
            "int8": {"method": "quantize", "calibration": 8},
            "int4": {"method": "quantize", "weights": "int4", "group": 16, "calibration": 0},
        }
        found[name]["export"] = {"onnx": {"int8": True}}
    found["summarization"]["train"] |= {"epochs": 2}
    del found["summarization"]["train"]["steps"]
    return found
