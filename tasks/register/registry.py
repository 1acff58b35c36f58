"""Versions of the registered model: identified by training and weights, marked by aliases, not by MLflow's stages."""

from typing import TYPE_CHECKING, Any

from tasks.register.package import SHA256
from tasks.register.promotion import CHALLENGER, CHAMPION, Decision, Score, decide
from tasks.register.results import Results
from tasks.register.settings import RegisterSettings, problems
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.settings import recipe_path
from tasks.tracking.client import IDENTITY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

METRIC, VALUE, SIGNATURE, REASON, BY_HAND = (
    f"gristmill.{name}" for name in ("metric", "value", "signature", "reason", "promoted_by_hand")
)


def model_name(recipe: str, settings: RegisterSettings) -> str:
    """The name of a recipe's registered model."""
    return settings.model_name or recipe


def find_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """The version with an alias, or None, also if the model does not exist yet."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def find_version(client: "MlflowClient", name: str, results: Results) -> "ModelVersion | None":
    """The version with this training and these weights, or None."""
    versions = client.search_model_versions(f"name = '{name}' AND tags.`{IDENTITY}` = '{results.identity}'")
    same = [version for version in versions if version.tags.get(SHA256) == results.model_sha256]
    return min(same, key=lambda version: int(version.version), default=None)


def headline(results: Results, settings: RegisterSettings) -> Score:
    """The score that decides.

    Raises RecipeError if the settings do not fit the task, DataError if the evaluation lacks the metric or a baseline.
    """
    recipe = recipe_path(results.recipe)
    if found := list(problems(settings, results.task)):
        raise RecipeError("\n".join(f"{recipe}: register.{problem}" for problem in found))
    path, metric = results.folder / "evaluation" / "metrics.json", settings.metric_of(results.task)
    for key in (metric, *(f"{name}_{metric}" for name in settings.beat)):
        if key not in results.metrics:
            raise DataError(f"{path}: {key}: missing, but `register` in {recipe} needs it")
    return Score(metric, float(results.metrics[metric]), results.signature)


def register(
    client: "MlflowClient", run: "Run", model: "LoggedModel", results: Results, settings: RegisterSettings
) -> dict[str, Any]:
    """Find or create the version and set its alias; returns the registration, with the reason."""
    name = model_name(results.recipe, settings)
    score = headline(results, settings)
    version = find_version(client, name, results)
    new = version is None
    if version is None:
        version = _create(client, name, run, model, results, score)
    else:
        _set_tags(client, version, _score_tags(score))
    champion = find_alias(client, name, CHAMPION)
    if champion is not None and int(champion.version) == int(version.version):
        reason = version.tags.get(REASON) or "it is the champion"
        decision = Decision(CHAMPION, reason)
    elif champion is not None and not new and BY_HAND in champion.tags:
        decision = Decision(CHALLENGER, f"version {champion.version} was made champion by hand, after this one")
    else:
        decision = decide(
            settings, score, results.metrics, _score_of(champion), str(champion.version) if champion else ""
        )
    _crown(client, version, decision, champion)
    reigning = version if decision.alias == CHAMPION else champion
    return {
        "recipe": results.recipe,
        "model": name,
        "version": int(version.version),
        "new": new,
        "alias": decision.alias,
        "reason": decision.reason,
        "metric": score.metric,
        "value": score.value,
        "champion": None if reigning is None else int(reigning.version),
        "model_uri": f"models:/{name}@{decision.alias}",
        "run_id": run.info.run_id,
        "run_name": run.info.run_name,
        "experiment_id": run.info.experiment_id,
    }


def promote(client: "MlflowClient", name: str, number: int) -> "ModelVersion | None":
    """Make a version champion whatever its score, until a new version is better. Returns the previous champion.

    Raises GristmillError if there is no such version.
    """
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    if number not in versions:
        there = ", ".join(map(str, sorted(versions))) or "none"
        raise GristmillError(f"{name} has no version {number} (available: {there})")
    version, old = client.get_model_version(name, str(number)), find_alias(client, name, CHAMPION)
    if old is not None and int(old.version) == number:
        return old
    _crown(client, version, Decision(CHAMPION, "made champion by hand"), old)
    _set_tags(client, version, {BY_HAND: "yes"})
    return old


def _create(
    client: "MlflowClient", name: str, run: "Run", model: "LoggedModel", results: Results, score: Score
) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=str(results.settings.get("description") or "") or None)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {IDENTITY: results.identity, SHA256: results.model_sha256, "gristmill.recipe": results.recipe}
    return client.create_model_version(
        name, f"models:/{model.model_id}", run.info.run_id, tags | _score_tags(score), model_id=model.model_id
    )


def _score_tags(score: Score) -> dict[str, str]:
    return {METRIC: score.metric, VALUE: repr(score.value), SIGNATURE: score.signature}


def _score_of(version: "ModelVersion | None") -> Score | None:
    """The recorded score; a version registered by hand has none and is comparable with nothing."""
    if version is None:
        return None
    tags = version.tags
    return Score(tags.get(METRIC, "unknown metric"), float(tags.get(VALUE, "nan")), tags.get(SIGNATURE, ""))


def _crown(
    client: "MlflowClient", version: "ModelVersion", decision: Decision, champion: "ModelVersion | None"
) -> None:
    """Set a version's alias and reason; a new champion replaces the old one."""
    name, aliases = version.name, set(version.aliases)
    if decision.alias not in aliases:
        client.set_registered_model_alias(name, decision.alias, version.version)
    if decision.alias == CHAMPION and CHALLENGER in aliases:
        client.delete_registered_model_alias(name, CHALLENGER)
    _set_tags(client, version, {REASON: decision.reason})
    description = f"{decision.alias}: {decision.reason}. Trained as {version.tags[IDENTITY][:12]}."
    if version.description != description:
        client.update_model_version(name, version.version, description)
    if champion is not None and decision.alias == CHAMPION and int(champion.version) != int(version.version):
        _dethrone(client, champion, version)


def _dethrone(client: "MlflowClient", old: "ModelVersion", new: "ModelVersion") -> None:
    reason = f"was champion until version {new.version}"
    _set_tags(client, old, {REASON: reason})
    if BY_HAND in old.tags:
        client.delete_model_version_tag(old.name, old.version, BY_HAND)
    client.update_model_version(old.name, old.version, reason)


def _set_tags(client: "MlflowClient", version: "ModelVersion", tags: dict[str, str]) -> None:
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(version.name, version.version, key, value)
