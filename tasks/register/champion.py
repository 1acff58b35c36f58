"""The registry on the command line: the champion, a new champion by hand, the runs."""

import datetime
from typing import TYPE_CHECKING, Any

from tasks.register import registry
from tasks.register.promotion import CHAMPION
from tasks.register.registry import find_alias, model_name
from tasks.register.settings import RegisterSettings
from tasks.stage.settings import read_section
from tasks.stage.task import METRICS, read_task
from tasks.tracking.client import IDENTITY, connect, lost_is_transient

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

MOST_RUNS = 1000


def champion(recipe: str) -> dict[str, Any] | None:
    """{model, version, alias, metric, value, reason, run_id} of the recipe's champion, or None.

    Raises TransientError if a tracking server is unreachable.
    """
    settings = read_section(recipe, "register", RegisterSettings)
    with lost_is_transient():
        version = find_alias(connect(), model_name(recipe, settings), CHAMPION)
    if version is None:
        return None
    value = version.tags.get("gristmill.value")
    return {
        "model": version.name,
        "version": int(version.version),
        "alias": CHAMPION,
        "metric": version.tags.get("gristmill.metric"),
        "value": None if value is None else float(value),
        "reason": version.tags.get("gristmill.reason"),
        "run_id": version.run_id,
    }


def promote(recipe: str, number: int) -> str:
    """Make a version champion by hand; returns a sentence that says what changed.

    Raises RecipeError for a broken recipe, GristmillError for a missing version, TransientError if a tracking server is
    unreachable.
    """
    name = model_name(recipe, read_section(recipe, "register", RegisterSettings))
    with lost_is_transient():
        old = registry.promote(connect(), name, number)
    if old is None:
        return f"version {number} of {name} is now champion; there was none before"
    if int(old.version) == number:
        return f"version {number} of {name} is already champion"
    return f"version {number} of {name} is now champion; version {old.version} was before"


def runs(recipe: str) -> list[dict[str, Any]]:
    """A row per run of a recipe, best first, runs without a score last.

    {recipe, run, run_id, started, status, metric, value, validation_loss, parameters, steps, version, aliases,
    seconds (of training), reason (of the alias), tags}; unknown values are None. Raises RecipeError for a broken
    recipe, TransientError if a tracking server is unreachable.
    """
    settings, task = read_section(recipe, "register", RegisterSettings), read_task(recipe)
    name, metric = model_name(recipe, settings), settings.metric_of(task)
    with lost_is_transient():
        client = connect()
        experiment = client.get_experiment_by_name(recipe)
        if experiment is None:
            return []
        found = client.search_runs([experiment.experiment_id], f"tags.`{IDENTITY}` != ''", max_results=MOST_RUNS)
        versions = {version.run_id: version for version in client.search_model_versions(f"name = '{name}'")}
        aliases = client.get_registered_model(name).aliases if versions else {}
    rows = [_row(recipe, run, versions.get(run.info.run_id), aliases, metric) for run in found]
    sign = 1 if METRICS[metric] else -1
    return sorted(rows, key=lambda row: (row["value"] is None, sign * (row["value"] or 0.0), row["started"]))


def _row(
    recipe: str, run: "Run", version: "ModelVersion | None", aliases: dict[str, str], metric: str
) -> dict[str, Any]:
    metrics = run.data.metrics
    started = datetime.datetime.fromtimestamp(run.info.start_time / 1000).astimezone()
    number = str(version.version) if version is not None else None
    return {
        "recipe": recipe,
        "run": run.info.run_name,
        "run_id": run.info.run_id,
        "started": started.isoformat(timespec="seconds"),
        "status": run.info.status,
        "metric": metric,
        "value": metrics.get(f"test_{metric}"),
        "validation_loss": metrics.get("validation_loss"),
        "parameters": _whole(metrics.get("model_parameters")),
        "steps": _whole(metrics.get("training_steps")),
        "version": int(number) if number else None,
        "aliases": sorted(alias for alias, of in aliases.items() if str(of) == number),
        "seconds": metrics.get("training_seconds"),
        "reason": version.tags.get("gristmill.reason") if version is not None else None,
        "tags": dict(run.data.tags),
    }


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
