"""Metrics from sums: each document is a row of numbers, and a metric is a function of the sum of some rows.

That is all a resampling method needs: the metric of any part of the documents, or of any resample, is one addition
away, and a thousand resamples are one matrix product. `value` of the sum of all rows is the metric in metrics.json.

    bits_per_byte                    loss, bytes                           loss / ln 2 / bytes
    loss, perplexity                 loss, tokens                          loss / tokens, and its exponential
    pseudo_perplexity                loss, masked                          exp(loss / masked)
    masked_accuracy, accuracy        right, masked or documents            right / masked
    rouge1, rouge2, rougeLsum        F-measure, documents                  the mean
    chat: chrf, rougeL, …            score, documents with an answer       the mean
    preference_accuracy, _margin     correct or margin, documents          the mean
    bleu                             2 lengths, 4 matches, 4 totals        sacrebleu's BLEU.compute_bleu
    chrf                             6 × (output, reference, matches)      sacrebleu's CHRF._compute_f_score
    macro_*                          per class: right, predicted, true     means over classes seen or predicted
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.compare.documents import SOME, Documents
from tasks.paired.sums import Statistic, Sums, numbered, ratio
from tasks.stage.errors import DataError
from tasks.stage.task import FAMILIES

LARGEST_EXPONENT = 700.0
"""Of a perplexity, as in tasks.evaluate."""


def statistic(documents: Documents, metric: str, settings: Mapping[str, Any]) -> Statistic:
    """The metric of these documents as sums; `settings`: the section `evaluate` of the recipe (for `bleu_tokenize`).

    Raises DataError if the task has no such metric, a value is missing, or the metric is undefined on all documents.
    """
    known = FAMILIES[documents.task].metrics
    if metric not in known:
        raise DataError(f"{documents.path}: {metric} is not a metric of {documents.task} ({', '.join(known)})")
    if metric.startswith("macro_"):
        found = _macro(documents, metric)
    elif metric in ("bleu", "chrf") and documents.task != "chat":
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
    elif documents.task == "chat" and metric in SOME:
        values = documents.some(metric)
        there = ~np.isnan(values)
        above, below = np.where(there, values, 0.0), there.astype(np.float64)
    elif metric.startswith("rouge"):
        above, below = documents.numbers(metric), ones
    elif metric.startswith("preference_"):
        above, below = documents.numbers({"preference_accuracy": "correct"}.get(metric, "margin")), ones
    else:
        size = {"bits_per_byte": "bytes", "pseudo_perplexity": "masked"}.get(metric, "tokens")
        above, below = documents.numbers("loss"), documents.numbers(size)
    scale = 1 / np.log(2) if metric == "bits_per_byte" else 1.0
    most = LARGEST_EXPONENT if metric in ("perplexity", "pseudo_perplexity") else None
    return ratio(metric, above, below, scale, most)


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
