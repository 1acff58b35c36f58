"""The stage `evaluate` for chat: the model, the model before training, and two baselines on the same conversations.

Memory holds a row of numbers per conversation and per answer, not their texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.evaluate.chat.baselines import TrainingAnswers, asked
from tasks.evaluate.chat.model import ChatModel
from tasks.evaluate.chat.plots import LOOKS, draw_answers
from tasks.evaluate.chat.scorer import ChatScorer, Conversation, chosen_of, generated_in
from tasks.evaluate.chat.scores import Answer, AnswerMetric
from tasks.evaluate.chat.tables import bits_per_byte, by_turn, gains, intervals, mean, rates
from tasks.evaluate.exam import Exam, Row, with_baselines
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.loading import check_tokens
from tasks.evaluate.parts import columns_with_part, rows_with_part
from tasks.evaluate.score_tables import EXAMPLES, sums_by_part
from tasks.evaluate.scores import write_scores
from tasks.evaluate.settings import ChatEvaluateSettings
from tasks.evaluate.split import shortened, spaced
from tasks.formats.conversation import Message, read_messages
from tasks.formats.corpus import read_batches
from tasks.formats.tokens import Tokens
from tasks.stage.errors import DataError
from tasks.stage.run import Job, Report

ROW_GROUP = 10_000
"""Rows per row group of scores.parquet, which hold texts."""
CHARACTERS = 1000
"""Maximum characters of a text in samples.json."""

COMPARED = ("chrf", "rougeL", "exact_match")
"""Scores of answers that need no model."""


@dataclass
class Scored:
    """A scored model, without its weights."""

    rows: list[Row] = field(default_factory=list)
    answers: list[Row] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    samples: list[Row] = field(default_factory=list)


def evaluate_chat(job: Job, settings: ChatEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job, "messages")
    exam = inputs.exam(job)
    own = _score_model(job, settings, exam, inputs)
    groups = [row["group"] for row in own.rows]
    base = _score_base(job, settings, exam)
    if base is None:
        told, baselines = "", dict[str, Any]()
    else:
        named = {**rates(base.rows), **intervals(base.rows, groups, settings.bootstrap)}
        baselines = {f"base_{name}": value for name, value in named.items()}
        baselines |= gains(own.rows, base.rows, groups)
        told = f", before training {baselines['base_bits_per_byte']:.4f}"
        own.samples = [
            {**sample, "base": other["text"]} for sample, other in zip(own.samples, base.samples, strict=True)
        ]
    nearest, frequent = _training_answers(job, settings, exam, own.rows)
    for name, rows in (("nearest", nearest), ("frequent", frequent)):
        baselines |= {f"{name}_{key}": mean(rows, key) for key in COMPARED}
    metrics = with_baselines(own.metrics, baselines, before="length_ratio")
    tables = sums_by_part(inputs.parts, own.rows, rates)
    if base is not None:
        of_base = sums_by_part(inputs.parts, base.rows, rates)
        tables |= {"base_by_turn": by_turn(base.answers)} | {f"base_{name}": table for name, table in of_base.items()}
    metrics = with_baselines(metrics, tables, before="signature")
    _draw(job, own, base, nearest, metrics)
    job.say(
        f"{metrics['bits_per_byte']:.4f} bits per byte of the answers in {exam.split.documents:,} conversations{told}; "
        f"chrF {metrics['chrf']:.2f} of {metrics['generated']:,} generated answers, {metrics['ended']:.0%} of which end"
    )
    details = {"generation": settings.generation.model_dump(), **_best_and_worst(own.rows)}
    produced = {"scored_tokens": metrics["tokens"], "new_tokens": metrics["new_tokens"]}
    return inputs.report(job, metrics, own.samples, details, **produced)


def _score_model(job: Job, settings: ChatEvaluateSettings, exam: Exam, inputs: Inputs) -> Scored:
    """Stream the rows to scores.parquet. The model is freed on return."""
    scorer = ChatScorer(exam, settings)
    _check_tokens(job, scorer.model, inputs.train)
    scored = Scored(scorer.rows, scorer.answers)
    rows = rows_with_part(_sampled(scorer, scored), inputs.parts)
    columns = columns_with_part(scorer.columns, inputs.parts)
    write_scores(job.output("evaluation/scores.parquet"), rows, columns, ROW_GROUP)
    scored.metrics = scorer.metrics()
    return scored


def _score_base(job: Job, settings: ChatEvaluateSettings, exam: Exam) -> Scored | None:
    """The same for the model before training; None if it was trained from scratch."""
    folder = job.input("base")
    if not (folder / "config.json").is_file():
        return None
    scorer = ChatScorer(Exam(exam.recipe, folder, exam.test, exam.split), settings, template=exam.model)
    scored = Scored(scorer.rows, scorer.answers)
    for _ in _sampled(scorer, scored):
        pass
    return scored


def _sampled(scorer: ChatScorer, scored: Scored) -> Iterator[Row]:
    """The rows of a scorer; adds some conversations with a generated answer to `scored.samples`."""
    numbers = sorted(scorer.chosen)
    shown = {numbers[at] for at in spaced(len(numbers), scorer.settings.samples)}
    for number, (row, conversation) in enumerate(scorer.score()):
        if number in shown:
            scored.samples.append(_sample(row, conversation))
        yield row


def _sample(row: Row, conversation: Conversation) -> Row:
    """The last generated answer of a conversation, with all before it."""
    place, text = list(conversation.generated.items())[-1]
    history = conversation.messages[:place]
    known = {"prompt": _written(history), "text": text.strip(), "reference": conversation.messages[place]["content"]}
    return {
        "id": row["id"],
        **{name: shortened(value, CHARACTERS) for name, value in known.items()},
        "messages": [{**turn, "content": shortened(turn["content"], CHARACTERS)} for turn in history],
    }


def _written(history: Sequence[Message]) -> str:
    """A history as text: a question alone, or a line per turn with its role."""
    if len(history) == 1:
        return history[0]["content"]
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in history)


def _check_tokens(job: Job, model: ChatModel, train: Tokens) -> None:
    tokens, folder = job.input("tokens/train"), job.input("model")
    check_tokens(train.index, tokens, model.tokenizer_hash, folder)
    if train.index.template != model.template.sha256:
        raise DataError(
            f"{tokens}/index.json: rendered with another chat template ({train.index.template[:12]}…) than that of "
            f"{folder} ({model.template.sha256[:12]}…)"
        )


def _training_answers(
    job: Job, settings: ChatEvaluateSettings, exam: Exam, rows: Sequence[Row]
) -> tuple[list[Row], list[Row]]:
    """The scores of the nearest training question's answer, and of the most frequent answer, in each conversation; with
    None where the model generated none."""
    training, metric = TrainingAnswers(job.input("clean/train")), AnswerMetric(settings.rouge)
    chosen = chosen_of(exam.split.documents, settings)
    found: tuple[list[Row], list[Row]] = ([], [])
    for batch in read_batches(exam.test, ["messages"]):
        first = len(found[0])
        conversations = [read_messages(text) for text in batch.column("messages").to_pylist()]
        places = [
            generated_in(messages, settings) if first + number in chosen else []
            for number, messages in enumerate(conversations)
        ]
        flat = [(messages, place) for messages, own in zip(conversations, places, strict=True) for place in own]
        references = [messages[place]["content"] for messages, place in flat]
        near = training.nearest([asked(messages, place) for messages, place in flat])
        for answers, to in zip((near, [training.most_frequent] * len(flat)), found, strict=True):
            scores = iter(metric.of([Answer(*pair) for pair in zip(answers, references, strict=True)]))
            for own in places:
                each = [next(scores) for _ in own]
                to.append({name: mean(each, name) for name in COMPARED})
    return found


def _draw(job: Job, own: Scored, base: Scored | None, nearest: Sequence[Row], metrics: Mapping[str, Any]) -> None:
    labels = [label for label, *_ in LOOKS]
    scored = {labels[0]: own.rows, **({} if base is None else {labels[1]: base.rows}), labels[2]: nearest}
    prefixes = dict(zip(labels, ("", "base_", "nearest_"), strict=True))
    bits = {
        label: (
            [value for row in rows if (value := bits_per_byte(row["loss"], row["bytes"])) is not None],
            metrics[f"{prefixes[label]}bits_per_byte"],
        )
        for label, rows in scored.items()
        if label != labels[2]
    }
    chrf = {
        label: ([row["chrf"] for row in rows if row["chrf"] is not None], metrics[f"{prefixes[label]}chrf"])
        for label, rows in scored.items()
    }
    draw_answers(job.output("evaluation/scores.png"), bits, chrf, job.recipe, len(own.rows))


def _best_and_worst(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The conversations with the fewest and the most bits per byte."""
    ranked = sorted(
        (
            {"id": row["id"], "group": row["group"], "bytes": row["bytes"], "bits_per_byte": bits, "chrf": row["chrf"]}
            for row in rows
            if (bits := bits_per_byte(row["loss"], row["bytes"])) is not None
        ),
        key=lambda row: (row["bits_per_byte"], row["id"]),
    )
    return {"best": ranked[:EXAMPLES], "worst": ranked[::-1][:EXAMPLES]}
