"""Too short or too long, in characters (Unicode code points) or words (separated by white space)."""

from collections.abc import Callable

from tasks.clean.rules.verdict import Rule, Verdict
from tasks.clean.settings import CleanSettings


def length_rules(settings: CleanSettings) -> list[Rule]:
    """The bounds that are set."""
    rules: list[Rule] = [at_least(len, settings.min_characters, "characters")]
    if settings.max_characters is not None:
        rules.append(at_most(len, settings.max_characters, "characters"))
    if settings.min_words is not None:
        rules.append(at_least(words, settings.min_words, "words"))
    if settings.max_words is not None:
        rules.append(at_most(words, settings.max_words, "words"))
    return rules


def words(text: str) -> int:
    """How many words there are between white space."""
    return len(text.split())


def at_least(measure: Callable[[str], int], least: int, unit: str) -> Rule:
    """`too_few_<unit>` below `least`."""

    def rule(text: str) -> Verdict | None:
        value = measure(text)
        return Verdict(f"too_few_{unit}", str(value), str(least)) if value < least else None

    return rule


def at_most(measure: Callable[[str], int], most: int, unit: str) -> Rule:
    """`too_many_<unit>` above `most`."""

    def rule(text: str) -> Verdict | None:
        value = measure(text)
        return Verdict(f"too_many_{unit}", str(value), str(most)) if value > most else None

    return rule
