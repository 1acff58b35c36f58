"""Evaluate a masked language model: pseudo-perplexity and accuracy on masked tokens, a unigram baseline, fills.

Memory holds one row of numbers per test document, not its text.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.baselines import token_counts
from tasks.evaluate.exam import Exam, Row, with_baselines
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.loading import Loaded, check_tokens, check_usage, load_model
from tasks.evaluate.masking import guess, hidden_positions, signature
from tasks.evaluate.samples import fill, masked_prompt_ids
from tasks.evaluate.score_plots import Measure
from tasks.evaluate.score_tables import by_group, sums_by_part, total, write_tables
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import MaskedEvaluateSettings
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


class MaskedScorer:
    """Scores a masked model: the losses of each document's masked tokens."""

    columns = COLUMNS

    def __init__(self, exam: Exam, settings: MaskedEvaluateSettings) -> None:
        self.loaded = load_model(exam.model, "masked-lm", settings.precision)
        check_usage(exam.model, "masked-lm")
        self.special = list(self.loaded.tokenizer.all_special_ids)
        specials, positions = len(Frame.of(self.loaded.tokenizer)), self.loaded.positions
        if settings.window <= specials:
            raise exam.unfit("evaluate.window", f"{settings.window} has no room beyond {specials} special tokens")
        if positions is not None and settings.window > positions:
            raise exam.unfit("evaluate.window", f"{settings.window} exceeds the model's {positions} positions")
        self.exam, self.settings = exam, settings
        self._rows: list[Row] = []

    def score(self) -> Iterator[tuple[Row, NDArray[np.int64]]]:
        """A row per document in corpus order, and its masked tokens. Raises DataError if a loss is not finite, or if
        no token of the split was masked."""
        exam, settings, tokenizer = self.exam, self.settings, self.loaded.tokenizer
        with progress("scoring", exam.split.documents, "documents") as shown:
            for batch in read_batches(exam.test, ["id", "group", "text"]):
                names = batch.column("id").to_pylist()
                texts = batch.column("text").to_pylist()
                encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
                documents = [np.asarray(ids, np.int64) for ids in encoded]
                hidden = [
                    hidden_positions(name, ids, self.special, settings.mask_probability, settings.seed)
                    for name, ids in zip(names, documents, strict=True)
                ]
                guesses = guess(self.loaded.model, tokenizer, names, documents, hidden, settings, runtime.workers())
                groups = batch.column("group").to_pylist()
                for name, group, ids, places, found in zip(names, groups, documents, hidden, guesses, strict=True):
                    loss = float(found.losses.sum())
                    if not math.isfinite(loss):
                        raise DataError(f"{exam.model}: the loss on document {name} is not finite")
                    counts = {"tokens": len(ids), "masked": len(places), "right": int(found.right.sum()), "loss": loss}
                    rates = _rates(loss, counts["right"], len(places))
                    self._rows.append({"id": name, "group": group, **counts, **rates})
                    yield self._rows[-1], ids[places]
                shown.advance(len(names))
        if not any(row["masked"] for row in self._rows):
            raise DataError(f"{exam.test}: too little text: no token was masked")

    def metrics(self) -> dict[str, Any]:
        """Pseudo-perplexity, accuracy, loss in nats per masked token, counts, and the signature."""
        rows, split = self._rows, self.exam.split
        masked = sum(row["masked"] for row in rows)
        return {
            **_sum(rows),
            "loss": round(total(rows, "loss") / masked, DIGITS),
            "masked": masked,
            "tokens": sum(row["tokens"] for row in rows),
            "bytes": split.bytes,
            "documents": split.documents,
            "signature": signature(self.settings, self.loaded.tokenizer_hash, split.sha256),
        }


def evaluate_masked_lm(job: Job, settings: MaskedEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job)
    scorer = MaskedScorer(inputs.exam(job), settings)
    _check(job, settings, scorer.loaded, inputs.train)
    rows = _rows_with_baseline(scorer, inputs.train)
    baseline = {f"unigram_{name}": value for name, value in _sum(rows, "unigram", "common").items()}
    metrics = with_baselines(scorer.metrics(), baseline, before="signature")
    metrics |= sums_by_part(inputs.parts, rows, _sum)
    groups = by_group(rows, ("tokens", "masked"), _sum, MEASURE)
    samples = [fill(scorer.loaded, prompt) for prompt in settings.prompts]
    job.say(
        f"pseudo-perplexity {metrics['pseudo_perplexity']:.2f}, {metrics['masked_accuracy']:.1%} of"
        f" {metrics['masked']:,} masked tokens correct (unigram {metrics['unigram_masked_accuracy']:.1%})"
    )
    return write_tables(job, inputs, MEASURE, COLUMNS, rows, groups, metrics, samples, metrics["masked"])


def _check(job: Job, settings: MaskedEvaluateSettings, loaded: Loaded, train: Tokens) -> None:
    path, positions = recipe_path(job.recipe), loaded.positions
    check_tokens(train.index, job.input("tokens/train"), loaded.tokenizer_hash, job.input("model"))
    if positions is None:
        return
    for number, prompt in enumerate(settings.prompts):
        if (length := len(masked_prompt_ids(loaded, prompt))) > positions:
            raise RecipeError(
                f"{path}: evaluate.prompts.{number}: its {length} tokens exceed the model's {positions} positions"
            )


def _rows_with_baseline(scorer: MaskedScorer, train: Tokens) -> list[Row]:
    """All rows, with the baseline's loss `unigram` and hits `common`, which are not stored."""
    unigram, commonest = _unigram(train, scorer.special)
    rows = []
    for row, truth in scorer.score():
        row |= {"unigram": float(unigram[truth].sum()), "common": int((truth == commonest).sum())}
        rows.append(row)
    return rows


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
