"""Scores any chat model on the test split: bits per byte of the answers, and answers generated from true turns."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.evaluate.batches import batches_by_length, map_batches
from tasks.evaluate.chat.generation import Prompt, Written, write_answers
from tasks.evaluate.chat.losses import piece_losses
from tasks.evaluate.chat.model import Piece, answers_of, load_chat_model
from tasks.evaluate.chat.scores import Answer, AnswerMetric
from tasks.evaluate.chat.tables import SCORES, by_turn, intervals, mean, rates
from tasks.evaluate.exam import Exam, Row
from tasks.evaluate.rouge import check_script
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import ChatEvaluateSettings
from tasks.evaluate.signatures import write_signature
from tasks.evaluate.split import spaced
from tasks.formats.chat_ids import ChatError
from tasks.formats.conversation import Message, read_messages
from tasks.formats.corpus import read_batches
from tasks.stage import runtime
from tasks.stage.errors import DataError
from tasks.stage.progress import Progress, progress

VERSION = 1
"""Increment when the same model and text would get a different score."""


@dataclass(frozen=True)
class Conversation:
    """A test conversation, and what the model said in it."""

    messages: list[Message]
    generated: dict[int, str]
    """The place of a true answer in `messages` → the text generated instead."""


@dataclass
class Totals:
    """Counts over all conversations."""

    generated: int = 0
    new_tokens: int = 0
    characters: int = 0
    """Of generated answers."""
    wanted: int = 0
    """Characters of their references."""
    cut: int = 0
    """Conversations of which the model did not see all turns before an answer."""


class ChatScorer:
    """Scores a chat model: every answer's loss, and generated answers against the true ones."""

    def __init__(self, exam: Exam, settings: ChatEvaluateSettings, template: Path | None = None) -> None:
        """`template`: the folder of the model whose template renders conversations if the exam's has none.

        Raises RecipeError if `rouge` does not fit the script of the answers, DataError for an unusable model.
        """
        check_script(exam, settings.rouge)
        self.model = load_chat_model(exam.model, settings.precision, template)
        room, wanted = self.model.positions, settings.generation.max_new_tokens
        if room is not None and wanted >= room:
            raise exam.unfit(
                "evaluate.generation.max_new_tokens", f"{wanted} leaves no room for a question in {room} positions"
            )
        self.exam, self.settings = exam, settings
        self.metric = AnswerMetric(settings.rouge)
        self.chosen = chosen_of(exam.split.documents, settings)
        self.rows: list[Row] = []
        """A row of numbers per conversation, in corpus order."""
        self.answers: list[Row] = []
        """A row of numbers per answer."""
        self.totals = Totals()

    @property
    def columns(self) -> Mapping[str, type]:
        """Columns of scores.parquet."""
        texts = dict.fromkeys(("prediction", "reference"), str)
        return {
            **dict.fromkeys(("bytes", "tokens"), int), "loss": float, "turns": int, **texts,
            **dict.fromkeys(SCORES, float),
        }  # fmt: skip

    def score(self) -> Iterator[tuple[Row, Conversation]]:
        """A row per conversation in corpus order. Raises DataError if a loss is not finite or a template fails."""
        exam = self.exam
        with progress(f"scoring {exam.model.name}", exam.split.documents, "conversations") as shown:
            for batch in read_batches(exam.test, ["id", "group", "messages"]):
                documents = batch.to_pylist()
                conversations = [read_messages(row["messages"]) for row in documents]
                ids = [row["id"] for row in documents]
                pieces = self._pieces(conversations, ids)
                losses = self._losses(pieces, ids)
                prompts = self._prompts(conversations, ids)
                said: dict[int, dict[int, Written]] = {}
                cut = {prompt.conversation for prompt in prompts if prompt.cut}
                for prompt, written in zip(prompts, self._write(prompts, shown), strict=True):
                    said.setdefault(prompt.conversation, {})[prompt.place] = written
                shown.advance(len(ids) - len(said))
                for number, (row, messages) in enumerate(zip(documents, conversations, strict=True)):
                    is_cut = number in cut or any(piece.cut for piece in pieces[number])
                    yield self._row(row, messages, losses[number], said.get(number, {}), is_cut)

    def metrics(self) -> dict[str, Any]:
        """The metrics with their intervals, counts, the table by turn, and the signature.

        Raises DataError if all answers are empty.
        """
        rows, totals = self.rows, self.totals
        if not sum(row["bytes"] for row in rows):
            raise DataError(f"{self.exam.test}: no text in the answers of {len(rows):,} conversations")
        tokens, loss = sum(row["tokens"] for row in rows), math.fsum(row["loss"] for row in rows)
        return {
            **rates(rows),
            **intervals(rows, [row["group"] for row in rows], self.settings.bootstrap),
            "length_ratio": round(totals.characters / totals.wanted, DIGITS) if totals.wanted else None,
            "loss": round(loss / tokens, DIGITS),
            "tokens": tokens,
            "bytes": sum(row["bytes"] for row in rows),
            "documents": self.exam.split.documents,
            "answers": len(self.answers),
            "generated": totals.generated,
            "new_tokens": totals.new_tokens,
            "cut": totals.cut,
            "by_turn": by_turn(self.answers),
            "signature": self._signature(),
        }

    def _pieces(self, conversations: Sequence[list[Message]], ids: Sequence[str]) -> list[list[Piece]]:
        try:
            return self.model.pieces(conversations)
        except ChatError as error:
            raise self._fails(ids[error.number], error) from error

    def _fails(self, name: str, error: ChatError) -> DataError:
        return DataError(f"{self.exam.model}: document {name} of {self.exam.test} cannot be rendered: {error}")

    def _losses(self, pieces: Sequence[list[Piece]], ids: Sequence[str]) -> list[list[tuple[int, float]]]:
        """Tokens and summed loss of each answer of each conversation."""
        flat = [piece for own in pieces for piece in own]
        names = [name for name, own in zip(ids, pieces, strict=True) for _ in own]
        model, settings = self.model, self.settings
        values = iter(
            piece_losses(
                model.model, flat, names, model.positions, settings.batch_size, settings.precision, runtime.workers()
            )
        )
        found = []
        for name, own in zip(ids, pieces, strict=True):
            answers = []
            for piece, losses in zip(own, values, strict=False):
                for span in piece.answers:
                    answers.append((len(span), math.fsum(losses[span.start : span.stop].tolist())))
            if not all(math.isfinite(loss) for _, loss in answers):
                raise DataError(f"{self.exam.model}: the loss on document {name} is not finite")
            found.append(answers)
        return found

    def _prompts(self, conversations: Sequence[list[Message]], ids: Sequence[str]) -> list[Prompt]:
        """What answers are generated from, for the chosen conversations of a batch."""
        found, done, new = [], len(self.rows), self.settings.generation.max_new_tokens
        for number, messages in enumerate(conversations):
            for place in generated_in(messages, self.settings) if done + number in self.chosen else ():
                try:
                    prompt, cut = self.model.prompt(messages[:place], new)
                except ChatError as error:
                    raise self._fails(ids[number], error) from error
                found.append(Prompt(prompt, number, place, f"{ids[number]} turn {place}", cut))
        return found

    def _write(self, prompts: Sequence[Prompt], shown: Progress) -> list[Written]:
        """The answer to each prompt."""
        model, settings = self.model, self.settings
        lengths, names = [len(prompt.ids) for prompt in prompts], [prompt.name for prompt in prompts]
        waiting = Counter(prompt.conversation for prompt in prompts)
        found: dict[int, Written] = {}
        for batch, written in map_batches(
            lambda batch: write_answers(model, [prompts[at] for at in batch], settings.generation, settings.precision),
            batches_by_length(lengths, names, settings.batch_size),
            model.model,
            runtime.workers(),
        ):
            found |= zip(batch, written, strict=True)
            waiting.subtract(prompts[at].conversation for at in batch)
            shown.advance(sum(not waiting[number] for number in {prompts[at].conversation for at in batch}))
        return [found[at] for at in range(len(prompts))]

    def _row(
        self, row: Row, messages: list[Message], losses: Sequence[tuple[int, float]], said: Mapping[int, Written],
        cut: bool,
    ) -> tuple[Row, Conversation]:  # fmt: skip
        """Score a conversation's answers, and count them; `losses`: tokens and nats of each."""
        tokenizer, totals, places = self.model.template.tokenizer, self.totals, answers_of(messages)
        generated = {place: tokenizer.decode(each.ids, skip_special_tokens=True) for place, each in said.items()}
        scores = dict(zip(said, self.metric.of([
            Answer(generated[place], messages[place]["content"], each.ended) for place, each in said.items()
        ]), strict=True))  # fmt: skip
        answers: list[Row] = [
            {"turn": turn, "bytes": len(messages[place]["content"].encode("utf-8")), "tokens": tokens, "loss": loss,
             **scores.get(place, dict.fromkeys(SCORES))}
            for turn, (place, (tokens, loss)) in enumerate(zip(places, losses, strict=True), 1)
        ]  # fmt: skip
        totals.cut += cut
        totals.generated += len(said)
        totals.new_tokens += sum(len(each.ids) for each in said.values())
        totals.characters += sum(len(text.strip()) for text in generated.values())
        totals.wanted += sum(len(messages[place]["content"].strip()) for place in said)
        numbers = {
            **{name: row[name] for name in ("id", "group")},
            **{name: sum(answer[name] for answer in answers) for name in ("bytes", "tokens")},
            "loss": math.fsum(answer["loss"] for answer in answers),
            "turns": len(answers),
            **{name: mean(scores.values(), name) for name in SCORES},
        }
        self.answers += answers
        self.rows.append(numbers)
        last = generated.get(places[-1])
        texts = {"prediction": last if last is None else last.strip(), "reference": messages[places[-1]]["content"]}
        return {**numbers, **texts}, Conversation(messages, generated)

    def _signature(self) -> str:
        """The signature; metrics stay comparable if only `tok`, `template` and `source_length` differ."""
        settings, search, bootstrap = self.settings, self.settings.generation, self.settings.bootstrap
        drawn = f"{search.temperature:g};top_k={search.top_k};top_p={search.top_p:g};seed={search.seed}"
        return write_signature({
            "task": "chat", "scored": "answers-and-end-of-turn", "norm": "utf8-bytes", "answers": settings.answers,
            "generated": settings.generated or "all", "beams": search.num_beams, "new_tokens": search.max_new_tokens,
            "length_penalty": search.length_penalty, "repetition_penalty": search.repetition_penalty,
            "no_repeat_ngram": search.no_repeat_ngram_size, "early_stopping": search.early_stopping,
            "sampling": drawn if search.temperature else "none",
            "source_length": self.model.positions or "any", "precision": settings.precision,
            "tok": self.model.tokenizer_hash[:12], "template": self.model.template.sha256[:12],
            "data": self.exam.split.sha256[:12], **self.metric.signature(),
            "bootstrap": f"{bootstrap.samples};seed={bootstrap.seed};groups", "version": f"gristmill-{VERSION}",
        })  # fmt: skip


def chosen_of(documents: int, settings: ChatEvaluateSettings) -> set[int]:
    """The conversations in which answers are generated, by their number in the test split."""
    return spaced(documents, settings.generated or documents)


def generated_in(messages: Sequence[Message], settings: ChatEvaluateSettings) -> list[int]:
    """The places of the answers of a conversation that are generated."""
    return answers_of(messages)[-1 if settings.answers == "last" else 0 :]
