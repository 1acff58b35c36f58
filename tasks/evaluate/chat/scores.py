"""Scores of generated answers: chrF, ROUGE-L, exact match, whether they ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.evaluate.rouge import rouge_scorer, rouge_signature
from tasks.evaluate.scores import DIGITS
from tasks.evaluate.settings import RougeSettings

Scores = dict[str, float]


@dataclass(frozen=True)
class Answer:
    """An answer to score."""

    text: str
    reference: str
    ended: bool | None = None
    """Whether generation ended by itself; None for an answer that was not generated."""


class AnswerMetric:
    """Compares answers with references."""

    def __init__(self, rouge: RougeSettings) -> None:
        from sacrebleu.metrics import CHRF

        self._rouge, self._chrf = rouge, CHRF()
        self._scorer = rouge_scorer(rouge, ["rougeL"])

    def of(self, answers: Sequence[Answer]) -> list[Scores]:
        """chrf and rougeL (0 to 100), exact_match and, if known, ended (0 or 1) of each answer. White space at both
        ends of a text does not count."""
        if not answers:
            return []
        pairs = [(answer.text.strip(), answer.reference.strip()) for answer in answers]
        texts, references = [text for text, _ in pairs], [reference for _, reference in pairs]
        overlaps = self._scorer.score_batch(references, texts)
        found = []
        for answer, (text, reference), overlap in zip(answers, pairs, overlaps, strict=True):
            scores = {
                "chrf": round(self._chrf.sentence_score(text, [reference]).score, DIGITS),
                "rougeL": round(100 * overlap["rougeL"].fmeasure, DIGITS),
                "exact_match": float(text == reference),
            }
            found.append(scores if answer.ended is None else scores | {"ended": float(answer.ended)})
        return found

    def signature(self) -> dict[str, object]:
        """The metrics' part of the signature."""
        self._chrf.num_refs = 1
        return {"chrf": self._chrf.get_signature(), "rouge": rouge_signature(self._rouge)}
