"""Evaluate summarization: ROUGE on the test split; the baseline is each text's first sentence.

    rouge1, rouge2   overlap of unigrams and bigrams (Lin, ACL workshop 2004)
    rougeLsum        union of longest common subsequences, sentence by sentence

Each is the mean F-measure × 100 over documents, as computed by the package rouge-score. It expects one sentence per
line; `tasks.evaluate.sentences` splits them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.bootstrap import interval, resampled_sums
from tasks.evaluate.exam import Exam
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.pairs import Baseline, PairMetric, PairScorer, evaluate_pairs
from tasks.evaluate.rouge import check_script, rouge_scorer, rouge_signature
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.sentences import first_sentence, split_sentences
from tasks.evaluate.settings import BootstrapSettings, RougeSettings, SummarizationEvaluateSettings
from tasks.stage.run import Job, Report

BASELINE = Baseline("first_sentence", "the first sentence", first_sentence)


def summarization_scorer(exam: Exam, settings: SummarizationEvaluateSettings) -> PairScorer:
    """Raises RecipeError if `rouge` does not fit the script of the references, DataError for an unusable model."""
    check_script(exam, settings.rouge)
    return PairScorer(exam, "summarization", settings, SummarizationMetric(settings.rouge))


def evaluate_summarization(job: Job, settings: SummarizationEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job, "target")
    scorer = summarization_scorer(inputs.exam(job), settings)
    return evaluate_pairs(job, inputs, scorer, BASELINE, SummarizationMetric(settings.rouge))


class SummarizationMetric(PairMetric):
    """ROUGE F-measures, three numbers per document."""

    columns = ("rouge1", "rouge2", "rougeLsum")

    def __init__(self, settings: RougeSettings) -> None:
        self._settings = settings
        self._scorer = rouge_scorer(settings, self.columns)
        self._rows: list[NDArray[np.float64]] = []

    def add(self, written: Sequence[str], references: Sequence[str]) -> list[dict[str, float]]:
        """Score documents; returns the three scores of each."""
        found = self._scorer.score_batch(
            *(["\n".join(split_sentences(text)) for text in side] for side in (references, written))
        )
        rows = np.array([[round(100 * row[name].fmeasure, DIGITS) for name in self.columns] for row in found])
        self._rows.append(rows)
        return [dict(zip(self.columns, row.tolist(), strict=True)) for row in rows]

    def scores(self, documents: NDArray[np.int64] | None = None) -> dict[str, float]:
        """The means."""
        rows = np.concatenate(self._rows)[slice(None) if documents is None else documents]
        return {name: round(float(rows[:, at].mean()), DIGITS) for at, name in enumerate(self.columns)}

    def intervals(self, settings: BootstrapSettings) -> dict[str, float]:
        """Their 95 % confidence intervals."""
        rows = np.concatenate(self._rows)
        means = resampled_sums(rows, settings) / len(rows)
        found: dict[str, float] = {}
        for at, name in enumerate(self.columns):
            low, high = interval(means[:, at].tolist())
            found |= {f"{name}_low": round(low, DIGITS), f"{name}_high": round(high, DIGITS)}
        return found

    def signature(self) -> dict[str, object]:
        """ROUGE's part of the signature."""
        return {"rouge": rouge_signature(self._settings, sentences="punctuation")}
