"""What a run recorded, for `gristmill reproduce`, and the verdict that it writes back."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.register.reference import find_reference
from tasks.register.results import LOCK
from tasks.register.sync_run import FILES
from tasks.stage.errors import GristmillError
from tasks.stage.run import DATA, write_json
from tasks.stage.scratch import scratch
from tasks.stage.settings import RECIPES, read_yaml
from tasks.tracking.client import connect, lost_is_transient, patience
from tasks.tracking.provenance import Provenance, read_provenance

if TYPE_CHECKING:
    from mlflow.entities import Run

REPRODUCED = "gristmill.reproduced"
COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Item:
    """An input or an output of a stage in dvc.lock, with DVC's MD5; a directory's ends with `.dir`."""

    path: str
    md5: str | None


@dataclass(frozen=True)
class Entry:
    """A stage in dvc.lock."""

    address: str
    command: str
    deps: tuple[Item, ...]
    outs: tuple[Item, ...]

    @property
    def stage(self) -> str:
        """`train` of `train@shakespeare`."""
        return self.address.partition("@")[0]


@dataclass(frozen=True)
class Recorded:
    """A run with the files that it keeps."""

    name: str
    recipe: str
    run_id: str
    tags: dict[str, str]
    folder: Path
    """Its artifacts."""
    commit: str
    provenance: Provenance | None
    """None for a run of an older Gristmill."""
    stages: dict[str, Entry]
    """All stages of its dvc.lock by address, those of other recipes included."""

    def own(self) -> list[Entry]:
        """The stages of its recipe."""
        return [entry for entry in self.stages.values() if entry.address.endswith(f"@{self.recipe}")]

    def artifact(self, path: str) -> Path | None:
        """The run's copy of an output, such as data/x/training/history.csv; None if it keeps none."""
        name = Path(path).relative_to(DATA / self.recipe).as_posix()
        place = self.folder / FILES.get(name, name)
        return place if place.exists() else None


def read_recorded(text: str, place: Path) -> Recorded:
    """Find the run that `text` names and fetch its artifacts into an empty folder.

    Raises GristmillError for an unknown run and for one that lacks what rebuilds it; TransientError as `connect`.
    """
    with patience(retries=3, seconds=60), lost_is_transient():
        client = connect()
        found = find_reference(client, text)
        run = found.run
        client.download_artifacts(run.info.run_id, "", str(place))
    provenance = read_provenance(place / "provenance")
    commit = (provenance and provenance.commit) or run.data.tags.get(COMMIT)
    if commit is None:
        why = f" ({'; '.join(provenance.reasons)})" if provenance and provenance.reasons else ""
        raise GristmillError(f"{found.name}: its run records no git commit{why}, so it cannot be rebuilt")
    if not (place / LOCK).is_file() or not (place / RECIPES / f"{found.recipe}.yaml").is_file():
        raise GristmillError(
            f"{found.name}: its run has no {LOCK} or recipe among its artifacts; it was never registered"
        )
    stages = _entries(place / LOCK)
    if not any(address.endswith(f"@{found.recipe}") for address in stages):
        raise GristmillError(
            f"{found.name}: the {LOCK} of its run has no stage of {found.recipe}, so no hash to compare with"
        )
    return Recorded(
        found.name, found.recipe, run.info.run_id, dict(run.data.tags), place, commit, provenance, stages
    )  # fmt: skip


def log_verdict(recorded: Recorded, verdict: Mapping[str, Any], sentence: str, whole: bool) -> None:
    """Add a verdict to its run: an artifact, and a tag with its sentence.

    A verdict on some stages (not `whole`) that found nothing wrong leaves the tag of a whole one in place. A server
    that is away costs a warning.
    """
    try:
        with patience(retries=1, seconds=30), lost_is_transient(), scratch("verdict") as folder:
            client = connect()
            path = folder / f"{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}.json"
            write_json(path, verdict)
            client.log_artifact(recorded.run_id, str(path), "reproductions")
            run: Run = client.get_run(recorded.run_id)
            if whole or not verdict["same"] or REPRODUCED not in run.data.tags:
                client.set_tag(recorded.run_id, REPRODUCED, sentence)
    except GristmillError as error:
        print(f"warning: the verdict is not in MLflow: {error}", file=sys.stderr, flush=True)


def _entries(path: Path) -> dict[str, Entry]:
    stages = read_yaml(path).get("stages") or {}
    try:
        return {
            address: Entry(address, str(entry["cmd"]), _items(entry.get("deps")), _items(entry.get("outs")))
            for address, entry in stages.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise GristmillError(f"the {LOCK} of the run is damaged: {json.dumps(str(error))}") from error


def _items(given: Any) -> tuple[Item, ...]:
    """DVC lists a dependency twice that dvc.yaml names twice."""
    md5 = {item["path"]: item.get("md5") if item.get("hash") == "md5" else None for item in given or ()}
    return tuple(Item(path, value) for path, value in md5.items())
