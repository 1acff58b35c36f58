"""The registry on the command line: the champion, a new champion by hand, the runs."""

import datetime
from typing import TYPE_CHECKING, Any

from tasks.register import aliases
from tasks.register.journal import REASON
from tasks.register.ledger import PROMOTED_BY_HAND
from tasks.register.package import SHA256
from tasks.register.promotion import CHAMPION
from tasks.register.registered import Registered, read_registered
from tasks.register.registry import METRIC, baselines_of, model_name, score_of, warn_of_champion
from tasks.register.seen import keep, read_seen
from tasks.register.settings import RegisterSettings
from tasks.register.sync_run import SIZE
from tasks.stage.errors import GristmillError
from tasks.stage.settings import read_section
from tasks.stage.task import METRICS, read_task
from tasks.tracking.client import IDENTITY, connect, find_experiment, lost_is_transient

if TYPE_CHECKING:
    from mlflow.entities import Run

MOST_RUNS = 1000


def champion(recipe: str) -> dict[str, Any] | None:
    """{model, version, alias, metric, value, baselines, reason, run_id, warnings} of the recipe's champion, or None.

    Raises TransientError if a tracking server is unreachable.
    """
    settings = read_section(recipe, "register", RegisterSettings)
    with lost_is_transient():
        model = read_registered(connect(), model_name(recipe, settings))
    version = None if model is None else model.holder(CHAMPION)
    if model is None or version is None:
        return None
    score = score_of(version)
    return {
        "model": version.name,
        "version": int(version.version),
        "alias": CHAMPION,
        "metric": version.tags.get(METRIC),
        "value": None if score is None else score.value,
        "baselines": baselines_of(version),
        "reason": version.tags.get(REASON),
        "run_id": version.run_id,
        "warnings": warn_of_champion(model, recipe),
    }


def promote(recipe: str, number: int, reason: str = "") -> str:
    """Make a version champion by hand; returns a sentence that says what changed, and a line per warning.

    Raises RecipeError for a broken recipe, GristmillError for a missing version, TransientError if a tracking server is
    unreachable.
    """
    name = model_name(recipe, read_section(recipe, "register", RegisterSettings))
    with lost_is_transient():
        client = connect()
        model = read_registered(client, name, read_seen(recipe, name))
        require_version(model, name, number)
        assert model is not None
        aliases.adopt(client, model)
        old = model.aliases.get(CHAMPION)
        if old != number:
            aliases.promote(client, model, number, PROMOTED_BY_HAND, reason)
        keep(recipe, model)
    told = f"version {number} of {name} is now champion; {_before(old)}"
    return warned(recipe, f"version {number} of {name} is already champion" if old == number else told)


def require_version(model: Registered | None, name: str, number: int) -> None:
    """Raises GristmillError if there is no such version."""
    if model is None or number not in model.versions:
        there = ", ".join(map(str, sorted(model.versions))) if model and model.versions else "none"
        raise GristmillError(f"{name} has no version {number} (available: {there})")


def warned(recipe: str, told: str) -> str:
    """A sentence, and a line for each warning about the champion."""
    found = champion(recipe)
    return "\n".join([told, *(f"warning: {warning}" for warning in (found["warnings"] if found else ()))])


def runs(recipe: str) -> list[dict[str, Any]]:
    """A row per run of a recipe, best first, runs without a score last.

    {recipe, run, run_id, started, status, metric, value, validation_loss, parameters, model, steps, version, aliases,
    seconds (of training), reason (of the alias), tags, warnings}; unknown values are None, and only the champion has
    warnings. Raises RecipeError for a broken recipe, TransientError if a tracking server is unreachable.
    """
    settings, task = read_section(recipe, "register", RegisterSettings), read_task(recipe)
    name, metric = model_name(recipe, settings), settings.metric_of(task)
    with lost_is_transient():
        client = connect()
        experiment = find_experiment(client, recipe)
        if experiment is None:
            return []
        found = client.search_runs([experiment.experiment_id], f"tags.`{IDENTITY}` != ''", max_results=MOST_RUNS)
        model = read_registered(client, name)
    rows = [_row(recipe, run, model, metric) for run in found]
    for row in rows:
        if model is not None and CHAMPION in row["aliases"]:
            row["warnings"] = warn_of_champion(model, recipe)
    sign = 1 if METRICS[metric] else -1
    return sorted(rows, key=lambda row: (row["value"] is None, sign * (row["value"] or 0.0), row["started"]))


def _before(old: int | None) -> str:
    return "there was none before" if old is None else f"version {old} was before"


def _row(recipe: str, run: "Run", model: Registered | None, metric: str) -> dict[str, Any]:
    metrics = run.data.metrics
    started = datetime.datetime.fromtimestamp(run.info.start_time / 1000).astimezone()
    versions = model.versions if model else {}
    own = [number for number, version in versions.items() if version.run_id == run.info.run_id]
    number = max(own, key=lambda each: (SHA256 in versions[each].tags, each), default=None)
    return {
        "recipe": recipe,
        "run": run.info.run_name,
        "run_id": run.info.run_id,
        "started": started.isoformat(timespec="seconds"),
        "status": run.info.status,
        "metric": metric,
        "value": metrics.get(f"test_{metric}"),
        "validation_loss": metrics.get("validation_loss"),
        "parameters": _whole(run.data.params.get(SIZE) or metrics.get(SIZE)),  # a metric in older runs
        "model": run.data.params.get("model.architecture") or run.data.tags.get("gristmill.base"),
        "steps": _whole(metrics.get("training_steps")),
        "version": number,
        "aliases": sorted(alias for alias, of in model.aliases.items() if of == number) if model else [],
        "warnings": [],
        "seconds": metrics.get("training_seconds"),
        "reason": versions[number].tags.get("gristmill.reason") if number is not None else None,
        "tags": dict(run.data.tags),
    }


def _whole(number: str | float | None) -> int | None:
    return None if number is None else int(number)
