"""Metrics from sums: each document is a row of numbers, and a metric is a function of the sum of some rows.

That is all a resampling method needs: the metric of any part of the documents, or of any resample, is one addition
away, and a thousand resamples are one matrix product. `value` of the sum of all rows is the metric in metrics.json.

    bits_per_byte                    loss, bytes                           loss / ln 2 / bytes
    loss, perplexity                 loss, tokens                          loss / tokens, and its exponential
    pseudo_perplexity                loss, masked                          exp(loss / masked)
    masked_accuracy, accuracy        right, masked or documents            right / masked
    rouge1, rouge2, rougeLsum        F-measure, documents                  the mean
    bleu                             2 lengths, 4 matches, 4 totals        sacrebleu's BLEU.compute_bleu
    chrf                             6 × (output, reference, matches)      sacrebleu's CHRF._compute_f_score
    macro_*                          per class: right, predicted, true     means over classes seen or predicted
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.compare.documents import Documents
from tasks.stage.errors import DataError
from tasks.stage.task import FAMILIES, METRICS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CELLS = 1 << 21
"""Numbers in memory at a time, per array, when many sums are computed."""

LARGEST_EXPONENT = 700.0
"""Of a perplexity, as in tasks.evaluate."""

Sums = NDArray[np.float64]
Rows: TypeAlias = "NDArray[np.float64] | csr_array"
"""Sparse for metrics with columns per class."""


@dataclass(frozen=True)
class Statistic:
    """A metric as a function of sums over documents."""

    metric: str
    rows: Rows
    """[documents, k]"""
    value: Callable[[Sums], NDArray[np.float64]]
    """Sums [..., k] → the metric [...]; nan where it is undefined (no text, no masked token)."""
    weights: NDArray[np.float64]
    """How much each document counts in the metric [documents]: its bytes, its tokens, 1."""

    @property
    def less_is_better(self) -> bool:
        """Whether lower is better."""
        return METRICS[self.metric]

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def take(self, places: NDArray[np.int64]) -> "Statistic":
        """The statistic of some documents."""
        return replace(self, rows=self.rows[places], weights=self.weights[places])

    def total(self) -> float:
        """The metric of all documents."""
        return float(self.value(np.asarray(self.rows.sum(axis=0), np.float64)))

    def each(self) -> NDArray[np.float64]:
        """The metric of every document alone [documents]."""
        return self._in_parts(self.rows, lambda part: part)

    def without_each(self, rows: Rows) -> NDArray[np.float64]:
        """The metric without each of some rows [rows], which sum up to all documents."""
        whole = np.asarray(rows.sum(axis=0), np.float64)
        return self._in_parts(rows, lambda part: whole - part)

    def _in_parts(self, rows: Any, sums: Callable[[Sums], Sums]) -> NDArray[np.float64]:
        step = max(1, CELLS // rows.shape[1])
        parts = (rows[start : start + step] for start in range(0, rows.shape[0], step))
        return np.concatenate([self.value(sums(dense(part))) for part in parts])


def dense(rows: Rows) -> NDArray[np.float64]:
    """Rows as an ordinary array."""
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def statistic(documents: Documents, metric: str, settings: Mapping[str, Any]) -> Statistic:
    """The metric of these documents as sums; `settings`: the section `evaluate` of the recipe (for `bleu_tokenize`).

    Raises DataError if the task has no such metric, a value is missing, or the metric is undefined on all documents.
    """
    known = FAMILIES[documents.task].metrics
    if metric not in known:
        raise DataError(f"{documents.path}: {metric} is not a metric of {documents.task} ({', '.join(known)})")
    if metric.startswith("macro_"):
        found = _macro(documents, metric)
    elif metric in ("bleu", "chrf"):
        found = _of_ngrams(documents, metric, str(settings.get("bleu_tokenize", "13a")))
    else:
        found = _ratio(documents, metric)
    if np.isnan(found.total()):
        raise DataError(f"{documents.path}: {metric} is undefined: the documents have no text to score")
    return found


def _ratio(documents: Documents, metric: str) -> Statistic:
    """A sum over a sum: sums [..., 2]."""
    ones = np.ones(len(documents))
    if metric == "accuracy":
        pairs = zip(documents.strings("label"), documents.strings("predicted"), strict=True)
        above, below = np.array([label == guess for label, guess in pairs], np.float64), ones
    elif metric == "masked_accuracy":
        above, below = documents.numbers("right"), documents.numbers("masked")
    elif metric.startswith("rouge"):
        above, below = documents.numbers(metric), ones
    else:
        size = {"bits_per_byte": "bytes", "pseudo_perplexity": "masked"}.get(metric, "tokens")
        above, below = documents.numbers("loss"), documents.numbers(size)
    scale = 1 / np.log(2) if metric == "bits_per_byte" else 1.0
    exponential = metric in ("perplexity", "pseudo_perplexity")

    def value(sums: Sums) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan) * scale
        return np.exp(np.minimum(rate, LARGEST_EXPONENT)) if exponential else rate

    return Statistic(metric, np.column_stack([above, below]), value, below)


def _of_ngrams(documents: Documents, metric: str, tokenize: str) -> Statistic:
    from sacrebleu.metrics import BLEU, CHRF

    scorer: Any = BLEU(tokenize=tokenize, force=True) if metric == "bleu" else CHRF()
    found = scorer._extract_corpus_statistics(documents.strings("prediction"), [documents.strings("reference")])
    rows = np.array(found, np.float64)
    return Statistic(metric, rows, bleu if metric == "bleu" else chrf, rows[:, 0] + rows[:, 1])


def bleu(sums: Sums) -> NDArray[np.float64]:
    """BLEU from sums [..., 10]: lengths of outputs and references, then matching and all n-grams for n = 1 to 4.

    With sacrebleu's default smoothing `exp`: the k-th order without a match counts as 2^-k matches (Papineni et al.,
    ACL 2002; Chen and Cherry, WMT 2014, section 3, as in mteval-v13a).
    """
    written, wanted, right, every = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:10]
    none = (right == 0) & (every > 0)
    matches = np.where(none, 2.0 ** -np.cumsum(none, axis=-1), right)
    scored = right.any(axis=-1) & (every > 0).all(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.exp(np.log(matches / every).mean(axis=-1))
        brevity = np.where(written < wanted, np.exp(1 - wanted / written), 1.0)
    return np.where(scored, 100 * brevity * precision, 0.0)


def chrf(sums: Sums) -> NDArray[np.float64]:
    """chrF2 from sums [..., 18]: n-grams of the outputs, of the references, and matches, for n = 1 to 6.

    Precision and recall are means over the orders that occur on both sides (Popović, WMT 2015, as in sacrebleu).
    """
    written, wanted, right = (sums[..., place::3] for place in range(3))
    there = (written > 0) & (wanted > 0)
    orders = np.maximum(there.sum(axis=-1), 1)
    precision, recall = (
        np.divide(right, size, out=np.zeros_like(right), where=there).sum(axis=-1) / orders
        for size in (written, wanted)
    )
    below = 4 * precision + recall
    return np.divide(500 * precision * recall, below, out=np.zeros_like(below), where=below > 0)


def _macro(documents: Documents, metric: str) -> Statistic:
    """Means over classes: sums [..., 3 × classes], sparse, since a document touches three columns at most.

    A document weighs as much as its class gives it: 1 / documents of the class.
    """
    from scipy.sparse import coo_array

    labels, predicted = documents.strings("label"), documents.strings("predicted")
    true, guessed = numbered([*labels, *predicted]).reshape(2, len(documents))
    classes = 1 + int(max(true.max(), guessed.max()))
    places, right = np.arange(len(documents)), true == guessed
    row = np.concatenate([places[right], places, places])
    column = np.concatenate([true[right], classes + guessed, 2 * classes + true])
    shape = (len(documents), 3 * classes)
    rows = coo_array((np.ones(len(row)), (row, column)), shape=shape).tocsr()

    def value(sums: Sums) -> NDArray[np.float64]:
        hits, guesses, support = (sums[..., at * classes : (at + 1) * classes] for at in range(3))
        below = {"macro_f1": (guesses + support) / 2, "macro_precision": guesses, "macro_recall": support}[metric]
        scores = np.divide(hits, below, out=np.zeros_like(hits), where=below > 0).sum(axis=-1)
        seen = ((guesses > 0) | (support > 0)).sum(axis=-1)
        return np.divide(scores, seen, out=np.full(scores.shape, np.nan), where=seen > 0)

    return Statistic(metric, rows, value, 1 / np.bincount(true)[true])


def numbered(names: Sequence[str]) -> NDArray[np.int64]:
    """A number for each name, from 0 in order of the first occurrence [names]."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def summed(rows: Rows, units: NDArray[np.int64]) -> Rows:
    """Sums of the rows [documents, k] of each unit [units, k]; `units` [documents]: the unit of each, from 0."""
    from scipy.sparse import csr_array

    ones, places = np.ones(len(units)), np.arange(len(units))
    return csr_array((ones, (units, places)), shape=(int(units.max()) + 1, len(units))) @ rows
