"""Evaluate a masked language model: pseudo-perplexity and accuracy on masked tokens, a unigram baseline, fills.

Memory holds one row of numbers per test document, not its text.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.baselines import token_counts
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.loading import Loaded, check_tokens, check_usage, load_model
from tasks.evaluate.masking import guess, hidden_positions, signature
from tasks.evaluate.samples import fill, masked_prompt_ids
from tasks.evaluate.score_plots import Measure
from tasks.evaluate.score_tables import DIGITS, Row, by_group, total, write_tables
from tasks.evaluate.settings import MaskedEvaluateSettings
from tasks.evaluate.split import Split
from tasks.formats.corpus import read_batches
from tasks.formats.text_ids import Frame
from tasks.formats.tokens import Tokens
from tasks.stage import runtime
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.progress import progress
from tasks.stage.run import Job, Report
from tasks.stage.settings import recipe_path

MEASURE = Measure("pseudo_perplexity", "masked", "pseudo-perplexity", logarithmic=True)
COLUMNS = dict.fromkeys(("tokens", "masked", "right"), int) | dict.fromkeys(
    ("loss", "masked_accuracy", "pseudo_perplexity"), float
)
"""Columns stored in scores.parquet."""


def evaluate_masked_lm(job: Job, settings: MaskedEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job)
    train, split = inputs.train, inputs.split
    loaded = load_model(job.input("model"), "masked-lm", settings.precision)
    _check(job, settings, loaded, train)
    rows = list(_score(job, settings, loaded, train, split))
    if not any(row["masked"] for row in rows):
        raise DataError(f"{job.folder}/clean/test: too little text: no token was masked")
    metrics = _metrics(rows, split, signature(settings, loaded.tokenizer_hash, split.sha256))
    groups = by_group(rows, ("tokens", "masked"), _sum, MEASURE)
    samples = [fill(loaded, prompt) for prompt in settings.prompts]
    job.say(
        f"pseudo-perplexity {metrics['pseudo_perplexity']:.2f}, {metrics['masked_accuracy']:.1%} of"
        f" {metrics['masked']:,} masked tokens correct (unigram {metrics['unigram_masked_accuracy']:.1%})"
    )
    return write_tables(job, inputs, MEASURE, COLUMNS, rows, groups, metrics, samples, metrics["masked"])


def _check(job: Job, settings: MaskedEvaluateSettings, loaded: Loaded, train: Tokens) -> None:
    path, positions = recipe_path(job.recipe), loaded.positions
    check_usage(job.input("model"), "masked-lm")
    check_tokens(train.index, job.input("tokens/train"), loaded.tokenizer_hash, job.input("model"))
    specials = len(Frame.of(loaded.tokenizer))
    if settings.window <= specials:
        raise RecipeError(f"{path}: evaluate.window: {settings.window} has no room beyond {specials} special tokens")
    if positions is None:
        return
    if settings.window > positions:
        raise RecipeError(f"{path}: evaluate.window: {settings.window} exceeds the model's {positions} positions")
    for number, prompt in enumerate(settings.prompts):
        if (length := len(masked_prompt_ids(loaded, prompt))) > positions:
            raise RecipeError(
                f"{path}: evaluate.prompts.{number}: its {length} tokens exceed the model's {positions} positions"
            )


def _score(job: Job, settings: MaskedEvaluateSettings, loaded: Loaded, train: Tokens, split: Split) -> Iterator[Row]:
    """A row per document, in corpus order; the baseline's loss `unigram` and hits `common` are not stored."""
    tokenizer, special = loaded.tokenizer, list(loaded.tokenizer.all_special_ids)
    unigram, commonest = _unigram(train, special)
    with progress("scoring", split.documents, "documents") as shown:
        for batch in read_batches(job.input("clean/test"), ["id", "group", "text"]):
            names = batch.column("id").to_pylist()
            texts = batch.column("text").to_pylist()
            encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            documents = [np.asarray(ids, np.int64) for ids in encoded]
            hidden = [
                hidden_positions(name, ids, special, settings.mask_probability, settings.seed)
                for name, ids in zip(names, documents, strict=True)
            ]
            guesses = guess(loaded.model, tokenizer, names, documents, hidden, settings, runtime.workers())
            groups = batch.column("group").to_pylist()
            for name, group, ids, places, found in zip(names, groups, documents, hidden, guesses, strict=True):
                loss, truth = float(found.losses.sum()), ids[places]
                if not math.isfinite(loss):
                    raise DataError(f"{job.folder}/model: the loss on document {name} is not finite")
                counts = {"tokens": len(ids), "masked": len(places), "right": int(found.right.sum()), "loss": loss}
                chance = {"unigram": float(unigram[truth].sum()), "common": int((truth == commonest).sum())}
                yield {"id": name, "group": group, **counts, **_rates(loss, counts["right"], len(places)), **chance}
            shown.advance(len(names))


def _unigram(train: Tokens, special: Sequence[int]) -> tuple[NDArray[np.float64], int]:
    """-ln p of each token in nats [vocabulary], and the most frequent token (ties: the lowest id).

    Laplace smoothing, p = (count + 1) / (tokens + vocabulary), without special tokens.
    """
    counts = token_counts(train)
    ordinary = np.ones(len(counts), bool)
    ordinary[[token for token in special if token < len(counts)]] = False
    counts[~ordinary] = 0
    losses = np.log(counts.sum() + ordinary.sum()) - np.log(counts + 1.0)
    return losses, int(np.where(ordinary, counts, -1).argmax())


def _rates(loss: float, right: float, masked: int) -> dict[str, float | None]:
    """Accuracy and pseudo-perplexity; None if no token was masked."""
    if not masked:
        return {"pseudo_perplexity": None, "masked_accuracy": None}
    perplexity = math.exp(min(loss / masked, 700.0))
    return {"pseudo_perplexity": round(perplexity, DIGITS), "masked_accuracy": round(right / masked, DIGITS)}


def _sum(rows: Sequence[Row], loss: str = "loss", right: str = "right") -> dict[str, float | None]:
    """The rates over all documents in `rows`."""
    return _rates(total(rows, loss), sum(row[right] for row in rows), sum(row["masked"] for row in rows))


def _metrics(rows: Sequence[Row], split: Split, signature: str) -> dict[str, Any]:
    masked = sum(row["masked"] for row in rows)
    return {
        **_sum(rows),
        "loss": round(total(rows, "loss") / masked, DIGITS),
        "masked": masked,
        "tokens": sum(row["tokens"] for row in rows),
        "bytes": split.bytes,
        "documents": split.documents,
        **{f"unigram_{name}": value for name, value in _sum(rows, "unigram", "common").items()},
        "signature": signature,
    }
