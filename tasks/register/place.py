"""Where the record is, and its rows there, without MLflow; for `recorded` alone.

A record in a database of SQLite is read from its file, one behind a tracking server over its REST interface. Both give
plain values, and the order of them is always the same. Other places are None here: MLflow itself knows them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DEFAULT = "sqlite:///mlflow.db"
"""What MLflow 3 takes where nothing is set and `mlruns` is no store of its own, as MLflow 2 made them."""

KNOWN = (
    "TRACKING_URI", "TRACKING_USERNAME", "TRACKING_PASSWORD", "TRACKING_TOKEN", "TRACKING_INSECURE_TLS",
    "HTTP_REQUEST_MAX_RETRIES", "HTTP_REQUEST_TIMEOUT", "LOGGING_LEVEL", "ENABLE_ARTIFACTS_PROGRESS_BAR",
    "SUPPRESS_PRINTING_URL_TO_STDOUT", "DISABLE_TELEMETRY", "ENABLE_SYSTEM_METRICS_LOGGING",
)  # fmt: skip
"""Variables MLFLOW_… that are understood here, or do not change what a record is."""


@dataclass(frozen=True)
class Place:
    """A record that can be read here."""

    uri: str

    def read(self, recipe: str, registration: dict[str, Any]) -> dict[str, Any] | None:
        """All that the record holds of a registered model, as plain values; None where it cannot be read.

        `aliases` is among them: {alias: version} of the registered model.
        """
        if urlsplit(self.uri).scheme == "sqlite":
            from tasks.register.database import read_database

            return read_database(Path(unquote(self.uri.removeprefix("sqlite:///"))), recipe, registration)
        from tasks.register.server import read_server

        return read_server(self.uri, recipe, registration)


def find_place() -> Place | None:
    """The record that MLflow would use; None where that is not sure, or nobody here can read it."""
    ours = {name.removeprefix("MLFLOW_"): value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    if any(value and name not in KNOWN for name, value in ours.items()) or "_MLFLOW_SERVER_ARTIFACT_ROOT" in os.environ:
        return None
    uri = ours.get("TRACKING_URI") or DEFAULT
    parts = urlsplit(uri)
    if parts.scheme == "sqlite":
        plain = uri.startswith("sqlite:///") and not parts.query and not parts.fragment
        return Place(uri) if plain and not (uri == DEFAULT and _has_old_store()) else None
    if parts.scheme in ("http", "https") and not parts.username and not parts.query:
        return Place(uri)
    return None


def _has_old_store() -> bool:
    """Whether `mlruns` has experiments in files, which MLflow then prefers to its default."""
    return any(Path("mlruns").glob("*/meta.yaml"))
