"""`gristmill run RECIPE --set KEY=VALUE`: try other settings without writing them.

The stages that they make stale run in a scratch workspace (`flows.scratch_run`), or come from DVC's cache, where their
outputs stay: with the settings written into the recipe, `gristmill run` finds them. The run in MLflow has the tags

    gristmill.tried       the settings, as JSON; the same settings again update the same run
    gristmill.tried_at    hash of recipe and settings

and is no candidate, see `tasks.register.beside`.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.scratch_run import snapshot
from flows.summary import read_json
from flows.workspace import claim
from tasks.stage.errors import TransientError
from tasks.stage.identity import fingerprint
from tasks.stage.settings import read_yaml, recipe_path

PLACE = Path(".dvc/tmp/gristmill-tried")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tried:
    """What came of it, beside the recipe's own model."""

    task: str
    metrics: dict[str, Any]
    """evaluation/metrics.json."""
    training: dict[str, Any]
    """`details` of training/report.json."""
    own_metrics: dict[str, Any]
    """Of the recipe's own model; empty if there is none."""
    own_training: dict[str, Any]
    run_id: str


def try_out(recipe: str, values: Mapping[str, Any], say: Say) -> Tried:
    """Run a recipe with other settings and record it.

    Raises RecipeError for settings that it cannot have, StageFailed, Stopped, and TransientError if MLflow is away:
    what has run is kept.
    """
    from flows.overrides import changed, require_values
    from tasks.register.beside import Beside, complete, create, find
    from tasks.tracking.client import connect, lost_is_transient

    task = require_values(recipe, values).task
    at = fingerprint(changed(read_yaml(recipe_path(recipe)), values))[:16]
    folder, again = (PLACE / recipe / at).absolute(), command(recipe, values)
    with claim(f"tried@{recipe}-{at}", [], say):
        client = connect()
        before = snapshot(recipe, folder / "own", again, say)
        made = before.branch(folder / "tried", values, ["evaluate"], say)
        tried = Beside(recipe, task, made.data, made.recipe_file, made.data / "evaluation")
        tags = {"gristmill.tried": json.dumps(values), "gristmill.tried_at": at}
        name = " ".join([recipe, *settings(values)])
        try:
            with lost_is_transient():
                known = find(client, recipe, tried_at=at)
                run = known[0] if known else create(client, recipe, name, tags, tried.journal().started)
                complete(client, run, tried, tags)
        except TransientError as error:
            raise TransientError(f"{error}; what has run is kept: run `{again}` again, and it is recorded") from error
        own = before.workspace
        trained = own.is_trained()
        scored = read_json(own.data / "evaluation/metrics.json")
        found = Tried(
            task, tried.metrics(), tried.training(), scored if trained else {}, own.training() if trained else {},
            run.info.run_id,
        )  # fmt: skip
        shutil.rmtree(folder)
    return found


def command(recipe: str, values: Mapping[str, Any]) -> str:
    """The command that tries these settings."""
    return " ".join(["gristmill run", recipe, *(f"--set {shlex.quote(setting)}" for setting in settings(values))])


def settings(values: Mapping[str, Any]) -> list[str]:
    """`KEY=VALUE` of each, as `--set` reads it."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]  # JSON is YAML
