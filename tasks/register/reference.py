"""Names a trained model on the command line: a recipe, an alias, a version, or a run."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.register.aliases import Registered, read_registered
from tasks.register.promotion import CHAMPION
from tasks.register.registry import model_name
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import GristmillError
from tasks.stage.problems import nearest
from tasks.stage.settings import known_recipes, read_section
from tasks.tracking.client import IDENTITY, RECIPE, find_run, lost_is_transient

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

FORMS = "RECIPE (its champion), RECIPE@ALIAS, MODEL:VERSION, or the id or name of a run"
RUN_ID = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True)
class Reference:
    """A trained model: its run, and its version if it has one."""

    name: str
    """As its user would write it: `shakespeare:3`, or the name of the run."""
    recipe: str
    run: "Run"
    version: "ModelVersion | None"


def find_reference(client: "MlflowClient", text: str) -> Reference:
    """The model that `text` names: `shakespeare`, `shakespeare@challenger`, `shakespeare:3`, a run's id or name.

    A run's id may be cut to its first 8 characters. Raises GristmillError for anything unknown or ambiguous,
    TransientError if a tracking server does not answer.
    """
    with lost_is_transient():
        name, separator, rest = _split(text)
        if separator or name in known_recipes() or read_registered(client, name) is not None:
            return _version(client, text, name, separator, rest)
        return _of_run(client, _run(client, text))


def _split(text: str) -> tuple[str, str, str]:
    """`shakespeare@champion` and `shakespeare:3` in three parts; the last two are empty for other texts."""
    found = re.fullmatch(r"(.+)([@:])(.*)", text)
    return (found[1], found[2], found[3]) if found else (text, "", "")


def _version(client: "MlflowClient", text: str, name: str, separator: str, rest: str) -> Reference:
    if name in known_recipes():
        name = model_name(name, read_section(name, "register", RegisterSettings))
    model = read_registered(client, name)
    if model is None or not model.versions:
        raise GristmillError(f"{text}: MLflow has no registered model {name!r}; expected {FORMS}{_near(name)}")
    version = _numbered(model, text, rest) if separator == ":" else _aliased(model, text, rest or CHAMPION)
    run = find_run(client, version.run_id or "")
    if run is None:
        raise GristmillError(f"{name}:{version.version}: its run was deleted in MLflow")
    return Reference(f"{name}:{version.version}", _recipe_of(run, version.tags, name), run, version)


def _numbered(model: Registered, text: str, number: str) -> "ModelVersion":
    version = model.versions.get(int(number)) if number.isdecimal() else None
    if version is None:
        there = ", ".join(map(str, sorted(model.versions)))
        raise GristmillError(f"{text}: {model.name} has no version {number or '(empty)'} (available: {there})")
    return version


def _aliased(model: Registered, text: str, alias: str) -> "ModelVersion":
    version = model.holder(alias)
    if version is None:
        there = ", ".join(sorted(model.aliases)) or "none"
        raise GristmillError(f"{text}: no version of {model.name} has the alias {alias} (available: {there})")
    return version


def _run(client: "MlflowClient", text: str) -> "Run":
    """The run with this id, the beginning of an id, or name."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    quoted = text.replace("'", "")
    filters = [f"attributes.run_name = '{quoted}'"]
    if RUN_ID.fullmatch(text):
        filters = [f"attributes.run_id LIKE '{text}%'", *filters]
    for wanted in filters:
        found = client.search_runs(experiments, wanted, max_results=3) if experiments else []
        if len(found) > 1:
            some = ", ".join(run.info.run_id for run in found)
            raise GristmillError(f"{text}: several runs are meant ({some}); write one of these ids")
        if found:
            return client.get_run(found[0].info.run_id)
    raise GristmillError(f"{text}: MLflow has no such run, model or recipe; expected {FORMS}{_near(text)}")


def _of_run(client: "MlflowClient", run: "Run") -> Reference:
    versions = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    version = max(versions, key=lambda each: int(each.version), default=None)
    name = str(run.info.run_name) if version is None else f"{version.name}:{version.version}"
    return Reference(name, _recipe_of(run, {}, name), run, version)


def _recipe_of(run: "Run", tags: dict[str, str], name: str) -> str:
    recipe = run.data.tags.get(RECIPE) or tags.get(RECIPE)
    if recipe is None or IDENTITY not in run.data.tags:
        raise GristmillError(f"{name}: not a model of Gristmill: run {run.info.run_id} has no tag {IDENTITY}")
    return recipe


def _near(name: str) -> str:
    return nearest(name, known_recipes())
