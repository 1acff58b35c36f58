"""Classes with too few documents to learn from."""

from collections.abc import Mapping

from tasks.clean.rules.verdict import Rule, Sides, Verdict


def label_rules(least: int | None, rare: Mapping[str, int]) -> list[Rule]:
    """`rare_label` for the labels that fewer than `least` documents of the corpus have, with how many those are."""
    if least is None:
        return []

    def rule(sides: Sides) -> Verdict | None:
        count = None if sides.label is None else rare.get(sides.label)
        return None if count is None else Verdict("rare_label", str(count), str(least))

    return [rule]
