"""The place of the record and its contents, read without MLflow; used by `recorded` only.

SQLite databases are read from the file, tracking servers over REST. Both give plain values in a stable order. For
other stores the answer is None, and MLflow itself must look.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from tasks.tracking.embedded import DEFAULT, database_of, find_uri, has_file_store

KNOWN = (
    "TRACKING_URI", "TRACKING_USERNAME", "TRACKING_PASSWORD", "TRACKING_TOKEN", "TRACKING_INSECURE_TLS",
    "HTTP_REQUEST_MAX_RETRIES", "HTTP_REQUEST_TIMEOUT", "LOGGING_LEVEL", "ENABLE_ARTIFACTS_PROGRESS_BAR",
    "SUPPRESS_PRINTING_URL_TO_STDOUT", "DISABLE_TELEMETRY", "ENABLE_SYSTEM_METRICS_LOGGING",
)  # fmt: skip
"""MLFLOW_… variables that this module handles or that do not affect a record."""


def read_place(uri: str, recipe: str, registration: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a registered model as plain values; None if it cannot be read.

    Includes `aliases`: {alias: version} of the registered model.
    """
    if (path := database_of(uri)) is not None:
        from tasks.register.database import read_database

        return read_database(path, recipe, registration)
    from tasks.register.server import read_server

    return read_server(uri, recipe, registration)


def find_place() -> str | None:
    """The URI of the store that MLflow would use; None if that is uncertain or needs MLflow to read."""
    ours = {name.removeprefix("MLFLOW_"): value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    if any(value and name not in KNOWN for name, value in ours.items()) or "_MLFLOW_SERVER_ARTIFACT_ROOT" in os.environ:
        return None
    uri = find_uri()
    parts = urlsplit(uri)
    if parts.scheme == "sqlite":
        plain = uri.startswith("sqlite:///") and not parts.query and not parts.fragment
        return uri if plain and not (uri == DEFAULT and has_file_store()) else None
    return uri if parts.scheme in ("http", "https") and not parts.username and not parts.query else None
