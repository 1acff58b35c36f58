"""Smaller variants of a version: which of them may answer in place of the model.

With `compress.<name>.margin`, a variant that is shown to lose less than that against its model (non-inferiority: the
95 % interval of the loss ends below it) gets the alias `champion-<name>` with its model's `champion`. Without, or if it
loses more, the alias stays with the last version whose variant passed.
"""

import json
import sys
from typing import TYPE_CHECKING

from tasks.register.promotion import CHAMPION
from tasks.register.registered import Registered, write_tag
from tasks.register.results import Results

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PASSED = "gristmill.variants"
"""The tag of a version with the names of its variants that passed."""


def alias_of(variant: str) -> str:
    """The alias of the version whose variant answers."""
    return f"{CHAMPION}-{variant}"


def passed(results: Results, metric: str) -> list[str]:
    """The variants that lose less than their margin; says of each with a margin whether it does."""
    found = []
    for name, compared in results.compared.items():
        margin = results.settings["compress"][name].get("margin")
        if margin is None:
            continue
        figures = compared[metric]
        worst = None if figures["low"] is None else -figures["low"]
        within = worst is not None and worst < margin
        if within:
            found.append(name)
        told = "the loss cannot be bounded" if worst is None else f"a loss of at most {worst:.4g}"
        verdict = "passes" if within else "does not pass"
        print(f"register: {name} {verdict}: {told} {metric} (95 %), margin {margin:g}", file=sys.stderr, flush=True)
    return found


def follow(client: "MlflowClient", model: Registered, version: "ModelVersion") -> None:
    """Give the champion's variants that passed their aliases."""
    for name in json.loads(version.tags.get(PASSED, "[]")):
        alias = alias_of(name)
        if model.aliases.get(alias) != int(version.version):
            write_tag(client.set_registered_model_alias, model.name, alias, str(version.version))
            model.aliases[alias] = int(version.version)
