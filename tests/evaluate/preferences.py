"""Pairs of answers, and a project folder with all inputs of the stage."""

import json
import shutil
from pathlib import Path
from typing import Any

from tasks.formats.conversation import answers, questions, write_messages
from tasks.formats.usage import Usage
from tests.corpora import write_corpus
from tests.evaluate.projects import empty_project, scale
from tests.preferences import messages_of, pairs_of_words, word_llama, write_preference_tokens

PAIRS = [
    *((messages_of(q, a), b) for q, a, b in pairs_of_words(7, seed=3)),
    ([*messages_of("w1 w2", "W2 W1"), *messages_of("w3", "W3")], "w3 w3 w3"),
    (messages_of("w5 w6", "<|im_end|> w7"), "w8"),
]  # fmt: skip
GROUPS = ["a", "b", "c"] * 3


def preference_project(root: Path, monkeypatch, tokenizer: Path) -> Path:
    folder = empty_project(root, monkeypatch)
    save(word_llama(), folder / "base", tokenizer)
    save(word_llama(seed=5), folder / "model", tokenizer)
    Usage("preference", source_length=64).write(folder / "model")
    write_pairs(folder / "clean/test", PAIRS, GROUPS)
    write_preference_tokens(folder / "tokens/train", tokenizer, pairs_of_words(4))
    write_recipe()
    return root


def save(model: Any, folder: Path, tokenizer: Path, factor: float = 4.0) -> None:
    scale(model, factor).save_pretrained(folder)
    shutil.copytree(tokenizer, folder, dirs_exist_ok=True)


def write_pairs(folder: Path, pairs: list, groups: list[str]) -> None:
    """A split of a corpus of preferences."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shutil.rmtree(folder, ignore_errors=True)
    messages = [messages for messages, _ in pairs]
    write_corpus(
        folder, map(questions, messages), target=list(map(answers, messages)),
        messages=list(map(write_messages, messages)), rejected=[rejected for _, rejected in pairs],
    )  # fmt: skip
    (path,) = folder.glob("*.parquet")
    table = pq.read_table(path)
    at = table.schema.get_field_index("group")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(groups, pa.large_string())), path)


def write_recipe(**evaluate: object) -> None:
    section = {"batch_size": 3, "samples": 2, "bootstrap": {"samples": 50}, "generation": {"max_new_tokens": 5}}
    Path("recipes/tiny.yaml").write_text(json.dumps({"task": "preference", "evaluate": section | evaluate}))
