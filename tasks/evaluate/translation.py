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
from tasks.evaluate.pairs import DIGITS, PairMetric, evaluate_pairs
from tasks.evaluate.settings import BootstrapSettings, TranslationEvaluateSettings
from tasks.stage.errors import RecipeError
from tasks.stage.run import Job, Report
from tasks.stage.settings import recipe_path


def evaluate_translation(job: Job, settings: TranslationEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    try:
        metric = TranslationMetric(settings.bleu_tokenize)
    except RuntimeError as error:
        language = settings.bleu_tokenize.partition("-")[0]
        raise RecipeError(
            f"{recipe_path(job.recipe)}: evaluate.bleu_tokenize: {settings.bleu_tokenize} needs more packages: "
            f"pip install 'sacrebleu[{language}]'"
        ) from error
    return evaluate_pairs(job, "translation", settings, metric)


class TranslationMetric(PairMetric):
    """BLEU and chrF from n-gram statistics, a row of numbers per document.

    sacrebleu's `corpus_score` needs all texts at once, and its bootstrap a copy of all rows per resample, so its two
    steps are called separately. A test compares the results.
    """

    columns = ("chrf",)
    baseline = "the source copied"

    def __init__(self, tokenize: str) -> None:
        from sacrebleu.metrics import BLEU, CHRF

        self._metrics: dict[str, Any] = {"bleu": BLEU(tokenize=tokenize, force=True), "chrf": CHRF()}
        self._rows: dict[str, list[NDArray[np.int32]]] = {}
        self.baselines = []

    def add(self, texts: Sequence[str], written: Sequence[str], references: Sequence[str]) -> list[dict[str, float]]:
        """Score documents; returns the chrF of each."""
        for prefix, outputs in (("", written), ("copy_", texts)):
            for name, metric in self._metrics.items():
                found = metric._extract_corpus_statistics(outputs, [references])
                self._rows.setdefault(f"{prefix}{name}", []).append(np.array(found, np.int32))
        self.baselines += [self._score("chrf", row) for row in self._rows["copy_chrf"][-1]]
        return [{"chrf": self._score("chrf", row)} for row in self._rows["chrf"][-1]]

    def metrics(self, settings: BootstrapSettings) -> dict[str, float]:
        """bleu, chrf, their 95 % confidence intervals, and the baseline's scores."""
        rows = {name: np.concatenate(parts) for name, parts in self._rows.items()}
        scores = {name: self._score(name.removeprefix("copy_"), part.sum(0)) for name, part in rows.items()}
        found = {name: scores[name] for name in self._metrics}
        for name in self._metrics:
            low, high = interval(self._score(name, sums) for sums in resampled_sums(rows[name], settings))
            found |= {f"{name}_low": low, f"{name}_high": high}
        return found | {f"copy_{name}": scores[f"copy_{name}"] for name in self._metrics}

    def signature(self) -> dict[str, object]:
        """sacrebleu's own signatures."""
        return {name: metric.get_signature() for name, metric in self._metrics.items()}

    def _score(self, name: str, row: NDArray[Any]) -> float:
        return round(float(self._metrics[name]._compute_score_from_stats(row.tolist()).score), DIGITS)
