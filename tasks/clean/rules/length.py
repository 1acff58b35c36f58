"""Too short or too long, in characters (Unicode code points) or words (separated by white space)."""

from collections.abc import Callable

from tasks.clean.rules.verdict import Rule, Side, Verdict, about
from tasks.clean.settings import Lengths

Judge = Callable[[str], Verdict | None]


def length_rules(bounds: Lengths, side: Side) -> list[Rule]:
    """The bounds that are set for one side."""
    judges = [at_least(len, bounds.min_characters, "characters")]
    if bounds.max_characters is not None:
        judges.append(at_most(len, bounds.max_characters, "characters"))
    if bounds.min_words is not None:
        judges.append(at_least(words, bounds.min_words, "words"))
    if bounds.max_words is not None:
        judges.append(at_most(words, bounds.max_words, "words"))
    return [about(side, judge) for judge in judges]


def words(text: str) -> int:
    """How many words there are between white space."""
    return len(text.split())


def at_least(measure: Callable[[str], int], least: int, unit: str) -> Judge:
    """`too_few_<unit>` below `least`."""

    def judge(text: str) -> Verdict | None:
        value = measure(text)
        return Verdict(f"too_few_{unit}", str(value), str(least)) if value < least else None

    return judge


def at_most(measure: Callable[[str], int], most: int, unit: str) -> Judge:
    """`too_many_<unit>` above `most`."""

    def judge(text: str) -> Verdict | None:
        value = measure(text)
        return Verdict(f"too_many_{unit}", str(value), str(most)) if value > most else None

    return judge
