"""What is known of a trained model: the files of its run under their names there, its tags and metrics."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.changes.manifest import FOLDER, STAGES, Manifest, list_documents, read_manifest, write_manifests
from tasks.stage.errors import DataError, GristmillError
from tasks.stage.run import DATA
from tasks.stage.settings import read_yaml, recipe_path
from tasks.stage.task import TASKS
from tasks.tracking.client import lost_is_transient
from tasks.tracking.embedded import local_folder, stored_files
from tasks.tracking.record import journal_path, read_journal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOCK, HISTORY, REPORT = "dvc.lock", "training/history.csv", "reports/train.json"
METRICS, SCORES = "evaluation/metrics.json", "evaluation/scores.parquet"
ENVIRONMENT = "environment/requirements.txt"
RESCORED = "rescored"
"""Where register keeps the scores of a champion on the test text of a newer model: `rescored/<key>/scores.parquet`."""
WANTED = re.compile(
    rf"recipes/[^/]+\.yaml|{re.escape(LOCK)}|{FOLDER}/\w+\.parquet|{ENVIRONMENT}|{HISTORY}|{REPORT}|{METRICS}|{SCORES}"
    rf"|{RESCORED}/[^/]+/(?:metrics\.json|scores\.parquet)"
)
"""The artifacts that a comparison reads."""
PLACES = {
    HISTORY: HISTORY, REPORT: "training/report.json", METRICS: METRICS, SCORES: SCORES
}  # fmt: skip
"""Name in a run → path under data/<recipe>/."""
COMMIT, DIRTY = "mlflow.source.git.commit", "gristmill.git.dirty"


@dataclass(frozen=True)
class Record:
    """A trained model."""

    name: str
    """As it is called on tables: `tiny:3`."""
    recipe: str
    files: Mapping[str, Path]
    """Name in the run → file; what an older run lacks is missing."""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of MLflow, by its names: `test_bits_per_byte`; empty for data/<recipe>."""
    run_id: str | None = None
    environment: str | None = None
    """The packages, if no file has them."""
    corpora: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """Stage (`raw`, `train`, …) → shards with its documents, where they are still at hand."""
    objects: Path | None = None
    """The folder of DVC's cache with files by their MD5 (`files/md5`), if it is known."""

    @property
    def settings(self) -> dict[str, Any] | None:
        """The recipe as it was written; None if it is not recorded."""
        path = next((path for name, path in self.files.items() if name.startswith("recipes/")), None)
        return None if path is None else read_yaml(path)

    @property
    def task(self) -> str | None:
        """The recipe's task; None if it is not recorded."""
        task = (self.settings or {}).get("task")
        return str(task) if task in TASKS else None

    @property
    def commit(self) -> str | None:
        """The git commit, if it was recorded."""
        return self.tags.get(COMMIT) or None

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object; empty if it is not recorded. Raises DataError for a damaged file."""
        if (path := self.files.get(name)) is None:
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(f"{self.name}: {name}: invalid JSON: {error}") from error

    def documents(self, stage: str) -> Manifest | None:
        """The documents of a stage (`raw`, `train`, …), from their list or, for an older run, from the corpus.

        None if neither is at hand. Raises DataError for a damaged file.
        """
        if (path := self.files.get(f"{FOLDER}/{stage}.parquet")) is not None:
            return read_manifest(path)
        shards = self.corpora.get(stage)
        return None if shards is None else list_documents(shards)

    def read_text(self, name: str) -> str | None:
        """A text file; None if it is not recorded."""
        path = self.files.get(name)
        return None if path is None else path.read_text(encoding="utf-8", errors="replace")


def local_record(recipe: str, name: str = "") -> Record:
    """What lies in data/<recipe> now. Raises GristmillError if no model was evaluated there, RecipeError for a recipe
    that cannot be read."""
    folder = DATA / recipe
    files = {f"recipes/{recipe}.yaml": recipe_path(recipe), LOCK: Path(LOCK)}
    files |= {name: folder / place for name, place in PLACES.items()}
    files = {name: path for name, path in files.items() if path.is_file()}
    if METRICS not in files:
        raise GristmillError(f"{folder}: no evaluated model; run: gristmill run {recipe}")
    found = Record(name or f"data/{recipe}", recipe, files | write_manifests(folder))
    identity = (found.read_json(REPORT).get("details") or {}).get("identity")
    journal = read_journal(journal_path(recipe, str(identity)))
    corpora = {stage: tuple(sorted((folder / place).glob("part-*.parquet"))) for stage, place in STAGES.items()}
    return Record(
        found.name, recipe, found.files, journal.tags, environment=installed(),
        corpora={stage: shards for stage, shards in corpora.items() if shards},
    )  # fmt: skip


def record_of_run(
    client: "MlflowClient", run: "Run", recipe: str, name: str, folder: Path, objects: Path | None = None
) -> Record:
    """A run in MLflow; artifacts that are not on this machine are downloaded into `folder`, which should be empty.

    Raises TransientError if a tracking server does not answer, GristmillError if the artifacts cannot be read.
    """
    own = local_folder(run.info.artifact_uri)
    if own is not None:
        files = {path.relative_to(own).as_posix(): path for path in stored_files(own)}
        files = {name: path for name, path in files.items() if WANTED.fullmatch(name)}
    else:
        with lost_is_transient():
            files = _download(client, run, folder)
    shards = {} if objects is None else _cached(files.get(LOCK), recipe, objects)
    metrics = {key: value for key, value in run.data.metrics.items() if not key.startswith("system/")}
    return Record(name, recipe, files, run.data.tags, metrics, run.info.run_id, corpora=shards, objects=objects)


def _download(client: "MlflowClient", run: "Run", folder: Path) -> dict[str, Path]:
    found = {}
    parents: list[str | None] = [None, "recipes", FOLDER, "environment", "training", "reports", "evaluation", RESCORED]
    for parent in parents:
        for item in client.list_artifacts(run.info.run_id, parent):
            if item.is_dir and parent == RESCORED:
                parents.append(item.path)
            elif WANTED.fullmatch(item.path):
                folder.mkdir(parents=True, exist_ok=True)
                found[item.path] = Path(client.download_artifacts(run.info.run_id, item.path, str(folder)))
    return found


def _cached(lock: Path | None, recipe: str, objects: Path) -> dict[str, tuple[Path, ...]]:
    """Stage → its shards in DVC's cache, for corpora that are there whole."""
    hashes = outputs_of(read_yaml(lock), recipe) if lock is not None else {}
    found = {}
    for stage, place in STAGES.items():
        top, _, inner = place.partition("/")
        listing = hashes.get(f"{DATA}/{recipe}/{top}")
        paths = None if listing is None else cached_files(objects, listing)
        shards = {
            Path(name).name: path for name, path in (paths or {}).items()
            if Path(name).parent.as_posix() == (inner or ".") and Path(name).match("part-*.parquet")
        }  # fmt: skip
        if shards and all(path.is_file() for path in shards.values()):
            found[stage] = tuple(shards[name] for name in sorted(shards))
    return found


def cached_files(objects: Path, md5: str) -> dict[str, Path]:
    """Name → path in DVC's cache, of the files in a folder."""
    try:
        items = json.loads(object_path(objects, md5).read_text(encoding="utf-8"))
        return {str(item["relpath"]): object_path(objects, str(item["md5"])) for item in items}
    except (OSError, ValueError, TypeError, KeyError):  # lost or damaged: the text is not at hand
        return {}


def object_path(objects: Path, md5: str) -> Path:
    """Where DVC's cache keeps the file with this MD5."""
    return objects / md5[:2] / md5[2:]


def outputs_of(lock: Mapping[str, Any], recipe: str) -> dict[str, str]:
    """Path → MD5 of the outputs of a recipe's stages in dvc.lock."""
    stages = {key: stage for key, stage in (lock.get("stages") or {}).items() if key.partition("@")[2] == recipe}
    return {item["path"]: item["md5"] for stage in stages.values() for item in stage.get("outs", ()) if "md5" in item}


@cache
def installed() -> str:
    """The packages of this environment in the format of `pip freeze`."""
    names = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    return "".join(f"{name}=={names[name]}\n" for name in sorted(names, key=str.lower))
