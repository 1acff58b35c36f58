"""The embedded record: `mlflow.db` and `mlruns/` in the project. It moves with the project. Experiments of DVC that
run in a temporary copy of the project write to it, too.

MLflow notes absolute paths. In a project that was moved or copied they lead to the old folder, so they are corrected
before MLflow reads them. Standard library only, since the check of an unchanged record reads it without MLflow.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.stage.errors import TransientError

DEFAULT = "sqlite:///mlflow.db"
"""MLflow's default. MLflow makes it absolute and quotes it, which SQLAlchemy takes literally: with a blank in the path
the record would be written beside the project."""
FILES = "mlruns"
PATIENCE = 5.0
"""Seconds to wait for a writer."""
COLUMNS = (
    ("runs", "artifact_uri"), ("logged_models", "artifact_location"), ("model_versions", "source"),
    ("model_versions", "storage_location"), ("experiments", "artifact_location"),
)  # fmt: skip
"""Where MLflow notes the paths of artifacts."""


def find_uri() -> str:
    """The URI of the record: MLFLOW_TRACKING_URI or, if it is not set, MLflow's default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT


def has_file_store() -> bool:
    """Whether `mlruns` is a record of MLflow 2, which MLflow prefers to its default."""
    return any(Path(FILES).glob("*/meta.yaml"))


def project_of_experiment() -> Path | None:
    """The project, relative to this folder, if this is the temporary copy of it in which `dvc exp run --temp` or
    `--queue` runs the stages; None in the project itself."""
    root = os.environ.get("DVC_ROOT")
    if not root or not Path.cwd().is_relative_to(Path(root).resolve() / ".dvc" / "tmp" / "exps"):
        return None
    return Path(os.path.relpath(Path(root).resolve(), Path.cwd()))


def use_relative_path() -> None:
    """Let MLflow open `mlflow.db` by its relative path, whatever letters the project's path has; from DVC's temporary
    copy of the project, which DVC removes, that of the project."""
    here = Path.cwd()
    if find_uri() == DEFAULT and (project := project_of_experiment()) is not None:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{project}/mlflow.db"
        return
    if here.as_uri() != f"file://{here}" and find_uri() == DEFAULT and not has_file_store():
        os.environ["MLFLOW_TRACKING_URI"] = DEFAULT


def database_of(uri: str) -> Path | None:
    """The file of an SQLite record; None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def is_embedded(uri: str) -> bool:
    """Whether the record is a database in the project's folder."""
    path = database_of(uri)
    return path is not None and path.absolute().parent.resolve() == Path.cwd()


def local_folder(uri: str) -> Path | None:
    """The folder of artifacts on this machine, as MLflow reads its URI; None if they are elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(unquote(uri)) if not parts.scheme and Path(uri).is_absolute() else None


def stored_files(folder: Path) -> list[Path]:
    """The files of a run or model, sorted, without what loading a model adds: one by MLflow, and compiled code."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sorted(path for path in found if path.name != "registered_model_meta")


def displaced(connection: sqlite3.Connection) -> dict[str, str]:
    """Location of an experiment that belongs into this project and leads elsewhere → the right one.

    A folder `mlruns` outside that no other project owns, and that holds what this one lacks, was chosen by a user.
    """
    found = {}
    for (uri,) in connection.execute("SELECT artifact_location FROM experiments"):
        folder = local_folder(uri or "")
        if folder is None or folder.parent.name != FILES:
            continue
        home = Path.cwd() / FILES / folder.name
        chosen = folder.exists() and not home.exists() and not (folder.parent.parent / "mlflow.db").exists()
        if folder != home and not chosen:
            found[uri] = home.as_uri()
    return found


def bring_home() -> None:
    """Correct the paths of an embedded record. Raises TransientError if another process keeps writing to it."""
    path = database_of(find_uri())
    if path is None or not is_embedded(find_uri()) or not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection, connection:
            for old, new in displaced(connection).items():
                for table, column in COLUMNS:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                        f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise TransientError(f"{path}: another process is writing to it") from error
        # without tables MLflow creates them; if it is no database, MLflow says so
