"""Evaluate translation: BLEU and chrF on the test split; the baseline is a copy of the source.

    bleu    sacrebleu's corpus BLEU (Papineni et al., ACL 2002; Post, WMT 2018)
    chrf    sacrebleu's corpus chrF2 (Popović, WMT 2015)

A copy scores well above 0 if the languages share names, numbers and code: `copy_bleu`, `copy_chrf`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.bootstrap import interval, resampled_sums
from tasks.evaluate.exam import Exam
from tasks.evaluate.inputs import Inputs
from tasks.evaluate.pairs import Baseline, PairMetric, PairScorer, evaluate_pairs
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import BootstrapSettings, TranslationEvaluateSettings
from tasks.stage.errors import RecipeError
from tasks.stage.run import Job, Report
from tasks.stage.settings import recipe_path

BASELINE = Baseline("copy", "the source copied", lambda text: text)


def translation_scorer(exam: Exam, settings: TranslationEvaluateSettings) -> PairScorer:
    """Raises RecipeError if sacrebleu lacks packages for its tokenizer, DataError for an unusable model."""
    try:
        metric = TranslationMetric(settings.bleu_tokenize)
    except RuntimeError as error:
        language = settings.bleu_tokenize.partition("-")[0]
        raise RecipeError(
            f"{recipe_path(exam.recipe)}: evaluate.bleu_tokenize: {settings.bleu_tokenize} needs more packages: "
            f"pip install 'sacrebleu[{language}]'"
        ) from error
    return PairScorer(exam, "translation", settings, metric)


def evaluate_translation(job: Job, settings: TranslationEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    inputs = Inputs.read(job, "target")
    scorer = translation_scorer(inputs.exam(job), settings)
    return evaluate_pairs(job, inputs, scorer, BASELINE, TranslationMetric(settings.bleu_tokenize))


class TranslationMetric(PairMetric):
    """BLEU and chrF from n-gram statistics, a row of numbers per document.

    sacrebleu's `corpus_score` needs all texts at once, and its bootstrap a copy of all rows per resample, so its two
    steps are called separately. A test compares the results.
    """

    columns = ("chrf",)

    def __init__(self, tokenize: str) -> None:
        from sacrebleu.metrics import BLEU, CHRF

        self._metrics: dict[str, Any] = {"bleu": BLEU(tokenize=tokenize, force=True), "chrf": CHRF()}
        self._rows: dict[str, list[NDArray[np.int32]]] = {name: [] for name in self._metrics}

    def add(self, written: Sequence[str], references: Sequence[str]) -> list[dict[str, float]]:
        """Score documents; returns the chrF of each."""
        for name, metric in self._metrics.items():
            found = metric._extract_corpus_statistics(written, [references])
            self._rows[name].append(np.array(found, np.int32))
        return [{"chrf": self._score("chrf", row)} for row in self._rows["chrf"][-1]]

    def scores(self, documents: NDArray[np.int64] | None = None) -> dict[str, float]:
        """bleu and chrf."""
        chosen = slice(None) if documents is None else documents
        return {name: self._score(name, np.concatenate(parts)[chosen].sum(0)) for name, parts in self._rows.items()}

    def intervals(self, settings: BootstrapSettings) -> dict[str, float]:
        """Their 95 % confidence intervals."""
        found: dict[str, float] = {}
        for name, parts in self._rows.items():
            sums = resampled_sums(np.concatenate(parts), settings)
            found[f"{name}_low"], found[f"{name}_high"] = interval(self._score(name, row) for row in sums)
        return found

    def signature(self) -> dict[str, object]:
        """sacrebleu's own signatures."""
        return {name: metric.get_signature() for name, metric in self._metrics.items()}

    def _score(self, name: str, row: NDArray[Any]) -> float:
        return round(float(self._metrics[name]._compute_score_from_stats(row.tolist()).score), DIGITS)
