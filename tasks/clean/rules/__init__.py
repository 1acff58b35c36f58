"""Rules about the sizes and labels of documents: a rule is a function of a batch, a module is a family.

A rule says which documents it drops, and why. Rules are asked in their order and the first verdict counts. A new family
is a module with functions that make rules, its keys in `CleanSettings`, and a line in `rules_of`. What a rule says of a
document must depend on it and the settings alone, so that any process may ask it. Rules about what stands in a text are
rooms of their own (`language`, `quality`, `blocked`, `privacy`).
"""

from collections.abc import Mapping

from tasks.clean.rules.labels import label_rules
from tasks.clean.rules.length import length_rules
from tasks.clean.rules.pairs import pair_rules
from tasks.clean.rules.verdict import Batch, Rule, Sizes, Verdict
from tasks.clean.settings import CleanSettings

__all__ = ["Batch", "Rule", "Sizes", "Verdict", "rules_of"]


def rules_of(settings: CleanSettings, rare: Mapping[str, int]) -> list[Rule]:
    """The rules that the settings ask for; `rare`: documents of the labels that have too few."""
    return [
        *length_rules(settings, "text"),
        *length_rules(settings.target, "target"),
        *label_rules(settings.min_documents_per_label, rare),
        *pair_rules(settings),
    ]
