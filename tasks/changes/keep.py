"""Keeps the comparison with the champion among a run's artifacts, the answer to "why did this become champion"."""

from typing import TYPE_CHECKING

from tasks.changes.page import write_page
from tasks.changes.record import local_record, record_of_run
from tasks.stage.scratch import scratch
from tasks.tracking.client import lost_is_transient

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

    from tasks.compare.verdict import Noise

FOLDER = "compare"


def keep_page(
    client: "MlflowClient",
    run: "Run",
    version: "ModelVersion",
    champion_run: "Run",
    champion: "ModelVersion",
    recipe: str,
    noise: "Noise | None" = None,
    reason: str = "",
) -> str:
    """Compare the model in data/<recipe>, `version` of `run`, with the champion, and log the page to `run`.

    `noise`, `reason`: see `tasks.changes.differences.find_changes`. Returns the artifact's path,
    `compare/against-version-3.html`; one that is there is replaced. Raises TransientError if a tracking server does not
    answer.
    """
    with scratch("page") as folder:
        old = record_of_run(client, champion_run, recipe, f"{champion.name}:{champion.version}", folder / "champion")
        path = folder / f"against-version-{champion.version}.html"
        write_page(old, local_record(recipe, f"{version.name}:{version.version}"), path, noise, reason)
        with lost_is_transient():
            client.log_artifact(run.info.run_id, str(path), FOLDER)
    return f"{FOLDER}/{path.name}"
