"""Conversations for tests of chat training: a tokenizer with a chat template, tokens and a recipe."""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.formats.chat_ids import ChatTemplate
from tasks.formats.tokens import TokenWriter, write_answers
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.specials import specials_of
from tasks.tokenize.vocabulary import save_vocabulary, train_vocabulary
from tests.corpora import write_recipe
from tests.scratch import without_tracking, write_code

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ m['content'] }}<|im_end|>{% endif %}"
    "\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML, with what TRL needs to find the answers."""
LLAMA = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
         "max_position_embeddings": 128}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "resid_pdrop": 0.1, "attn_pdrop": 0.1},
    "opt": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 64,
            "word_embed_proj_dim": 32, "max_position_embeddings": 128},
    "lfm2": {**LLAMA, "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
}  # fmt: skip
DRAWN = random.Random(3)
WORDS = ["".join(DRAWN.choices("aeioklmnrst", k=DRAWN.randint(2, 5))) for _ in range(30)]
Messages = list[dict[str, str]]


def conversations(count: int, seed: int = 0, turns: int = 2) -> list[Messages]:
    """Conversations of up to `turns` questions of a few words, each answered by these words reversed, in capitals."""
    generator, found = random.Random(seed), []
    for _ in range(count):
        messages: Messages = []
        for _ in range(generator.randint(1, turns)):
            asked = generator.sample(WORDS, generator.randint(1, 6))
            messages.append({"role": "user", "content": " ".join(asked)})
            messages.append({"role": "assistant", "content": " ".join(reversed(asked)).upper()})
        found.append(messages)
    return found


def make_tokenizer(folder: Path) -> None:
    """A tokenizer of these words with the template."""
    from transformers import AutoTokenizer

    settings = TokenizeSettings(vocab_size=300, min_frequency=1)
    specials = specials_of("causal-lm", settings)
    bpe = train_vocabulary(
        lambda: [pa.array([*WORDS, *map(str.upper, WORDS)] * 3, pa.large_string())], settings, specials
    )
    save_vocabulary(bpe, specials, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "pad_token": tokenizer.eos_token}
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


def write_chats(folder: Path, template: ChatTemplate, chats: Sequence[Messages]) -> None:
    """Write a split as the stage `tokenize` does."""
    size = len(template.tokenizer)
    writer = TokenWriter(folder, size, template.end, "hash", closed=False, template=template.sha256)
    spans, start = [], 0
    for rendered in template.conversations(chats):
        ids = rendered.ids
        writer.write(np.array(ids, np.uint32), np.array([len(ids)], np.int64), len(ids))
        spans += [(start + begin, start + end) for begin, end in rendered.answers]
        start += len(ids)
    writer.close()
    write_answers(folder, np.array(spans, np.int64).reshape(-1, 2))


@pytest.fixture(scope="session")
def chat_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tokenizer with a chat template."""
    folder = tmp_path_factory.mktemp("chat") / "tokenizer"
    make_tokenizer(folder)
    return folder


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat_tokenizer: Path) -> Callable[..., Path]:
    """Factory: create a tokenized project and enter it; keyword arguments override `train` settings."""
    monkeypatch.chdir(tmp_path)
    write_code()
    monkeypatch.setenv("GRISTMILL_WORKERS", "1")
    without_tracking(monkeypatch)

    def make(
        architecture: str | None = "llama", base: Path | None = None, model: dict[str, Any] | None = None,
        chats: Sequence[Messages] | None = None, held_out: Sequence[Messages] | None = None, name: str = "tiny",
        **train: Any,
    ) -> Path:  # fmt: skip
        settings = {
            "steps": 12, "precision": "fp32", "optimizer": {"name": "adamw", "learning_rate": 0.01},
            "context_length": 64, "batch_tokens": 256, "log_every": 1, "evaluate_every": 6, "checkpoint_every": 4,
            "schedule": {"warmup_steps": 0},
        }  # fmt: skip
        scratch = {"init": "scratch", "architecture": architecture, "config": CONFIGS.get(architecture or "", {})}
        about = {"init": {"kind": "folder", "path": "any"}} if base is not None else scratch
        recipe = {"task": "chat", "model": about | (model or {}), "train": settings | train}
        write_recipe(Path(), name, json.dumps(recipe))
        folder = Path("data") / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(chat_tokenizer, folder / "tokenizer")
        template = ChatTemplate.open(folder / "tokenizer")
        for split, said in (("train", chats or conversations(60)), ("validation", held_out or conversations(12, 1))):
            write_chats(folder / "tokens" / split, template, said)
        if base is None:
            (folder / "base").mkdir()
        else:
            shutil.copytree(base / "model", folder / "base")
        return folder

    return make
