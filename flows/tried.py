"""`gristmill run RECIPE --set KEY=VALUE`: try other settings without writing them.

The stages that they make stale run in a scratch workspace (`flows.scratch_run`), or come from DVC's cache, where their
outputs stay: with the settings written into the recipe, `gristmill run` finds them there. The run in MLflow has the tags

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

from flows.scratch_run import remove, snapshot
from flows.summary import read_metrics
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
    """The scalars of evaluation/metrics.json."""
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
    from tasks.register.beside import Beside, complete, create, find, scores_of
    from tasks.tracking.client import connect, lost_is_transient

    task = require_values(recipe, values).task
    at = fingerprint(changed(read_yaml(recipe_path(recipe)), values))[:16]
    folder, again = (PLACE / recipe / at).absolute(), command(recipe, values)
    with claim(f"tried@{recipe}-{at}", [], say):
        client = connect()
        before = snapshot(recipe, folder / "own", again, say)
        made = before.branch(folder / "tried", values, "evaluate", say)
        tried = Beside(recipe, task, made.data, made.recipe_file, made.data / "evaluation")
        tags = {"gristmill.tried": json.dumps(values), "gristmill.tried_at": at}
        name = f"{recipe} {' '.join(f'{key}={_shown(value)}' for key, value in values.items())}"
        try:
            with lost_is_transient():
                known = find(client, recipe, tried_at=at)
                run = known[0] if known else create(client, recipe, name, tags, tried.journal().started)
                complete(client, run, tried, tags)
        except TransientError as error:
            raise TransientError(f"{error}; what has run is kept: run `{again}` again, and it is recorded") from error
        own = before.workspace
        found = Tried(
            task, _scalars(tried.metrics()), tried.training(), read_metrics(recipe) if own.is_trained() else {},
            own.training() if own.is_trained() else {}, run.info.run_id,
        )  # fmt: skip
        assert scores_of(task, tried.metrics())
        shutil.rmtree(folder)
        remove_empty(PLACE / recipe)
    return found


def command(recipe: str, values: Mapping[str, Any]) -> str:
    """The command that tries these settings."""
    settings = (f"--set {shlex.quote(f'{key}={_shown(value)}')}" for key, value in values.items())
    return f"gristmill run {recipe} {' '.join(settings)}"
