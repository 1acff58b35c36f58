"""The tasks that a recipe can have, and what each one means for the stages."""

import json
from dataclasses import dataclass
from typing import Literal, get_args

from tasks.stage.errors import RecipeError
from tasks.stage.problems import missing, nearest
from tasks.stage.settings import read_yaml, recipe_path

Task = Literal["causal-lm", "translation", "summarization", "masked-lm", "classification", "chat", "preference"]
TASKS: tuple[Task, ...] = get_args(Task)
PAIRS = ("translation", "summarization")
"""Text to text: by an encoder-decoder, or by a causal model that gets source and target in one sequence."""
CHATS = ("chat", "preference")
"""Conversations, rendered by a chat template, for causal models; a preference has two answers to the last question."""


@dataclass(frozen=True)
class Family:
    """The properties of a task."""

    model: str
    """The `transformers` class that loads its models; for pairs, the encoder-decoders: see `model_class`."""
    needs: str | None
    """The corpus column that its documents need besides `text`."""
    packed: bool
    """Whether documents are packed into blocks, each closed by one token; else each has its own special tokens and its
    own row of a batch."""
    metrics: dict[str, tuple[str, ...]]
    """Metrics in `evaluation/metrics.json`, the headline first, each with its baselines: `xz_bits_per_byte` belongs to
    `bits_per_byte`. The baseline `base` is the model that training started from."""


FAMILIES: dict[str, Family] = {
    "causal-lm": Family(
        "AutoModelForCausalLM",
        None,
        True,
        {"bits_per_byte": ("unigram", "xz", "base"), "perplexity": ("base",), "loss": ("base",)},
    ),
    "translation": Family("AutoModelForSeq2SeqLM", "target", False, {"bleu": ("copy",), "chrf": ("copy",)}),
    "summarization": Family(
        "AutoModelForSeq2SeqLM", "target", False, dict.fromkeys(("rougeLsum", "rouge1", "rouge2"), ("first_sentence",))
    ),
    "masked-lm": Family(
        "AutoModelForMaskedLM", None, True, dict.fromkeys(("pseudo_perplexity", "masked_accuracy"), ("unigram",))
    ),
    "classification": Family(
        "AutoModelForSequenceClassification",
        "label",
        False,
        dict.fromkeys(("macro_f1", "accuracy", "macro_precision", "macro_recall"), ("majority", "tfidf")),
    ),
    "chat": Family(
        "AutoModelForCausalLM",
        "messages",
        False,
        {
            "bits_per_byte": ("base",),
            **dict.fromkeys(("chrf", "rougeL", "exact_match"), ("base", "nearest", "frequent")),
            "ended": ("base",),
        },
    ),
    "preference": Family(
        "AutoModelForCausalLM",
        "rejected",
        False,
        {"preference_accuracy": ("base", "longer"), "preference_margin": (), "bits_per_byte": ("base",)},
    ),
}

LESS_IS_BETTER = ("bits_per_byte", "perplexity", "loss", "pseudo_perplexity")
METRICS = {metric: metric in LESS_IS_BETTER for family in FAMILIES.values() for metric in family.metrics}
"""Every metric that can decide a promotion → whether lower is better."""


def is_causal(task: str, encoder_decoder: bool) -> bool:
    """Whether a model predicts each token from the preceding ones; `encoder_decoder`: `is_encoder_decoder` in its
    config.json."""
    return task in ("causal-lm", *CHATS) or (task in PAIRS and not encoder_decoder)


def model_class(task: str, encoder_decoder: bool) -> str:
    """The `transformers` class that loads a model of a task."""
    return FAMILIES["causal-lm" if is_causal(task, encoder_decoder) else task].model


def headline(task: str) -> str:
    """The metric that ranks models of a task unless a recipe names another."""
    return next(iter(FAMILIES[task].metrics))


def is_baseline(key: str) -> bool:
    """Whether a key of `evaluation/metrics.json` belongs to a baseline, such as `xz_bits_per_byte` and its bounds, or
    compares with the base, such as `bits_per_byte_gain`."""
    key = key.removesuffix("_low").removesuffix("_high")
    if key.removesuffix("_gain") in METRICS:
        return key.endswith("_gain")
    return any(key.endswith(f"_{metric}") for metric in METRICS)


def read_task(recipe: str) -> str:
    """The key `task` of a recipe. Raises RecipeError if it is missing or unknown."""
    path = recipe_path(recipe)
    content = read_yaml(path)
    task = content.get("task")
    if task not in TASKS:
        given = missing("task", content) if task is None else json.dumps(task, default=str)
        raise RecipeError(f"{path}: task: {given}; expected one of {', '.join(TASKS)}{nearest(task, TASKS)}")
    return str(task)
