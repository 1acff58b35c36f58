"""Finds the model that MLflow stores for a version, and brings its folder here."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.register.reference import Reference
from tasks.stage.errors import GristmillError
from tasks.tracking.embedded import local_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

SOURCE = "models:/"


def logged_model(client: "MlflowClient", found: Reference) -> "LoggedModel":
    """The logged model of a version.

    Raises GristmillError for a run without a version, and for a version that is a copy of another one.
    """
    if found.version is None:
        raise GristmillError(f"{found.name}: no version of a registered model; run `gristmill run {found.recipe}`")
    source = found.version.source or ""
    if not source.startswith(f"{SOURCE}m-"):
        raise GristmillError(f"{found.name}: a copy of {source.removeprefix(SOURCE) or 'nothing'}; name that version")
    return client.get_logged_model(source.removeprefix(SOURCE))


def fetch(model: "LoggedModel", folder: Path) -> Path:
    """The folder of a logged model; one that is not on this machine is downloaded into `folder`."""
    if (local := local_folder(model.artifact_location)) is not None:
        return local
    import mlflow.artifacts

    place = folder / "stored"
    place.mkdir()
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{SOURCE}{model.model_id}", dst_path=str(place)))
