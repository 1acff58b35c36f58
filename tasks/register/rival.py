"""The champion's document scores on the new model's test text.

They are among the artifacts of its run if it was evaluated on this text, with these settings. Else the champion is
loaded from the registry and scored again, in a process of its own, and the scores are kept with its run:

    evaluation/scores.parquet          as the stage `evaluate` wrote them
    rescored/<key>/scores.parquet      on another text; the key is the hash of what makes scores comparable
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.changes.record import RESCORED
from tasks.register.promotion import Score
from tasks.register.results import Results
from tasks.stage.apart import run_apart
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError, TransientError
from tasks.stage.identity import fingerprint
from tasks.stage.scratch import scratch
from tasks.tracking.client import IDENTITY, find_run, lost_is_transient
from tasks.tracking.embedded import local_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SCORES, METRICS = "scores.parquet", "metrics.json"


class Incomparable(GristmillError):
    """The champion cannot be compared with; the message says why."""


@contextmanager
def scores_of(
    client: "MlflowClient", champion: "ModelVersion", rival: Score, score: Score, results: Results
) -> Iterator[tuple[Path, bool]]:
    """The champion's scores.parquet on the text of `score`, and whether it had to be scored again.

    Raises Incomparable, and TransientError if a server is away.
    """
    with scratch("register") as folder:
        kept = f"{RESCORED}/{fingerprint(score.parts)[:16]}"
        run = find_run(client, champion.run_id or "")
        for place in (kept,) if score.differs_in(rival) else ("evaluation", kept):
            found = None if run is None else _stored(client, run.info.run_id, place, folder)
            if found is not None and _fits(found, score):
                yield found / SCORES, place == kept
                return
        found = _rescore(client, champion, results, folder)
        if differing := score.differs_in(_score(found, score.metric)):
            raise Incomparable(f"their signatures differ in {', '.join(differing)}")
        if run is not None:
            client.log_artifacts(run.info.run_id, str(found), kept)
        yield found / SCORES, True


def _stored(client: "MlflowClient", run_id: str, place: str, folder: Path) -> Path | None:
    """A folder of the run with scores and metrics; None if one of them is missing."""
    there = {item.path for item in client.list_artifacts(run_id, place)}
    if not there.issuperset({f"{place}/{SCORES}", f"{place}/{METRICS}"}):
        return None
    return Path(client.download_artifacts(run_id, place, str(folder)))


def _fits(folder: Path, score: Score) -> bool:
    """Whether the metrics in a folder are whole and comparable with `score`."""
    try:
        return not score.differs_in(_score(folder, score.metric))
    except (ValueError, KeyError, TypeError):
        return False


def _score(folder: Path, metric: str) -> Score:
    found: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return Score(metric, float(found[metric]), str(found["signature"]))


def _rescore(client: "MlflowClient", champion: "ModelVersion", results: Results, folder: Path) -> Path:
    """Score the champion's model on the recipe's test split."""
    model, out = _model_of(client, champion, folder), folder / "again"
    print(f"register: scoring version {champion.version} on this test text", file=sys.stderr, flush=True)
    code, problem = run_apart("tasks.evaluate.rescore", results.recipe, str(model), str(out))
    if problem is None:
        return out
    raise TransientError(problem) if code == EXIT_TRANSIENT else Incomparable(problem)


def _model_of(client: "MlflowClient", champion: "ModelVersion", folder: Path) -> Path:
    """The plain Hugging Face folder of a version. Raises Incomparable if it is not ours, or gone."""
    if IDENTITY not in champion.tags:
        raise Incomparable("it is not a model of Gristmill")
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    uri = client.get_model_version_download_uri(champion.name, champion.version)
    local = local_folder(uri)
    if local is None:
        try:
            with lost_is_transient():
                local = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder / "champion")))
        except MlflowException as error:
            raise Incomparable(f"its model cannot be read ({error})") from error
    model = local / "artifacts" / "model"
    if not (model / "config.json").is_file():
        raise Incomparable("its model is gone from MLflow")
    return model
