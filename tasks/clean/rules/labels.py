"""Drops classes with too few documents to learn from."""

from collections.abc import Mapping

from tasks.clean.verdict import Batch, Finding, Rule, Verdict


def label_rules(least: int | None, rare: Mapping[str, int]) -> list[Rule]:
    """`rare_label`: the label has fewer than `least` documents in the corpus; `rare` maps such labels to counts."""
    if least is None:
        return []

    def rule(batch: Batch) -> Finding:
        import numpy as np

        found = np.fromiter((label in rare for label in batch.labels), bool, len(batch.labels))
        return found, lambda row: Verdict("rare_label", str(rare[batch.labels[row] or ""]), str(least))

    return [rule]
