"""Reads a record from MLflow's SQLite database, opened read-only; see `recorded`."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tasks.tracking.client import IDENTITY, PLACE, RECIPE
from tasks.tracking.dead import is_dead
from tasks.tracking.embedded import PATIENCE, displaced, local_folder, stored_files

RUNS = """runs WHERE experiment_id = :experiment AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = :key AND value =
        (SELECT value FROM tags WHERE key = :key AND run_uuid = :run_id))"""
OF_RUNS = f"run_uuid IN (SELECT run_uuid FROM {RUNS})"
INPUTS = f"""inputs WHERE source_id IN (SELECT run_uuid FROM {RUNS})
    OR destination_id IN (SELECT run_uuid FROM {RUNS})"""
MODELS = f"logged_models WHERE source_run_id IN (SELECT run_uuid FROM {RUNS})"
OF_MODELS = f"model_id IN (SELECT model_id FROM {MODELS})"
PLACES = f"SELECT artifact_uri FROM {RUNS} UNION SELECT artifact_location FROM {MODELS} ORDER BY 1"
RUNNING = """SELECT tags.value, places.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = :key
    LEFT JOIN tags AS places ON places.run_uuid = runs.run_uuid AND places.key = :place
    WHERE status = 'RUNNING' AND lifecycle_stage = 'active' AND runs.run_uuid != :run_id
    AND experiment_id = :experiment"""
"""Identity and place of all other trainings that MLflow calls RUNNING."""
ROWS = {
    "schema": "alembic_version",
    "experiments": "experiments WHERE experiment_id = :experiment",
    "experiment_tags": "experiment_tags WHERE experiment_id = :experiment AND key = :recipe_key",
    "runs": RUNS,
    "params": f"params WHERE {OF_RUNS}",
    "tags": f"tags WHERE {OF_RUNS}",
    "metrics": f"metrics WHERE {OF_RUNS}",
    "latest_metrics": f"latest_metrics WHERE {OF_RUNS}",
    "inputs": INPUTS,
    "input_tags": f"input_tags WHERE input_uuid IN (SELECT input_uuid FROM {INPUTS})",
    "datasets": f"datasets WHERE dataset_uuid IN (SELECT source_id FROM {INPUTS})",
    "models": MODELS,
    "model_tags": f"logged_model_tags WHERE {OF_MODELS}",
    "registered": "registered_models WHERE name = :model",
    "registered_tags": "registered_model_tags WHERE name = :model",
    "versions": "model_versions WHERE name = :model",
    "version_tags": "model_version_tags WHERE name = :model",
    "version_aliases": "registered_model_aliases WHERE name = :model",
}
"""Rows that register reads: the experiment, all runs of the training's identity, all versions of the model."""


def read_database(path: Path, recipe: str, registration: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows and files of a record; None if the database or the location of the files is not as expected."""
    wanted = {
        "experiment": registration["experiment_id"], "recipe_key": RECIPE, "key": IDENTITY,
        "run_id": registration["run_id"], "model": registration["model"],
    }  # fmt: skip
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)
        with closing(connection):
            connection.execute("BEGIN")  # one snapshot for all queries
            found: dict[str, Any] = {
                name: _sorted(connection.execute(f"SELECT * FROM {rows}", wanted)) for name, rows in ROWS.items()
            }
            aliases = connection.execute(f"SELECT alias, version FROM {ROWS['version_aliases']}", wanted).fetchall()
            places = connection.execute(PLACES, wanted).fetchall()
            elsewhere = displaced(connection)
            running = connection.execute(RUNNING, wanted | {"place": PLACE}).fetchall()
    except sqlite3.Error:
        return None
    folders = [folder for (uri,) in places if (folder := local_folder(uri)) is not None]
    dead = any(is_dead(recipe, identity, place) for identity, place in running)
    if elsewhere or dead or not found["runs"] or not found["models"] or len(folders) != len(places):
        return None
    return {**found, "files": [_files(folder) for folder in folders], "aliases": dict(aliases)}


def _sorted(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return sorted(([_plain(value) for value in row] for row in rows), key=repr)


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, (bytes, float)) else value


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of change; MLflow keeps no hashes of artifacts."""
    found = ((path.relative_to(folder).as_posix(), path.stat()) for path in stored_files(folder))
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]
