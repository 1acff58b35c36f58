"""The families of language models: what a recipe's `task` may be, and what follows from it for every stage."""

from dataclasses import dataclass
from typing import Literal, get_args

from tasks.stage.errors import RecipeError
from tasks.stage.settings import read_yaml, recipe_path

Task = Literal["causal-lm", "translation", "summarization", "masked-lm", "classification"]
TASKS: tuple[Task, ...] = get_args(Task)
PAIRS = ("translation", "summarization")
"""A text in, another text out: by an encoder-decoder, or by a causal model that reads both as one row."""


@dataclass(frozen=True)
class Family:
    """What a task means."""

    model: str
    """The class of `transformers` that loads its models; of pairs, its encoder-decoders: see `model_class`."""
    needs: str | None
    """The column of the corpus that its documents have beside `text`."""
    packed: bool
    """Whether documents stand back to back in blocks, each closed by one token; else each has its own special tokens
    and its own row of a batch."""
    metrics: dict[str, tuple[str, ...]]
    """What `evaluation/metrics.json` measures, the headline first, and the baselines that it has the same of:
    `xz_bits_per_byte` beside `bits_per_byte`. The baseline `base` is the model that the training started from."""


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
}

LESS_IS_BETTER = ("bits_per_byte", "perplexity", "loss", "pseudo_perplexity")
METRICS = {metric: metric in LESS_IS_BETTER for family in FAMILIES.values() for metric in family.metrics}
"""Every metric that a model can be promoted by → whether less of it is better."""


def is_causal(task: str, encoder_decoder: bool) -> bool:
    """Whether a model of a task has to predict each token from those before it; `encoder_decoder`: as its config.json
    says in `is_encoder_decoder`."""
    return task == "causal-lm" or (task in PAIRS and not encoder_decoder)


def model_class(task: str, encoder_decoder: bool) -> str:
    """The class of `transformers` that loads a model of a task."""
    return FAMILIES["causal-lm" if is_causal(task, encoder_decoder) else task].model


def headline(task: str) -> str:
    """The metric by which models of a task are told apart unless a recipe names another."""
    return next(iter(FAMILIES[task].metrics))


def is_baseline(key: str) -> bool:
    """Whether a key of `evaluation/metrics.json` is a baseline's: `xz_bits_per_byte` beside `bits_per_byte`."""
    return key not in METRICS and any(key.endswith(f"_{metric}") for metric in METRICS)


def read_task(recipe: str) -> str:
    """The key `task` of a recipe. Raises RecipeError where it is missing or no task."""
    path = recipe_path(recipe)
    task = read_yaml(path).get("task")
    if task not in TASKS:
        raise RecipeError(
            f"{path}: task: {'missing' if task is None else repr(task)}; one of {', '.join(TASKS)} wanted"
        )
    return str(task)
