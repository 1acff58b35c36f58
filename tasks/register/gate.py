"""The gate: a new version meets the champion on the same text, and the meeting is written down.

The verdict, with all figures, guards and their worst documents, is the run's artifact `gate/against-version-N.json`.
The next registration finds it there and does not judge again, unless something that it stands on has changed.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.changes.keep import keep_page
from tasks.register.noise import read_noise
from tasks.register.promotion import CHALLENGER, Decision, Score, weigh
from tasks.register.results import Results
from tasks.register.rival import SCORES, Incomparable, scores_of
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import DataError, GristmillError, TransientError
from tasks.stage.identity import fingerprint, hash_file
from tasks.stage.scratch import scratch
from tasks.stage.settings import recipe_path
from tasks.tracking.client import find_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

    from tasks.compare.verdict import Noise


def judge(
    client: "MlflowClient",
    run: "Run",
    version: "ModelVersion",
    champion: "ModelVersion",
    rival: Score,
    score: Score,
    results: Results,
    settings: RegisterSettings,
    number: int,
) -> Decision:
    """Compare a version with the champion, or return the decision that was made about the same two.

    `number`: how many decisions this test text will have made with this one.
    Raises TransientError if a server is away.
    """
    own = results.folder / "evaluation" / SCORES
    key = fingerprint({
        "champion": [champion.version, champion.tags.get("gristmill.model_sha256", ""), rival.signature],
        "scores": hash_file(own), "signature": score.signature, "settings": settings.model_dump(mode="json"),
    })  # fmt: skip
    place = _place(champion.version)
    if (known := _read(client, run, place)).get("key") == key:
        return Decision(known["alias"], known["reason"], known["verdict"])
    name = f"version {champion.version}"
    noise = read_noise(client, results.recipe, score.metric)
    try:
        decision, guards = _compare(client, champion, rival, score, results, settings, noise)
    except (Incomparable, DataError) as error:
        reason = f"cannot tell: {name} cannot be compared with: {error}; it stays champion until `gristmill promote`"
        decision, guards = Decision(CHALLENGER, reason), None
    else:
        luck = "" if noise else f", not counting the luck of seeds (`gristmill noise {results.recipe}` measures it)"
        decision = replace(
            decision,
            reason=f"{decision.reason}{luck}; decision {number} on this test text",
            verdict={**(decision.verdict or {}), "decisions": number},
        )
    _keep_page(client, run, version, champion, results.recipe, noise, decision.reason)
    if guards is not None:
        client.log_dict(run.info.run_id, {"key": key, **asdict(decision), "guards": guards}, place)
    return decision


def _keep_page(
    client: "MlflowClient",
    run: "Run",
    version: "ModelVersion",
    champion: "ModelVersion",
    recipe: str,
    noise: "Noise | None",
    reason: str,
) -> None:
    """Log the page that shows what changed since the champion; a page that cannot be made stops no promotion."""
    if (champion_run := find_run(client, champion.run_id or "")) is None:
        return
    try:
        keep_page(client, run, version, champion_run, champion, recipe, noise, reason)
    except TransientError:
        raise
    except GristmillError as error:
        print(f"register: no page about the changes since version {champion.version}: {error}", file=sys.stderr)


def _compare(
    client: "MlflowClient",
    champion: "ModelVersion",
    rival: Score,
    score: Score,
    results: Results,
    settings: RegisterSettings,
    noise: "Noise | None",
) -> tuple[Decision, list[dict[str, Any]]]:
    """The decision, and the figures of all guards. Raises Incomparable and DataError."""
    from tasks.compare.documents import read_documents
    from tasks.compare.guards import check_guards
    from tasks.compare.verdict import compare

    evaluation = results.settings.get("evaluate") or {}
    own = read_documents(results.folder / "evaluation" / SCORES, results.task)
    with scores_of(client, champion, rival, score, results) as (path, rescored):
        old = read_documents(path, results.task)
    compared = compare(own, old, score.metric, evaluation, margin=settings.margin, noise=noise)
    split, recipe = results.folder / "clean" / "test", recipe_path(results.recipe)
    guards = check_guards(settings.guards, own, old, score.metric, evaluation, split, recipe)
    alias, reason = weigh(settings, compared, guards, f"version {champion.version}")
    figures = {
        **compared.to_json(), "against": int(champion.version), "data": score.text, "rescored": rescored,
        "margin": settings.margin, "stopped_by": [guard.sentence() for guard in guards if guard.stops],
    }  # fmt: skip
    return Decision(alias, reason, figures), [guard.to_json() for guard in guards]


def recall(client: "MlflowClient", run: "Run", against: str) -> Mapping[str, Any] | None:
    """The verdict of the last decision against a version; None if there is none."""
    return _read(client, run, _place(against)).get("verdict")


def _place(against: str) -> str:
    return f"gate/against-version-{against}.json"


def _read(client: "MlflowClient", run: "Run", place: str) -> Mapping[str, Any]:
    """A decision that was written down; empty if there is none, or its file is damaged."""
    run_id = run.info.run_id
    if place not in {item.path for item in client.list_artifacts(run_id, "gate")}:
        return {}
    with scratch("register") as folder:
        try:
            path = Path(client.download_artifacts(run_id, place, str(folder)))
            found = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return {}
    return found if {"key", "alias", "reason", "verdict"} <= set(found) else {}
