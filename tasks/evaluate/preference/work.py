"""The stage for preferences: the model against its base and the baseline `longer`, samples, plots, report."""

from collections.abc import Sequence
from typing import Any

from tasks.evaluate.chat.generation import Prompt, write_answers
from tasks.evaluate.exam import Row, with_baselines
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.loading import check_tokens
from tasks.evaluate.parts import columns_with_part, rows_with_part
from tasks.evaluate.preference.plots import draw_margins
from tasks.evaluate.preference.scorer import READS, PreferenceScorer
from tasks.evaluate.preference.tables import base_rates, gains, likelihoods, longer_wins, rates
from tasks.evaluate.score_tables import EXAMPLES, sums_by_part
from tasks.evaluate.scores import write_scores
from tasks.evaluate.settings import PreferenceEvaluateSettings
from tasks.evaluate.split import read_rows, shortened, spaced
from tasks.formats.conversation import read_messages
from tasks.stage.errors import DataError
from tasks.stage.progress import progress
from tasks.stage.run import Job, Report

CHARACTERS = 1000
"""Maximum characters of a text in samples.json."""


def evaluate_preference(job: Job, settings: PreferenceEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job, *READS)
    scorer = PreferenceScorer(inputs.exam(job), settings)
    tokens, folder = job.input("tokens/train"), job.input("model")
    check_tokens(inputs.train.index, tokens, scorer.model.tokenizer_hash, folder)
    if inputs.train.index.template != scorer.model.template.sha256:
        raise DataError(f"{tokens}/index.json: rendered with another chat template than that of {folder}")
    samples = _samples(scorer)
    rows = [row for row, _ in scorer.score()]
    for sample in samples:
        row = rows[sample.pop("number")]
        sample |= {name: round(row[name], 6) for name in ("correct", "margin")}
    baselines = longer_wins(rows)
    if scorer.has_base:
        baselines |= {**base_rates(rows), **likelihoods(rows, "base_"), **gains(rows)}
    metrics = with_baselines(scorer.metrics(), baselines, before="loss")
    metrics = with_baselines(metrics, sums_by_part(inputs.parts, rows, rates), before="signature")
    columns = columns_with_part(scorer.columns, inputs.parts)
    write_scores(job.output("evaluation/scores.parquet"), rows_with_part(rows, inputs.parts), columns)
    draw_margins(job.output("evaluation/scores.png"), rows, metrics, job.recipe)
    shares = {name: f"{metrics[name]:.1%}" for name in metrics if name.endswith("preference_accuracy")}
    told = f" (base {shares['base_preference_accuracy']})" if scorer.has_base else ""
    drift = f" (base {metrics['base_bits_per_byte']:.4f})" if scorer.has_base else ""
    job.say(
        f"prefers the chosen answer in {shares['preference_accuracy']}{told} of {len(rows):,} pairs, the longer one is "
        f"chosen in {shares['longer_preference_accuracy']}; margin {metrics['preference_margin']:.3f} nats; "
        f"{metrics['bits_per_byte']:.4f} bits per byte of plain text{drift}"
    )
    details = {"generation": settings.generation.model_dump(), **_best_and_worst(rows)}
    return inputs.report(job, metrics, samples, details, unit="pair")


def _samples(scorer: PreferenceScorer) -> list[dict[str, Any]]:
    """Some pairs, with the answer that the model itself gives: id, prompt, text, chosen, rejected, messages."""
    exam, settings = scorer.exam, scorer.settings
    numbers, found = spaced(exam.split.documents, settings.samples), list[dict[str, Any]]()
    tokenizer, new = scorer.model.template.tokenizer, settings.generation.max_new_tokens
    with progress("writing samples", len(numbers), "answers") as shown:
        for number, row in enumerate(read_rows(exam.test, ["id", *READS])):
            if number not in numbers:
                continue
            messages = read_messages(row["messages"])
            ids, cut = scorer.model.prompt(messages[:-1], new)
            prompt = Prompt(ids, 0, len(messages) - 1, row["id"], cut)
            (written,) = write_answers(scorer.model, [prompt], settings.generation, settings.precision)
            said = tokenizer.decode(written.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            told = {
                "prompt": "\n".join(turn["content"] for turn in messages[:-1]), "text": said.strip(),
                "chosen": messages[-1]["content"], "rejected": row["rejected"],
            }  # fmt: skip
            shorter = {name: shortened(text, CHARACTERS) for name, text in told.items()}
            history = [{**turn, "content": shortened(turn["content"], CHARACTERS)} for turn in messages[:-1]]
            found.append({"id": row["id"], **shorter, "messages": history, "number": number})
            shown.advance()
    return found


def _best_and_worst(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The pairs with the largest and the smallest margin."""
    ranked = sorted(rows, key=lambda row: (-row["margin"], row["id"]))
    shown = [{name: row[name] for name in ("id", "group", "length_difference", "margin")} for row in ranked]
    return {"best": shown[:EXAMPLES], "worst": shown[::-1][:EXAMPLES]}
