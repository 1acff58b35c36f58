"""Text and target that cannot be of one pair: one much longer than the other, or both the same."""

from tasks.clean.rules.length import words
from tasks.clean.rules.verdict import Rule, Sides, Verdict
from tasks.clean.settings import CleanSettings


def pair_rules(settings: CleanSettings) -> list[Rule]:
    """What is asked of both sides together; documents without a target meet it."""
    rules: list[Rule] = []
    if settings.max_length_ratio is not None:
        rules.append(ratio_at_most(settings.max_length_ratio))
    if settings.identical_sides == "drop":
        rules.append(sides_differ)
    return rules


def ratio_at_most(most: float) -> Rule:
    """`length_ratio` where the longer side has more than `most` times the words of the other.

    As `clean-corpus-n.perl` of Moses does (Koehn et al. 2007, https://aclanthology.org/P07-2045), whose bound is 9.
    """

    def rule(sides: Sides) -> Verdict | None:
        if sides.target is None:
            return None
        less, more = sorted((words(sides.text), words(sides.target)))
        if more <= most * less:
            return None
        return Verdict("length_ratio", f"{more / less:.3g}" if less else f"{more} words and none", f"{most:g}")

    return rule


def sides_differ(sides: Sides) -> Verdict | None:
    """`identical_sides` where the target is the text, as what was never translated is."""
    if sides.text != sides.target:
        return None
    return Verdict("identical_sides", f"{len(sides.text)} characters", None)
