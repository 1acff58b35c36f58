"""The evaluation of a causal language model: perplexity and bits per byte on the test split, baselines, samples, plots.

Everything that can be checked is checked before the first document is scored. Memory grows with the number of test
documents by a row of numbers each, not with their text.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tasks.contract import runtime
from tasks.contract.corpus import read_batches
from tasks.contract.errors import DataError, RecipeError
from tasks.contract.progress import Progress, progress
from tasks.contract.settings import recipe_path
from tasks.contract.stage import Job, Report, write_json
from tasks.contract.tokens import Tokens
from tasks.evaluate.baselines import Text, measure_text, unigram_losses
from tasks.evaluate.loading import Loaded, load_causal_lm
from tasks.evaluate.perplexity import Scoring, token_losses
from tasks.evaluate.plots import draw_curves, draw_scores, read_history
from tasks.evaluate.samples import prompt_ids, sample
from tasks.evaluate.settings import EvaluateSettings

EXAMPLES = 5
"""Best and worst documents that the report names."""

DIGITS = 6
"""Decimals of stored numbers: far below what a change of a model means, far above what rounding errors do."""

Row = dict[str, Any]


def evaluate_causal_lm(job: Job, settings: EvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for what the user can mend."""
    history = read_history(job.input("training/history.csv"))
    train = Tokens.open(job.input("tokens/train"))
    text = measure_text(job.input("clean/test"))
    loaded = load_causal_lm(job.input("model"), runtime.device())
    _check(job, settings, loaded, train)

    scoring = Scoring(settings.window, settings.stride, settings.precision, settings.batch_size)
    rows = _score(job, loaded, scoring, train, text)
    metrics = _metrics(rows, text, scoring.signature(loaded.tokenizer_hash, text.sha256))
    groups = _groups(rows)
    samples = []
    with progress("writing samples", len(settings.prompts), "prompts") as shown:
        for prompt in settings.prompts:
            samples.append(sample(loaded, prompt, settings.generation))
            shown.advance()

    write_json(job.output("evaluation/metrics.json"), metrics)
    write_json(job.output("evaluation/samples.json"), samples)
    _write_scores(job, rows)
    draw_curves(job.output("evaluation/curves.png"), history, job.recipe)
    draw_scores(job.output("evaluation/scores.png"), rows, groups, metrics, job.recipe)
    job.say(
        f"{metrics['bits_per_byte']:.4f} bits per byte on {text.documents:,} documents"
        f" (unigram {metrics['unigram_bits_per_byte']:.2f}, xz {metrics['xz_bits_per_byte']:.2f})"
    )
    by_score = sorted((row for row in rows if row["bytes"]), key=lambda row: (row["bits_per_byte"], row["id"]))
    shown_keys = ("id", "group", "bytes", "bits_per_byte")
    return Report(
        received={"documents": text.documents, "bytes": text.bytes, "training_tokens": len(train)},
        produced={"scored_documents": len(rows), "scored_tokens": metrics["tokens"], "samples": len(samples)},
        details={
            **metrics,
            "groups": groups,
            "best": [{key: row[key] for key in shown_keys} for row in by_score[:EXAMPLES]],
            "worst": [{key: row[key] for key in shown_keys} for row in by_score[::-1][:EXAMPLES]],
        },
    )


def _check(job: Job, settings: EvaluateSettings, loaded: Loaded, train: Tokens) -> None:
    path, positions = recipe_path(job.recipe), loaded.positions
    if train.index.tokenizer != loaded.tokenizer_hash:
        raise DataError(
            f"{job.folder}/tokens/train/index.json: made with another tokenizer ({train.index.tokenizer[:12]}…)"
            f" than {job.folder}/model/tokenizer.json ({loaded.tokenizer_hash[:12]}…)"
        )
    if train.index.eos_token_id != loaded.eos_token_id:
        raise DataError(
            f"{job.folder}/tokens/train/index.json: documents end with token {train.index.eos_token_id},"
            f" the model's tokenizer has {loaded.eos_token_id} as eos_token"
        )
    if positions is None:
        return
    if settings.window > positions:
        raise RecipeError(f"{path}: evaluate.window: {settings.window} is more than the model's {positions} positions")
    for number, prompt in enumerate(settings.prompts):
        length, new = len(prompt_ids(loaded, prompt)), settings.generation.max_new_tokens
        if length + new > positions:
            raise RecipeError(
                f"{path}: evaluate.prompts.{number}: its {length} tokens and generation.max_new_tokens {new} are more"
                f" than the model's {positions} positions"
            )


def _score(job: Job, loaded: Loaded, scoring: Scoring, train: Tokens, text: Text) -> list[Row]:
    """A row per document, in the order of the corpus; `unigram` is the baseline's loss, which is not stored."""
    unigram = unigram_losses(train)
    rows: list[Row] = []
    with progress("scoring", text.bytes, "bytes of text") as shown:
        for batch in read_batches(job.input("clean/test"), ["id", "group", "text"]):
            texts = batch.column("text").to_pylist()
            encoded = loaded.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            documents = [np.asarray(ids, np.int64) for ids in encoded]
            sizes = [len(value.encode("utf-8")) for value in texts]
            told = partial(_tell, shown, sum(sizes) / max(1, sum(map(len, documents))))
            losses = token_losses(loaded.model, documents, loaded.eos_token_id, scoring, runtime.workers(), told)
            names = zip(batch.column("id").to_pylist(), batch.column("group").to_pylist(), strict=True)
            for (name, group), size, ids, values in zip(names, sizes, documents, losses, strict=True):
                loss = float(values.sum())
                if not math.isfinite(loss):
                    raise DataError(f"{job.folder}/model: its loss on document {name} is not a finite number")
                scores = {"bytes": size, "tokens": len(ids), "loss": loss, "unigram": float(unigram[ids].sum())}
                rows.append({"id": name, "group": group, **scores, **_rates(loss, len(ids), size)})
    return rows


def _tell(shown: Progress, bytes_per_token: float, tokens: int) -> None:
    shown.advance(round(tokens * bytes_per_token))


def _rates(loss: float, tokens: int, size: int) -> dict[str, float | None]:
    """Bits per byte and perplexity of a summed loss in nats; None where there is nothing to divide by."""
    return {
        "bits_per_byte": round(loss / math.log(2) / size, DIGITS) if size else None,
        "perplexity": round(math.exp(min(loss / tokens, 700.0)), DIGITS) if tokens else None,
    }


def _metrics(rows: Sequence[Row], text: Text, signature: str) -> dict[str, Any]:
    tokens, loss = sum(row["tokens"] for row in rows), math.fsum(row["loss"] for row in rows)
    return {
        **_rates(loss, tokens, text.bytes),
        "loss": round(loss / tokens, DIGITS),
        "tokens": tokens,
        "bytes": text.bytes,
        "documents": text.documents,
        "unigram_bits_per_byte": _rates(math.fsum(row["unigram"] for row in rows), tokens, text.bytes)["bits_per_byte"],
        "xz_bits_per_byte": round(8 * text.xz_bytes / text.bytes, DIGITS),
        "signature": signature,
    }


def _groups(rows: Sequence[Row]) -> list[Row]:
    """Documents, bytes, tokens, bits per byte and perplexity of each group as a whole, best first."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(row["group"], []).append(row)
    table = []
    for group, own in members.items():
        size, tokens = sum(row["bytes"] for row in own), sum(row["tokens"] for row in own)
        rates = _rates(math.fsum(row["loss"] for row in own), tokens, size)
        table.append({"group": group, "documents": len(own), "bytes": size, "tokens": tokens, **rates})
    return sorted((row for row in table if row["bytes"]), key=lambda row: (row["bits_per_byte"], row["group"]))


def _write_scores(job: Job, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"id": pa.large_string(), "group": pa.large_string(), "bytes": pa.int64(), "tokens": pa.int64()}
    kinds |= dict.fromkeys(("loss", "bits_per_byte", "perplexity"), pa.float64())
    stored = [{**row, "loss": round(row["loss"], DIGITS)} for row in rows]
    table = pa.Table.from_pylist(stored, pa.schema(list(kinds.items())))
    pq.write_table(table, job.output("evaluation/scores.parquet"), compression="zstd")
