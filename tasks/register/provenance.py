"""Where a run came from, settled at its registration; see `tasks.tracking.provenance`."""

import shutil
import sys
from typing import TYPE_CHECKING

from tasks.register.results import Results
from tasks.stage.scratch import scratch
from tasks.tracking.provenance import STATEMENT, TAG, provenance_folder, read_provenance, settle

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def settle_provenance(client: "MlflowClient", run: "Run", results: Results) -> dict[str, str]:
    """Keep what the run came from beside its training, and return its tags; says so if that has changed.

    A copy of the project without these files takes them from the run.
    """
    folder = provenance_folder(results.recipe, results.identity)
    if read_provenance(folder) is None and run.data.tags.get(TAG) == "yes":
        with scratch("provenance") as place:
            if any(
                item.path == f"provenance/{STATEMENT}" for item in client.list_artifacts(run.info.run_id, "provenance")
            ):
                client.download_artifacts(run.info.run_id, "provenance", str(place))
                folder.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
                shutil.move(place / "provenance", folder)
    found = settle(results.recipe, results.identity, registering=True)
    tags = {TAG: found.rebuildable}
    if found.commit is not None and "mlflow.source.git.commit" not in run.data.tags:
        tags["mlflow.source.git.commit"] = found.commit
    if found.reasons or run.data.tags.get(TAG) != found.rebuildable:
        print(f"register: {found.sentence()}", file=sys.stderr, flush=True)
    return tags
