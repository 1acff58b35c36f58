"""Evaluate summarization: ROUGE on the test split; the baseline is each text's first sentence.

    rouge1, rouge2   overlap of unigrams and bigrams (Lin, ACL workshop 2004)
    rougeLsum        union of longest common subsequences, sentence by sentence

Each is the mean F-measure × 100 over documents, as computed by the package rouge-score. It expects one sentence per
line; `tasks.evaluate.sentences` splits them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.evaluate.bootstrap import interval, resampled_sums
from tasks.evaluate.pairs import DIGITS, PairMetric, evaluate_pairs
from tasks.evaluate.sentences import first_sentence, split_sentences
from tasks.evaluate.settings import BootstrapSettings, RougeSettings, SummarizationEvaluateSettings
from tasks.evaluate.split import measure_split, read_rows
from tasks.stage.errors import RecipeError
from tasks.stage.run import Job, Report
from tasks.stage.settings import recipe_path

MOST_LOST = 0.3
"""Maximum fraction of the references' letters and digits that `latin` may drop. Article 1 of the Universal Declaration
of Human Rights loses 8 % in Turkish, 12 % in Czech, 33 % in Vietnamese."""


def evaluate_summarization(job: Job, settings: SummarizationEvaluateSettings) -> Report:
    """Write all outputs of the stage. Raises RecipeError and DataError for errors the user can fix."""
    measure_split(job.input("clean/test"), ("text", "target"))
    if settings.rouge.tokenizer == "latin":
        _check_script(job, job.input("clean/test"))
    return evaluate_pairs(job, "summarization", settings, SummarizationMetric(settings.rouge))


def _check_script(job: Job, folder: Path) -> None:
    """Raises RecipeError if the tokenizer `latin` drops too much of the references for meaningful scores."""
    from rouge_score_rs.tokenizers import DefaultTokenizer, UnicodeTokenizer

    latin, unicode = DefaultTokenizer(), UnicodeTokenizer()
    kept = total = 0
    for row in read_rows(folder, ["target"]):
        words, read = ("".join(tokenizer.tokenize(row["target"])) for tokenizer in (unicode, latin))
        total += sum(letter.isalnum() for letter in words)
        kept += len(read)
    if (lost := total - kept) > MOST_LOST * total:
        raise RecipeError(
            f"{recipe_path(job.recipe)}: evaluate.rouge.tokenizer: latin keeps only a-z and 0-9 and drops "
            f"{lost / total:.0%} of the references' letters; use unicode or character for other scripts"
        )


class SummarizationMetric(PairMetric):
    """ROUGE F-measures, three numbers per document."""

    columns = ("rouge1", "rouge2", "rougeLsum")
    baseline = "the first sentence"

    def __init__(self, settings: RougeSettings) -> None:
        from rouge_score_rs import rouge_scorer, tokenizers

        own = {"latin": None, "unicode": tokenizers.UnicodeTokenizer(), "character": tokenizers.CharacterTokenizer()}
        self._settings = settings
        self._scorer = rouge_scorer.RougeScorer(
            list(self.columns), use_stemmer=settings.stems, tokenizer=own[settings.tokenizer]
        )
        self._rows: list[NDArray[np.float64]] = []
        self._first: list[NDArray[np.float64]] = []
        self.baselines = []

    def add(self, texts: Sequence[str], written: Sequence[str], references: Sequence[str]) -> list[dict[str, float]]:
        """Score documents; returns the three scores of each."""
        self._rows.append(self._score(written, references))
        self._first.append(self._score([first_sentence(text) for text in texts], references))
        self.baselines += self._first[-1][:, 0].tolist()
        return [dict(zip(self.columns, row.tolist(), strict=True)) for row in self._rows[-1]]

    def metrics(self, settings: BootstrapSettings) -> dict[str, float]:
        """The means, their 95 % confidence intervals, and the baseline's means."""
        rows, first = np.concatenate(self._rows), np.concatenate(self._first)
        means = resampled_sums(rows, settings) / len(rows)
        found = {name: float(rows[:, at].mean()) for at, name in enumerate(self.columns)}
        for at, name in enumerate(self.columns):
            found[f"{name}_low"], found[f"{name}_high"] = interval(means[:, at].tolist())
        found |= {f"first_sentence_{name}": float(first[:, at].mean()) for at, name in enumerate(self.columns)}
        return {name: round(value, DIGITS) for name, value in found.items()}

    def signature(self) -> dict[str, object]:
        """ROUGE's part of the signature."""
        from importlib.metadata import version

        return {
            "rouge": f"fmeasure;tok={self._settings.tokenizer};stem={'yes' if self._settings.stems else 'no'};"
            f"sentences=punctuation;version=rouge-score-rs-{version('rouge-score-rs')}"
        }

    def _score(self, outputs: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
        """F-measures × 100 [documents, columns]."""
        found = self._scorer.score_batch(
            *(["\n".join(split_sentences(text)) for text in side] for side in (references, outputs))
        )
        return np.array([[round(100 * row[name].fmeasure, DIGITS) for name in self.columns] for row in found])
