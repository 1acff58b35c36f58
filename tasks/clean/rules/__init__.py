"""The rules by which documents are dropped: a rule is a function of a document's cleaned sides, a module is a family.

A rule answers None where the document may stay, else a `Verdict` with the reason. Rules are asked in their order and
the first verdict counts. A new family is a module with functions that make rules, its keys in `CleanSettings`, and a
line in `rules_of`. A rule must depend on the document and the settings alone, so that any process may ask it.
"""

from collections.abc import Mapping

from tasks.clean.rules.labels import label_rules
from tasks.clean.rules.length import length_rules
from tasks.clean.rules.pairs import pair_rules
from tasks.clean.rules.verdict import Rule, Sides, Verdict
from tasks.clean.settings import CleanSettings

__all__ = ["Rule", "Sides", "Verdict", "rules_of"]


def rules_of(settings: CleanSettings, rare: Mapping[str, int]) -> list[Rule]:
    """The rules that the settings ask for, cheap ones first; `rare`: documents of the labels that have too few."""
    return [
        *length_rules(settings, "text"),
        *length_rules(settings.target, "target"),
        *label_rules(settings.min_documents_per_label, rare),
        *pair_rules(settings),
    ]
