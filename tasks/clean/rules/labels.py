"""Classes with too few documents to learn from."""

from collections.abc import Mapping

from tasks.clean.rules.verdict import Rule, Sides, Verdict


def label_rules(least: int | None, documents: Mapping[str, int]) -> list[Rule]:
    """`rare_label` where fewer than `least` documents have the label; `documents` by label, in the whole corpus."""
    if least is None:
        return []

    def rule(sides: Sides) -> Verdict | None:
        count = None if sides.label is None else documents[sides.label]
        return None if count is None or count >= least else Verdict("rare_label", str(count), str(least))

    return [rule]
