"""ROUGE with the recipe's tokenizer, for summarization and chat."""

from collections.abc import Sequence
from typing import Any

from tasks.evaluate.exam import Exam
from tasks.evaluate.settings import RougeSettings
from tasks.evaluate.split import read_rows
from tasks.stage.errors import RecipeError
from tasks.stage.settings import recipe_path

MOST_LOST = 0.3
"""Maximum fraction of the references' letters and digits that `latin` may drop. Article 1 of the Universal Declaration
of Human Rights loses 8 % in Turkish, 12 % in Czech, 33 % in Vietnamese."""


def rouge_scorer(settings: RougeSettings, columns: Sequence[str]) -> Any:
    """A scorer of the package rouge-score for these measures (rouge1, rougeL, …)."""
    from rouge_score_rs import rouge_scorer, tokenizers

    own = {"latin": None, "unicode": tokenizers.UnicodeTokenizer(), "character": tokenizers.CharacterTokenizer()}
    return rouge_scorer.RougeScorer(list(columns), use_stemmer=settings.stems, tokenizer=own[settings.tokenizer])


def rouge_signature(settings: RougeSettings, sentences: str = "") -> str:
    """ROUGE's part of the signature; `sentences`: how texts are split, where it matters."""
    from importlib.metadata import version

    return (
        f"fmeasure;tok={settings.tokenizer};stem={'yes' if settings.stems else 'no'};"
        + (f"sentences={sentences};" if sentences else "")
        + f"version=rouge-score-rs-{version('rouge-score-rs')}"
    )


def check_script(exam: Exam, settings: RougeSettings) -> None:
    """Raises RecipeError if the tokenizer `latin` drops too much of the references for meaningful scores."""
    from rouge_score_rs.tokenizers import DefaultTokenizer, UnicodeTokenizer

    if settings.tokenizer != "latin":
        return
    latin, unicode = DefaultTokenizer(), UnicodeTokenizer()
    kept = total = 0
    for row in read_rows(exam.test, ["target"]):
        words, read = ("".join(tokenizer.tokenize(row["target"])) for tokenizer in (unicode, latin))
        total += sum(letter.isalnum() for letter in words)
        kept += len(read)
    if (lost := total - kept) > MOST_LOST * total:
        raise RecipeError(
            f"{recipe_path(exam.recipe)}: evaluate.rouge.tokenizer: latin keeps only a-z and 0-9 and drops "
            f"{lost / total:.0%} of the references' letters; use unicode or character for other scripts"
        )
