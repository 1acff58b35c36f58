"""The rules by which documents are dropped: a rule is a function of a document's cleaned text, a module is a family.

A rule answers None where the document may stay, else a `Verdict` with the reason. Rules are asked in their order and
the first verdict counts. A new family is a module with functions that make rules, its keys in `CleanSettings`, and a
line in `rules_of`. A rule must depend on its text and settings alone, so that any process may ask it.
"""

from tasks.clean.rules.length import length_rules
from tasks.clean.rules.verdict import Rule, Verdict
from tasks.clean.settings import CleanSettings

__all__ = ["Rule", "Verdict", "rules_of"]


def rules_of(settings: CleanSettings) -> list[Rule]:
    """The rules that the settings ask for, cheap ones first."""
    return [*length_rules(settings)]
