"""A tiny recipe for every task, on generated data: the target is the text's words in capitals and reverse order, the
label whether their number is even. A chat answers a text with its target;
of preferences, the target is chosen, the text itself rejected."""

import json
import random
from pathlib import Path
from typing import Any

from tasks.stage.task import CHATS

TEXTS = 120
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "causal-lm": ("llama", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                            "intermediate_size": 64, "max_position_embeddings": 128}),
    "translation": ("marian", {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
                               "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
                               "max_position_embeddings": 64}),
    "summarization": ("t5", {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}),
    "masked-lm": ("bert", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                           "intermediate_size": 64, "max_position_embeddings": 64}),
    "classification": ("bert", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                                "intermediate_size": 64, "max_position_embeddings": 64}),
    **dict.fromkeys(CHATS, ("llama", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                                      "intermediate_size": 64, "max_position_embeddings": 128})),
}  # fmt: skip
TRAIN: dict[str, dict[str, Any]] = {
    "causal-lm": {"context_length": 32, "batch_size": 4},
    "translation": {"batch_tokens": 512, "source_length": 48, "target_length": 60},
    "summarization": {"batch_tokens": 512, "source_length": 48, "target_length": 60},
    "masked-lm": {"context_length": 32, "batch_size": 4},
    "classification": {"batch_tokens": 512, "source_length": 48},
    "chat": {"batch_tokens": 512, "context_length": 96},
    "preference": {"batch_tokens": 1024, "context_length": 96, "loss": {"name": "orpo"}},
}
EVALUATE: dict[str, dict[str, Any]] = {
    "causal-lm": {"window": 32, "stride": 16, "prompts": ["ka"], "generation": {"max_new_tokens": 8}},
    "translation": {"generation": {"num_beams": 2, "max_new_tokens": 12}},
    "summarization": {"generation": {"num_beams": 2, "max_new_tokens": 12}},
    "masked-lm": {"window": 32, "prompts": ["ka [MASK]"]},
    "classification": {},
    "chat": {"generation": {"max_new_tokens": 12}},
    "preference": {"generation": {"max_new_tokens": 8}},
}


def write_source(path: Path) -> None:
    """A JSON Lines file with the columns text, target, rejected, label and group."""
    generator = random.Random(0)
    words = ["".join(generator.choices("aeioklmnrst", k=generator.randint(2, 5))) for _ in range(40)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for number in range(TEXTS):
            chosen = generator.choices(words, k=generator.randint(3, 9))
            row = {
                "text": " ".join(chosen),
                "target": " ".join(reversed(chosen)).upper(),
                "rejected": " ".join(chosen),
                "label": "even" if len(chosen) % 2 == 0 else "odd",
                "group": f"g{number % 30}",
            }
            file.write(json.dumps(row) + "\n")


def tiny_recipe(task: str, source: str, init: Any = "scratch", like: str = "", **train: Any) -> dict[str, Any]:
    """A recipe for a task on the file at `source`; any `init` but scratch is a base with its tokenizer.

    `like`: use the model of another task.
    """
    architecture, config = MODELS[like or task]
    columns = {"group_column": "group"}
    if task in ("translation", "summarization"):
        columns["target_column"] = "target"
    elif task == "classification":
        columns["label_column"] = "label"
    elif task == "chat":
        columns |= {"prompt_column": "text", "completion_column": "target"}
    elif task == "preference":
        columns |= {"prompt_column": "text", "chosen_column": "target", "rejected_column": "rejected"}
    scratch = init == "scratch"
    return {
        "task": task,
        "description": f"A tiny model for {task}",
        "ingest": {"kind": "files", "licence": "none", "files": [source], "documents": columns},
        "validate": {},
        "clean": {"splits": {"validation": 0.1, "test": 0.2, "seed": 1}},
        "tokenize": _tokenize(task, scratch),
        "model": {"init": "scratch", "architecture": architecture, "config": {**config}} if scratch else {"init": init},
        "train": {
            "steps": 6, "evaluate_every": 3, "checkpoint_every": 3, "log_every": 2,
            "optimizer": {"name": "adamw", "learning_rate": 0.003}, **TRAIN[task], **train,
        },
        "evaluate": EVALUATE[task],
        "register": {},
    }  # fmt: skip


def _tokenize(task: str, scratch: bool) -> dict[str, Any]:
    if not scratch:
        return {"kind": "base"}
    return {"vocab_size": 300, **({"chat_template": "chatml"} if task in CHATS else {})}
