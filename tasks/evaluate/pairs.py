"""Evaluation shared by translation and summarization: outputs for the test split, scores, baselines and examples.

Outputs are written and scored in batches of the corpus, so memory holds one row of numbers per document, not its text.
Each task provides its metric and its baseline.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.batches import batches_by_length, map_batches
from tasks.evaluate.exam import Exam, Row, with_baselines
from tasks.evaluate.generation import Encoded, PairModel, Written, encode_pairs, load_pair_model, write
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.loading import check_tokens
from tasks.evaluate.parts import by_part, columns_with_part, rows_with_part
from tasks.evaluate.score_plots import draw_against_baseline
from tasks.evaluate.score_tables import EXAMPLES
from tasks.evaluate.scores import DIGITS, write_scores
from tasks.evaluate.settings import BootstrapSettings, PairEvaluateSettings
from tasks.evaluate.signatures import write_signature
from tasks.evaluate.split import Split, shortened, spaced
from tasks.formats.corpus import read_batches
from tasks.formats.tokens import TARGET, Tokens
from tasks.stage import runtime
from tasks.stage.errors import DataError
from tasks.stage.progress import Progress, progress
from tasks.stage.run import Job, Report
from tasks.stage.task import FAMILIES

VERSION = 1
"""Increment when the same model and text would get a different score."""

ROW_GROUP = 10_000
"""Rows per row group of scores.parquet, which hold texts."""

CHARACTERS = 1000
"""Maximum characters of a text in samples.json."""


class PairMetric(Protocol):
    """A task's metric for outputs."""

    columns: tuple[str, ...]
    """Names of the document scores, 0 to 100; the first one ranks documents."""

    def add(self, written: Sequence[str], references: Sequence[str]) -> list[dict[str, float]]:
        """Score more documents; returns the `columns` of each."""

    def scores(self, documents: NDArray[np.int64] | None = None) -> dict[str, float]:
        """Corpus scores, of all documents or of those with these numbers."""

    def intervals(self, settings: BootstrapSettings) -> dict[str, float]:
        """The 95 % confidence interval of each corpus score: bleu_low, bleu_high, …"""

    def signature(self) -> dict[str, object]:
        """The metric's part of the signature."""


@dataclass(frozen=True)
class Baseline:
    """Outputs that need no model."""

    name: str
    """The prefix of its metrics."""
    title: str
    """For the plot."""
    write: Callable[[str], str]
    """The output for a text."""


@dataclass
class Totals:
    """Counts over all documents."""

    truncated: int = 0
    truncated_references: int = 0
    unfinished: int = 0
    new_tokens: int = 0
    tokens: int = 0
    """Tokens of the references, special tokens included."""
    losses: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """Characters of output / characters of reference, for non-empty references."""

    def add(self, encoded: Encoded, written: Written, output: str, reference: str) -> None:
        """Add one document."""
        self.truncated += encoded.truncated
        self.truncated_references += encoded.reference_truncated
        self.unfinished += not written.finished
        self.new_tokens += len(written.ids)
        self.tokens += len(encoded.reference)
        self.losses.append(written.loss)
        if reference:
            self.ratios.append(len(output) / len(reference))

    def metrics(self) -> dict[str, float | int | None]:
        """The totals for metrics.json."""
        loss = math.fsum(self.losses) / max(1, self.tokens)
        return {
            "length_ratio": round(math.fsum(self.ratios) / len(self.ratios), DIGITS) if self.ratios else None,
            "loss": round(loss, DIGITS),
            "perplexity": round(math.exp(min(loss, 700.0)), DIGITS),
            "tokens": self.tokens,
            "new_tokens": self.new_tokens,
            "truncated": self.truncated,
            "truncated_references": self.truncated_references,
            "unfinished": self.unfinished,
        }


class PairScorer:
    """Scores a translation or summarization model: the output for each document against its reference."""

    def __init__(self, exam: Exam, task: str, settings: PairEvaluateSettings, metric: PairMetric) -> None:
        self.model = load_pair_model(exam.model, task, settings.precision)
        room, wanted = self.model.output_length, settings.generation.max_new_tokens
        if room is not None and wanted >= room:
            taken = f" minus {self.model.source_length} for the input" if self.model.causal else ""
            raise exam.unfit(
                "evaluate.generation.max_new_tokens",
                f"{wanted} plus the start or end token exceeds the model's {self.model.loaded.positions}"
                f" positions{taken}",
            )
        self.exam, self.task, self.settings = exam, task, settings
        self.columns = dict.fromkeys(("prediction", "reference"), str) | dict.fromkeys(metric.columns, float)
        self.totals = Totals()
        self.metric = metric

    def score(self) -> Iterator[tuple[Row, str]]:
        """A row per document in corpus order, and its text. Raises DataError if a loss is not finite."""
        exam, model = self.exam, self.model
        with progress("writing", exam.split.documents, "documents") as shown:
            for batch in read_batches(exam.test, ["id", "group", "text", "target"]):
                names = batch.column("id").to_pylist()
                texts, references = batch.column("text").to_pylist(), batch.column("target").to_pylist()
                encoded = encode_pairs(model, texts, references)
                written = _write_batches(model, self.settings, encoded, names, shown)
                decoded = model.target.batch_decode(
                    [each.ids for each in written], skip_special_tokens=True, clean_up_tokenization_spaces=False
                )
                outputs = [output.strip() for output in decoded]
                scores = self.metric.add(outputs, references)
                for number, (name, group) in enumerate(zip(names, batch.column("group").to_pylist(), strict=True)):
                    if not math.isfinite(written[number].loss):
                        raise DataError(f"{exam.model}: the loss on document {name} is not finite")
                    self.totals.add(encoded[number], written[number], outputs[number], references[number])
                    texts_of = {"prediction": outputs[number], "reference": references[number]}
                    yield {"id": name, "group": group, **texts_of, **scores[number]}, texts[number]

    def metrics(self) -> dict[str, Any]:
        """Corpus scores with their intervals, totals, counts, and the signature."""
        split = self.exam.split
        return {
            **self.metric.scores(),
            **self.metric.intervals(self.settings.bootstrap),
            **self.totals.metrics(),
            "documents": split.documents,
            "bytes": split.bytes,
            "signature": _signature(self.task, self.settings, self.model, self.metric, split),
        }


def evaluate_pairs(
    job: Job, inputs: Inputs, scorer: PairScorer, baseline: Baseline, baseline_metric: PairMetric
) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    split, name = inputs.split, baseline_metric.columns[0]
    _check_tokens(job, scorer.model, inputs.train)
    ranking, samples = _keep(job, scorer, name, spaced(split.documents, scorer.settings.samples), inputs.parts)
    simple = _score_baseline(scorer.exam, baseline, baseline_metric)
    scores = {f"{baseline.name}_{key}": value for key, value in baseline_metric.scores().items()}
    metrics = with_baselines(scorer.metrics(), scores, before="length_ratio")
    metrics |= by_part(inputs.parts, scorer.metric.scores)
    spread = {"this model": [row[name] for row in ranking], baseline.title: simple}
    draw_against_baseline(job.output("evaluation/scores.png"), spread, name, job.recipe)
    told = ", ".join(f"{key} {metrics[key]:.2f}" for key in FAMILIES[scorer.task].metrics)
    job.say(f"{told} on {split.documents:,} documents")
    ranking.sort(key=lambda row: (-row[name], row["id"]))
    best_and_worst = {"best": ranking[:EXAMPLES], "worst": ranking[::-1][:EXAMPLES]}
    details = {"generation": scorer.settings.generation.model_dump(), **best_and_worst}
    return inputs.report(job, metrics, samples, details, new_tokens=scorer.totals.new_tokens)


def _check_tokens(job: Job, model: PairModel, train: Tokens) -> None:
    folder, tokens = job.input("model"), job.input("tokens/train")
    check_tokens(train.index, tokens, model.loaded.tokenizer_hash, folder)
    own = folder / TARGET
    check_tokens(
        Tokens.open(tokens / TARGET).index, tokens / TARGET, model.target_hash, own if own.is_dir() else folder
    )


def _score_baseline(exam: Exam, baseline: Baseline, metric: PairMetric) -> list[float]:
    """The first score of the baseline for each document."""
    found: list[float] = []
    for batch in read_batches(exam.test, ["text", "target"]):
        written = [baseline.write(text) for text in batch.column("text").to_pylist()]
        found += [row[metric.columns[0]] for row in metric.add(written, batch.column("target").to_pylist())]
    return found


def _write_batches(
    model: PairModel, settings: PairEvaluateSettings, encoded: Sequence[Encoded], names: Sequence[str], shown: Progress
) -> list[Written]:
    batches = batches_by_length([len(each.source) for each in encoded], names, settings.batch_size)
    written: dict[int, Written] = {}
    for batch, found in map_batches(
        lambda batch: write(model, [encoded[number] for number in batch], settings.generation, settings.precision),
        batches,
        model.loaded.model,
        runtime.workers(),
    ):
        written |= zip(batch, found, strict=True)
        shown.advance(len(batch))
    return [written[number] for number in range(len(encoded))]


def _keep(
    job: Job, scorer: PairScorer, first: str, chosen: set[int], parts: Sequence[str]
) -> tuple[list[Row], list[Row]]:
    """Stream rows to scores.parquet; returns id, group and first score of each document, and the `chosen` examples."""
    ranking: list[Row] = []
    samples: list[Row] = []

    def rows() -> Iterator[Row]:
        for row, text in scorer.score():
            if len(ranking) in chosen:
                samples.append(_sample(row, text))
            ranking.append({key: row[key] for key in ("id", "group", first)})
            yield row

    columns = columns_with_part(scorer.columns, parts)
    write_scores(job.output("evaluation/scores.parquet"), rows_with_part(rows(), parts), columns, ROW_GROUP)
    return ranking, samples


def _sample(row: Row, text: str) -> Row:
    shown = {"prompt": text, "text": row["prediction"], "reference": row["reference"]}
    return {"id": row["id"], **{key: shortened(value, CHARACTERS) for key, value in shown.items()}}


def _signature(task: str, settings: PairEvaluateSettings, model: PairModel, metric: PairMetric, split: Split) -> str:
    """The signature. Scores are computed on texts, so they stay comparable if only `tok` differs."""
    search, bootstrap = settings.generation, settings.bootstrap
    hashes = dict.fromkeys((model.loaded.tokenizer_hash[:12], model.target_hash[:12]))
    return write_signature({
        "task": task, "beams": search.num_beams, "new_tokens": search.max_new_tokens,
        "length_penalty": search.length_penalty, "repetition_penalty": search.repetition_penalty,
        "no_repeat_ngram": search.no_repeat_ngram_size, "early_stopping": search.early_stopping,
        "source_length": model.source_length or "any", "precision": settings.precision, "tok": "+".join(hashes),
        "data": split.sha256[:12], **metric.signature(), "bootstrap": f"{bootstrap.samples};seed={bootstrap.seed}",
        "version": f"gristmill-{VERSION}",
    })  # fmt: skip
