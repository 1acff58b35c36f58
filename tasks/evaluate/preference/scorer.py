"""Scores any preference model on the test split, against the base of the recipe.

The base reads the very ids that the model reads, as in training. Results are bit-identical for any number of workers:
see `tasks.evaluate.batches`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.evaluate.chat.losses import piece_losses
from tasks.evaluate.chat.model import ChatModel, Piece, load_chat_model
from tasks.evaluate.exam import Exam, Row
from tasks.evaluate.loading import check_base, load_weights
from tasks.evaluate.perplexity import token_losses
from tasks.evaluate.preference.tables import intervals, likelihoods, of_lengths, preferred, rates
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import CausalEvaluateSettings, PreferenceEvaluateSettings
from tasks.evaluate.signatures import write_signature
from tasks.formats.chat_ids import ChatError
from tasks.formats.conversation import ASSISTANT, BETWEEN, Message, answers, questions, read_messages
from tasks.formats.corpus import read_batches
from tasks.formats.text_ids import opening
from tasks.formats.weights import positions
from tasks.stage import runtime
from tasks.stage.errors import DataError
from tasks.stage.identity import hash_tree
from tasks.stage.progress import Progress, progress

VERSION = 1
"""Increment when the same model and text would get a different score."""

WINDOW = 512
"""Most tokens of the plain text that a model reads at once; new tokens per window are half as many."""

READS = ("messages", "rejected")
"""Columns of the test split that a score depends on, beside `text`."""

COLUMNS = {
    **dict.fromkeys(("chosen", "rejected", "base_chosen", "base_rejected", "correct", "margin"), float),
    **dict.fromkeys(("chosen_tokens", "rejected_tokens", "length_difference", "bytes", "tokens"), int),
    **dict.fromkeys(("loss", "base_loss"), float),
}
"""Columns of scores.parquet: log-probabilities and losses in nats; those of the base are null without one."""


class PreferenceScorer:
    """Scores a preference model: both answers of each pair and a plain text, under the model and its base."""

    columns = COLUMNS

    def __init__(self, exam: Exam, settings: PreferenceEvaluateSettings) -> None:
        """Raises DataError for an unusable model, and for a base that is missing or has another tokenizer."""
        self.model = load_chat_model(exam.model, settings.precision)
        room, wanted = self.model.positions, settings.generation.max_new_tokens
        if room is not None and wanted >= room:
            raise exam.unfit(
                "evaluate.generation.max_new_tokens", f"{wanted} leaves no room for a question in {room} positions"
            )
        if not exam.base.is_dir():
            raise DataError(f"{exam.base}: not found; run the stage base: dvc repro base@{exam.recipe}")
        self.has_base = (exam.base / "config.json").is_file()
        if self.has_base:
            check_base(exam.base, exam.model)
        self.exam, self.settings = exam, settings
        self.rows: list[Row] = []
        """A row of numbers per pair, in corpus order."""
        self._cut = 0

    def score(self) -> Iterator[tuple[Row, None]]:
        """A row per pair in corpus order. The model is freed before the base is loaded.

        Raises DataError if a number is not finite or a template fails.
        """
        exam = self.exam
        with progress("scoring", exam.split.documents * (1 + self.has_base), "pairs") as shown:
            rows = list(self._measured(self.model, exam.model, shown))
            self.model = replace(self.model, model=None)
            base: list[Row] = []
            if self.has_base:
                weights = load_weights(exam.base, "preference", self.settings.precision)
                loaded = replace(self.model, model=weights, positions=positions(weights))
                base = list(self._measured(loaded, exam.base, shown))
        for number, row in enumerate(rows):
            own = base[number] if base else None
            row |= {f"base_{name}": None if own is None else own[name] for name in ("chosen", "rejected", "loss")}
            chosen, rejected = row["chosen"], row["rejected"]
            if own is not None:
                chosen, rejected = chosen - own["chosen"], rejected - own["rejected"]
                row["base_correct"] = preferred(own["chosen"], own["rejected"])
            row |= {"correct": preferred(chosen, rejected), "margin": chosen - rejected}
            self._cut += row["cut"] or (own is not None and own["cut"])
            self.rows.append(row)
            yield row, None

    def metrics(self) -> dict[str, Any]:
        """The model's own metrics with their intervals, measures of length, counts, and the signature."""
        rows = self.rows
        tokens = sum(row["tokens"] for row in rows)
        return {
            **rates(rows),
            **intervals(rows, self.settings.bootstrap),
            **of_lengths(rows),
            **likelihoods(rows),
            "loss": round(math.fsum(row["loss"] for row in rows) / max(1, tokens), DIGITS),
            "tokens": tokens,
            "bytes": sum(row["bytes"] for row in rows),
            "documents": self.exam.split.documents,
            "cut": self._cut,
            "signature": self._signature(),
        }

    def _measured(self, model: ChatModel, folder: Any, shown: Progress) -> Iterator[Row]:
        """Both log-probabilities and the loss of the plain text of each pair, in corpus order."""
        for batch in read_batches(self.exam.test, ["id", "group", *READS]):
            documents = batch.to_pylist()
            ids = [row["id"] for row in documents]
            chosen = [read_messages(row.pop("messages")) for row in documents]
            losing = [row.pop("rejected") for row in documents]
            rejected = [
                [*messages[:-1], {"role": ASSISTANT, "content": answer}]
                for messages, answer in zip(chosen, losing, strict=True)
            ]
            sides = [self._sides(model, given, ids) for given in (chosen, rejected)]
            texts = [f"{questions(messages)}{BETWEEN}{answers(messages)}" for messages in chosen]
            plain = self._plain(model, texts)
            for number, row in enumerate(documents):
                told = {
                    f"{name}{key}": value
                    for name, side in zip(("chosen", "rejected"), sides, strict=True)
                    for key, value in zip(("", "_tokens"), side[number][:2], strict=True)
                }
                row |= told | {"cut": any(side[number][2] for side in sides)}
                row |= {"tokens": len(plain[number]), "loss": math.fsum(plain[number].tolist())}
                sizes = [len(text.encode("utf-8")) for text in (texts[number], chosen[number][-1]["content"])]
                row |= {"bytes": sizes[0], "length_difference": sizes[1] - len(losing[number].encode("utf-8"))}
                if not all(math.isfinite(row[name]) for name in ("chosen", "rejected", "loss")):
                    raise DataError(f"{folder}: the loss on document {row['id']} is not finite")
                shown.advance()
                yield row

    def _sides(
        self, model: ChatModel, conversations: Sequence[list[Message]], ids: Sequence[str]
    ) -> list[tuple[float, int, bool]]:
        """Of the last answer of each conversation: its log-probability, its tokens, and whether turns were cut."""
        try:
            pieces = [_last(own[-1]) for own in model.pieces(conversations)]
        except ChatError as error:
            name = ids[error.number]
            raise DataError(
                f"{self.exam.model}: document {name} of {self.exam.test} cannot be rendered: {error}"
            ) from error
        settings = self.settings
        losses = piece_losses(
            model.model, pieces, ids, model.positions, settings.batch_size, settings.precision, runtime.workers()
        )
        spans = [piece.answers[0] for piece in pieces]
        return [
            (-math.fsum(values[span.start : span.stop].tolist()), len(span), piece.cut)
            for values, span, piece in zip(losses, spans, pieces, strict=True)
        ]

    def _plain(self, model: ChatModel, texts: Sequence[str]) -> list[np.ndarray]:
        """The loss of each token of some texts that follow an end of text, or what begins a text for the model."""
        tokenizer = model.template.tokenizer
        ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        eos = model.template.end if tokenizer.eos_token_id is None else int(tokenizer.eos_token_id)
        documents = [np.asarray(each, np.int64) for each in ids]
        return list(
            token_losses(
                model.model, documents, eos, _windows(model, self.settings), runtime.workers(),
                opening=opening(tokenizer),
            )
        )  # fmt: skip

    def _signature(self) -> str:
        settings, bootstrap, model = self.settings, self.settings.bootstrap, self.model
        base = hash_tree(self.exam.base)[:12] if self.has_base else "none"
        return write_signature({
            "task": "preference", "margin": "nats", "base": base, "plain": "questions+chosen",
            "window": _windows(model, settings).window, "norm": "utf8-bytes", "precision": settings.precision,
            "tok": model.tokenizer_hash[:12], "template": model.template.sha256[:12],
            "data": self.exam.split.sha256[:12], "bootstrap": f"{bootstrap.samples};seed={bootstrap.seed};groups",
            "version": f"gristmill-{VERSION}",
        })  # fmt: skip


def _windows(model: ChatModel, settings: PreferenceEvaluateSettings) -> CausalEvaluateSettings:
    window = min(WINDOW, model.positions or WINDOW)
    return CausalEvaluateSettings(
        window=window, stride=max(1, window // 2), batch_size=settings.batch_size, precision=settings.precision
    )


def _last(piece: Piece) -> Piece:
    """The piece with its last answer only."""
    return replace(piece, answers=piece.answers[-1:])
