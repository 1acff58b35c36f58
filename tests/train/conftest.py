"""A project with two small splits and a recipe for a two-layer model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.formats.tokens import TokenWriter
from tasks.stage.run import run
from tasks.tokenize.settings import TokenizeSettings
from tasks.tokenize.specials import specials_of
from tasks.tokenize.vocabulary import save_vocabulary, train_vocabulary
from tasks.train.__main__ import STAGE
from tests.corpora import write_recipe
from tests.scratch import without_tracking, write_code

TEXT = (
    "ROMEO\nBut soft, what light through yonder window breaks?\n\nJULIET\nO Romeo, Romeo! wherefore art thou Romeo?\n"
)
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "qwen3": {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 8, "intermediate_size": 32, "tie_word_embeddings": True,
    },
    "gpt_neox": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Factory: create a project with the recipe `tiny` and enter it; keyword arguments override `train` settings."""
    monkeypatch.chdir(tmp_path)
    write_code()
    monkeypatch.setenv("GRISTMILL_WORKERS", "1")
    without_tracking(monkeypatch)

    def make(architecture: str = "gpt_neox", config: dict[str, Any] | None = None, **train: Any) -> Path:
        settings: dict[str, Any] = {
            "steps": 12, "context_length": 16, "batch_size": 4, "log_every": 2, "evaluate_every": 6,
            "checkpoint_every": 4, "precision": "fp32", "schedule": {"warmup_steps": 2},
        }  # fmt: skip
        config = CONFIGS[architecture] if config is None else config
        model = {"init": "scratch", "architecture": architecture, "config": config}
        write_recipe(Path(), "tiny", json.dumps({"task": "causal-lm", "model": model, "train": settings | train}))
        folder = Path("data/tiny")
        if not folder.exists():
            make_tokens(folder)
            (folder / "base").mkdir()
        return folder

    return make


def trained(project: Callable[..., Path], *arguments: Any, **settings: Any) -> Path:
    """The folder of a new project after its training."""
    folder = project(*arguments, **settings)
    run(STAGE, folder.name)
    return folder


def refuses(error: type[Exception], sentence: str) -> None:
    """The stage `train` of the recipe `tiny` raises this error."""
    with pytest.raises(error, match=sentence):
        run(STAGE, "tiny")


def make_tokens(folder: Path) -> None:
    """Write tokenizer/, tokens/train and tokens/validation, as the stage `tokenize` does."""
    settings = TokenizeSettings(vocab_size=288, min_frequency=1)
    specials = specials_of("causal-lm", settings)
    bpe = train_vocabulary(lambda: [pa.array([TEXT], pa.large_string())], settings, specials)
    save_vocabulary(bpe, specials, folder / "tokenizer")
    ids = np.array([*bpe.encode(TEXT).ids, 0], np.uint16)
    for split, documents in {"train": 20, "validation": 4}.items():
        writer = TokenWriter(folder / "tokens" / split, bpe.get_vocab_size(), 0, "hash")
        for _ in range(documents):
            writer.write(ids, np.array([len(ids)], np.int64), len(TEXT))
        writer.close()
