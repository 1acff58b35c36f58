"""Evaluate a causal language model: perplexity and bits per byte on the test split, baselines, samples, plots.

All checks run before the first document is scored. Memory holds one row of numbers per test document, not its text.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.baselines import unigram_losses, xz_bytes
from tasks.evaluate.exam import Exam, Row, with_baselines
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.loading import Loaded, check_base, check_tokens, load_base, load_model
from tasks.evaluate.perplexity import signature, token_losses
from tasks.evaluate.samples import prompt_ids, sample
from tasks.evaluate.score_plots import Measure
from tasks.evaluate.score_tables import by_group, sums_by_part, total, write_tables
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import CausalEvaluateSettings
from tasks.evaluate.split import Split
from tasks.formats.corpus import read_batches
from tasks.formats.text_ids import opening
from tasks.formats.tokenizer import load_tokenizer
from tasks.formats.tokens import Tokens
from tasks.formats.usage import read_usage
from tasks.stage import runtime
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.progress import Progress, progress
from tasks.stage.run import Job, Report
from tasks.stage.settings import recipe_path

MEASURE = Measure("bits_per_byte", "bytes", "bits per byte")
COLUMNS = dict.fromkeys(("bytes", "tokens"), int) | dict.fromkeys(("loss", "bits_per_byte", "perplexity"), float)
"""Columns stored in scores.parquet."""


class CausalScorer:
    """Scores a causal model: the loss of each document's tokens."""

    columns = COLUMNS

    def __init__(self, exam: Exam, settings: CausalEvaluateSettings) -> None:
        self.loaded = load_model(exam.model, "causal-lm", settings.precision)
        positions = self.loaded.positions
        if positions is not None and settings.window > positions:
            raise exam.unfit("evaluate.window", f"{settings.window} exceeds the model's {positions} positions")
        self.exam, self.settings = exam, settings
        self.opening = opening(self.loaded.tokenizer)
        """The ids that begin each text."""
        self._rows: list[Row] = []
        self._unknown = 0

    def score(self) -> Iterator[tuple[Row, NDArray[np.int64]]]:
        """A row per document in corpus order, and its token ids. Raises DataError if a loss is not finite."""
        tokenizer, model = self.loaded.tokenizer, self.loaded.model
        unknown = tokenizer.unk_token_id if tokenizer.unk_token_id != tokenizer.eos_token_id else None
        for row, ids, loss in _score(self.exam, self.exam.model, model, tokenizer, self.settings):
            self._unknown += int((ids == unknown).sum())
            self._rows.append({**row, "loss": loss, **_rates(loss, row["tokens"], row["bytes"])})
            yield self._rows[-1], ids

    def metrics(self) -> dict[str, Any]:
        """Bits per byte, perplexity, loss in nats per token, counts, and the signature."""
        rows, split = self._rows, self.exam.split
        tokens = sum(row["tokens"] for row in rows)
        signed = signature(self.settings, self.loaded.tokenizer_hash, split.sha256, self._unknown, self.opening)
        return {
            **_sum(rows),
            "loss": round(total(rows, "loss") / tokens, DIGITS),
            "tokens": tokens,
            "bytes": split.bytes,
            "documents": split.documents,
            "signature": signed,
        }


def evaluate_causal_lm(job: Job, settings: CausalEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job)
    exam = inputs.exam(job)
    has_base = (job.input("base") / "config.json").is_file()
    if has_base:
        check_base(job.input("base"), job.input("model"))
    rows, samples, own = _evaluate_model(job, settings, inputs.train, exam)
    if has_base:
        _score_base(job, settings, exam, rows)
    metrics = with_baselines(own, _baselines(rows, exam.split, xz_bytes(job.input("clean/test"))), before="signature")
    metrics |= sums_by_part(inputs.parts, rows, partial(_of_part, has_base=has_base))
    groups = by_group(rows, ("bytes", "tokens"), _sum, MEASURE)
    job.say(
        f"{metrics['bits_per_byte']:.4f} bits per byte on {exam.split.documents:,} documents"
        f" (unigram {metrics['unigram_bits_per_byte']:.2f}, xz {metrics['xz_bits_per_byte']:.2f}"
        + (f", before training {metrics['base_bits_per_byte']:.4f})" if "base_bits_per_byte" in metrics else ")")
    )
    return write_tables(job, inputs, MEASURE, COLUMNS, rows, groups, metrics, samples, metrics["tokens"])


def _evaluate_model(
    job: Job, settings: CausalEvaluateSettings, train: Tokens, exam: Exam
) -> tuple[list[Row], list[dict[str, Any]], dict[str, Any]]:
    """A row per document in corpus order, the samples, and the model's own metrics.

    The model is freed on return. In a row, `unigram` is the baseline's loss; it is not stored.
    """
    scorer = CausalScorer(exam, settings)
    _check(job, settings, scorer.loaded, train)
    unigram = unigram_losses(train, scorer.opening)
    rows = []
    for row, ids in scorer.score():
        row["unigram"] = float(unigram[ids].sum())
        rows.append(row)
    samples = []
    with progress("writing samples", len(settings.prompts), "prompts") as shown:
        for prompt in settings.prompts:
            samples.append(sample(scorer.loaded, prompt, settings.generation))
            shown.advance()
    return rows, samples, scorer.metrics()


def _score_base(job: Job, settings: CausalEvaluateSettings, exam: Exam, rows: list[Row]) -> None:
    """Add `base` to each row, the loss of the initial model; it is not stored."""
    folder, trained = job.input("base"), job.input("model")
    tokenizer = load_tokenizer(trained, read_usage(trained).control)
    model = load_base(folder, settings.precision, settings.window)
    for row, (_, _, loss) in zip(rows, _score(exam, folder, model, tokenizer, settings), strict=True):
        row["base"] = loss


def _check(job: Job, settings: CausalEvaluateSettings, loaded: Loaded, train: Tokens) -> None:
    path, positions = recipe_path(job.recipe), loaded.positions
    check_tokens(train.index, job.input("tokens/train"), loaded.tokenizer_hash, job.input("model"))
    if train.index.eos_token_id != loaded.eos_token_id:
        raise DataError(
            f"{job.folder}/tokens/train/index.json: documents end with token {train.index.eos_token_id},"
            f" but the model's tokenizer has eos_token {loaded.eos_token_id}"
        )
    if positions is None:
        return
    for number, prompt in enumerate(settings.prompts):
        length, new = len(prompt_ids(loaded, prompt)), settings.generation.max_new_tokens
        if length + new > positions:
            raise RecipeError(
                f"{path}: evaluate.prompts.{number}: its {length} tokens plus generation.max_new_tokens {new} exceed"
                f" the model's {positions} positions"
            )


def _score(
    exam: Exam, folder: Path, model: Any, tokenizer: Any, settings: CausalEvaluateSettings
) -> Iterator[tuple[Row, NDArray[np.int64], float]]:
    """Each document in corpus order: {id, group, bytes, tokens}, its token ids, and its summed loss in nats."""
    begin = opening(tokenizer)
    with progress(f"scoring {folder.name}", exam.split.bytes, "bytes of text") as shown:
        for batch in read_batches(exam.test, ["id", "group", "text"]):
            texts = batch.column("text").to_pylist()
            encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            documents = [np.asarray(ids, np.int64) for ids in encoded]
            sizes = [len(value.encode("utf-8")) for value in texts]
            told = partial(_tell, shown, sum(sizes) / max(1, sum(map(len, documents))))
            losses = token_losses(model, documents, tokenizer.eos_token_id, settings, runtime.workers(), told, begin)
            names = zip(batch.column("id").to_pylist(), batch.column("group").to_pylist(), strict=True)
            for (name, group), size, ids, values in zip(names, sizes, documents, losses, strict=True):
                loss = float(values.sum())
                if not math.isfinite(loss):
                    raise DataError(f"{folder}: the loss on document {name} is not finite")
                yield {"id": name, "group": group, "bytes": size, "tokens": len(ids)}, ids, loss


def _tell(shown: Progress, bytes_per_token: float, tokens: int) -> None:
    shown.advance(round(tokens * bytes_per_token))


def _rates(loss: float, tokens: int, size: int) -> dict[str, float | None]:
    """Bits per byte and perplexity of a summed loss in nats; None if the document is empty."""
    return {
        "bits_per_byte": _bits_per_byte(loss, size) if size else None,
        "perplexity": round(math.exp(min(loss / tokens, 700.0)), DIGITS) if tokens else None,
    }


def _bits_per_byte(loss: float, size: int) -> float:
    return round(loss / math.log(2) / size, DIGITS)


def _sum(rows: Sequence[Row], loss: str = "loss") -> dict[str, float | None]:
    """The rates over all documents in `rows`."""
    return _rates(total(rows, loss), sum(row["tokens"] for row in rows), sum(row["bytes"] for row in rows))


def _of_part(rows: Sequence[Row], has_base: bool) -> dict[str, float | None]:
    """The rates over the documents of a source, of the model and of its base."""
    base = {f"base_{name}": value for name, value in _sum(rows, "base").items()} if has_base else {}
    return {**_sum(rows), **base}


def _baselines(rows: Sequence[Row], split: Split, compressed: int) -> dict[str, Any]:
    """The metrics of the unigram model, of xz, and of the base if the rows have its losses."""
    found = {
        "unigram_bits_per_byte": _bits_per_byte(total(rows, "unigram"), split.bytes),
        "xz_bits_per_byte": round(8 * compressed / split.bytes, DIGITS),
    }
    if "base" in rows[0]:
        tokens = sum(row["tokens"] for row in rows)
        rates = {**_sum(rows, "base"), "loss": round(total(rows, "base") / tokens, DIGITS)}
        found |= {f"base_{name}": value for name, value in rates.items()}
    return found
