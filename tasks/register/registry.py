"""Versions of the registered model: identified by training and weights, marked by aliases, not by MLflow's stages."""

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from tasks.register.aliases import (
    BY_HAND,
    REASON,
    REPLACED,
    Registered,
    adopt,
    crown,
    describe,
    read_registered,
    set_tags,
    succeed,
)
from tasks.register.gate import judge, recall
from tasks.register.ledger import read_ledger
from tasks.register.package import SHA256
from tasks.register.promotion import CHALLENGER, CHAMPION, Decision, Score, bars, doubts
from tasks.register.results import Results
from tasks.register.seen import read_seen
from tasks.register.settings import RegisterSettings, problems
from tasks.register.variants import PASSED, follow, passed
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tasks.stage.settings import recipe_path
from tasks.stage.task import FAMILIES
from tasks.tracking.client import IDENTITY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

METRIC, VALUE, SIGNATURE, BASELINES = (f"gristmill.{name}" for name in ("metric", "value", "signature", "baselines"))

AGAINST = "gristmill.against"
"""The tag with the champion that a version was judged against."""
JUDGED = {AGAINST, REPLACED}


def model_name(recipe: str, settings: RegisterSettings) -> str:
    """The name of a recipe's registered model."""
    return settings.model_name or recipe


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
    """Find or create the version and set its alias; returns the registration, with the reason.

    A version of this training whose run or logged model is gone is replaced by a new one.
    """
    name = model_name(results.recipe, settings)
    score, tags = headline(results, settings), _score_tags(results, settings)
    tags |= {PASSED: json.dumps(passed(results, score.metric))} if results.compared else {}
    registered = _registered(client, name, results)
    adopt(client, registered)
    same = [version for version in registered.versions.values() if _is_of(version, results)]
    whole = [each for each in same if each.source == _source(model) and each.run_id == run.info.run_id]
    lost = [each for each in same if each not in whole and REPLACED not in each.tags]
    version = min(whole, key=lambda each: int(each.version), default=None)
    new = version is None
    if version is None:
        version = _create(client, name, run, model, results, tags)
        registered.versions[int(version.version)] = version
        _tell_of_renaming(client, name, run, results.recipe)
    set_tags(client, version, tags)
    for each in lost:
        succeed(client, registered, each, version)
    fresh = new and not lost
    decision = _decide(client, run, registered, version, fresh, score, results, settings)
    if decision.alias == CHAMPION or fresh or not registered.moved_by_hand(CHALLENGER):
        crown(client, registered, version, decision)
    if decision.verdict is not None:
        set_tags(client, version, {AGAINST: str(decision.verdict["against"])})
    warnings = [*warn_of_champion(registered, results.recipe), *_worn_out(registered, score, settings)]
    champion = registered.holder(CHAMPION)
    if champion is version:
        follow(client, registered, version)
    else:
        describe(client, version, f"{CHALLENGER}: {decision.reason}")
    if champion is not None:
        describe(client, champion, f"{CHAMPION}: {champion.tags.get(REASON)}", warnings)
    alias = decision.alias if registered.holder(decision.alias) is version else None  # a hand gave it to another
    return {
        "recipe": results.recipe,
        "model": name,
        "version": int(version.version),
        "new": new,
        "alias": alias,
        "reason": decision.reason,
        "verdict": decision.verdict,
        "metric": score.metric,
        "value": score.value,
        "champion": registered.aliases.get(CHAMPION),
        "warnings": warnings,
        "model_uri": f"models:/{name}@{alias}" if alias else f"models:/{name}/{version.version}",
        "run_id": run.info.run_id,
        "run_name": run.info.run_name,
        "experiment_id": run.info.experiment_id,
    }


def warn_of_champion(model: Registered, recipe: str) -> list[str]:
    """Why the champion may be a bad one, one clause each; see `promotion.doubts`."""
    champion = model.holder(CHAMPION)
    score = None if champion is None else score_of(champion)
    if champion is None or score is None:
        return []
    others = {}
    if BY_HAND not in champion.tags and not model.moved_by_hand(CHAMPION):  # a hand chose it, knowing the others
        unjudged = {number: each for number, each in model.versions.items() if JUDGED.isdisjoint(each.tags)}
        others = {number: found for number, each in unjudged.items() if (found := score_of(each)) is not None}
    return list(doubts(int(champion.version), score, baselines_of(champion), others, f"gristmill promote {recipe}"))


def _worn_out(model: Registered, score: Score, settings: RegisterSettings) -> list[str]:
    """Whether the test text has decided so often that the winners fit it rather than the language."""
    count = read_ledger(model).decisions(score.text)
    if count <= settings.max_decisions:
        return []
    return [
        f"this test text has decided {count} times, more than register.max_decisions {settings.max_decisions}: choose a"
        " new one with another clean.splits.seed"
    ]


def score_of(version: "ModelVersion") -> Score | None:
    """The recorded score; None if a version of somebody else has none."""
    tags = version.tags
    try:
        value = float(tags[VALUE])
    except (KeyError, ValueError):
        return None
    return Score(tags[METRIC], value, tags.get(SIGNATURE, "")) if METRIC in tags and math.isfinite(value) else None


def baselines_of(version: "ModelVersion") -> dict[str, float]:
    """Recorded baselines; empty if they are missing or unreadable."""
    try:
        return {str(name): float(value) for name, value in dict(json.loads(version.tags[BASELINES])).items()}
    except (KeyError, ValueError, TypeError):
        return {}


def _decide(
    client: "MlflowClient",
    run: "Run",
    model: Registered,
    version: "ModelVersion",
    fresh: bool,
    score: Score,
    results: Results,
    settings: RegisterSettings,
) -> Decision:
    champion = model.holder(CHAMPION)
    if champion is version:
        verdict = recall(client, run, version.tags[AGAINST]) if AGAINST in version.tags else None
        return Decision(CHAMPION, version.tags.get(REASON) or "it is the champion", verdict)
    if not fresh and champion is not None and BY_HAND in champion.tags:
        return Decision(CHALLENGER, f"version {champion.version} was made champion by hand, after this one")
    if not fresh and champion is None and model.moved_by_hand(CHAMPION):
        return Decision(CHALLENGER, "the alias champion was taken away by hand")
    if (failed := bars(settings, score, results.metrics)) is not None:
        return Decision(CHALLENGER, failed)
    if champion is None:
        return Decision(CHAMPION, f"there was no champion; {score.metric} {score.value:.4f}")
    name = f"version {champion.version}"
    if (rival := score_of(champion)) is None:
        return Decision(CHALLENGER, f"{name} is champion and has no score of Gristmill to compare with")
    if rival.metric != score.metric:
        return Decision(CHALLENGER, f"{name} is champion by its {rival.metric}, which is not comparable")
    number = read_ledger(model).decisions(score.text) + 1
    return judge(client, run, version, champion, rival, score, results, settings, number)


def _tell_of_renaming(client: "MlflowClient", name: str, run: "Run", recipe: str) -> None:
    """Say that this training is registered under another name, too: somebody renamed the model in MLflow's pages."""
    found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    for other in sorted({version.name for version in found if version.name != name and _is_original(version)}):
        print(
            f"register: WARNING: this training is also registered as {other}; if somebody renamed {name}, write"
            f" register.model_name: {other} in {recipe_path(recipe)} and delete {name} in MLflow",
            file=sys.stderr,
            flush=True,
        )


def _source(model: "LoggedModel") -> str:
    return f"models:/{model.model_id}"


def _is_of(version: "ModelVersion", results: Results) -> bool:
    """Whether a version is of this training and these weights, and no copy."""
    return (
        _is_original(version)
        and version.tags.get(IDENTITY) == results.identity
        and version.tags.get(SHA256) == results.model_sha256
    )


def _is_original(version: "ModelVersion") -> bool:
    """Whether a version is no copy of another one: its source is a logged model, `m-…`."""
    return (version.source or "").startswith("models:/m-")


def _registered(client: "MlflowClient", name: str, results: Results) -> Registered:
    """The registered model; created if need be. Raises GristmillError if MLflow has a prompt of that name."""
    from mlflow.exceptions import MlflowException

    seen = read_seen(results.recipe, name)
    if (found := read_registered(client, name, seen)) is not None:
        return found
    try:
        client.create_registered_model(name, description=str(results.settings.get("description") or "") or None)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = read_registered(client, name, seen)
    if found is None:
        raise GristmillError(f"{name} is a prompt in MLflow; give the model another name with register.model_name")
    return found


def _create(
    client: "MlflowClient", name: str, run: "Run", model: "LoggedModel", results: Results, tags: dict[str, str]
) -> "ModelVersion":
    known = {IDENTITY: results.identity, SHA256: results.model_sha256, "gristmill.recipe": results.recipe}
    return client.create_model_version(name, _source(model), run.info.run_id, known | tags, model_id=model.model_id)


def _score_tags(results: Results, settings: RegisterSettings) -> dict[str, str]:
    score = headline(results, settings)
    names = FAMILIES[results.task].metrics[score.metric]
    baselines = {name: value for name in names if (value := results.metrics.get(f"{name}_{score.metric}")) is not None}
    return {
        METRIC: score.metric, VALUE: repr(score.value), SIGNATURE: score.signature, BASELINES: json.dumps(baselines)
    }  # fmt: skip
