"""Rules for bad pairs: one side much longer than the other, or both identical."""

from tasks.clean.verdict import Batch, Finding, Rule, Verdict, shown


def pair_rules(max_length_ratio: float | None, identical_sides: str) -> list[Rule]:
    """Rules that compare both sides; documents without a target pass."""
    rules: list[Rule] = []
    if max_length_ratio is not None:
        rules.append(ratio_at_most(max_length_ratio))
    if identical_sides == "drop":
        rules.append(sides_differ)
    return rules


def ratio_at_most(most: float) -> Rule:
    """`length_ratio`: the longer side has more than `most` times the words of the other.

    From Moses' `clean-corpus-n.perl` (Koehn et al. 2007, https://aclanthology.org/P07-2045), which uses 9. Scripts
    without spaces are counted as in `scripts`.
    """

    def rule(batch: Batch) -> Finding:
        import numpy as np

        less = np.minimum(batch.text.lengths, batch.target.lengths)
        more = np.maximum(batch.text.lengths, batch.target.lengths)

        def why(row: int) -> Verdict:
            value = shown(float(more[row] / less[row]), most) if less[row] else f"{more[row]} words and none"
            return Verdict("length_ratio", value, f"{most:g}")

        return batch.target.there & (more > most * less), why

    return rule


def sides_differ(batch: Batch) -> Finding:
    """`identical_sides`: the target equals the text, as in untranslated sentences."""
    return batch.identical, lambda row: Verdict("identical_sides", f"{batch.text.characters[row]} characters", None)
