"""Access to MLflow: is it reachable, which run belongs to a model, what the run lacks.

MLflow's default is the project's `mlflow.db` and `mlruns/`; MLFLOW_TRACKING_URI points elsewhere. A tracking server may
be down at any time, so everything here has a short timeout and can be repeated.
"""

import json
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from tasks.stage.errors import GristmillError, TransientError, one_line
from tasks.stage.identity import fingerprint
from tasks.stage.redact import redact
from tasks.tracking.dead import is_dead, place
from tasks.tracking.embedded import (
    FILES,
    bring_home,
    database_of,
    find_uri,
    is_embedded,
    project_of_experiment,
    use_relative_path,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

EXPERIMENT = "gristmill.experiment"
"""The name of the DVC experiment that a run belongs to."""
IDENTITY = "gristmill.identity"
"""The tag that identifies a run."""
RECIPE = "gristmill.recipe"
"""The tag with the recipe of an experiment, a run, a version."""
PLACE, ENDED = "gristmill.place", "gristmill.ended"
"""Tags: where a run was started, and why another one ended it."""

EMBEDDED = "http://127.0.0.1:5000"
"""Where `make ui` serves the embedded record, if the port is free."""
VIEW = "gristmill"
"""The view of an experiment's runs that register defines."""

PROBE_SECONDS = 5
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
LONGEST_VALUE = 500
"""Maximum characters of a parameter value; older servers accept no more."""

SQL = re.compile(r" \[SQL: .*|\(sqlite3\.\w+\) |\(Background on this error at: .*?\)")
"""What SQLAlchemy adds to the reason of a database."""
SCHEMA = re.compile(r"database schema \(found version (\w+)")
DAMAGED = re.compile(r"malformed|file is not a database|unsupported file format|no such (?:table|column)")

LOUD = ("mlflow", "alembic", "urllib3", "huggingface_hub")


def connect() -> "MlflowClient":
    """A client of the configured tracking server.

    Raises TransientError if nothing answers within seconds, GristmillError if the address is invalid.
    """
    hush()
    use_relative_path()
    from mlflow import MlflowClient, get_tracking_uri
    from mlflow.exceptions import MlflowException

    uri = get_tracking_uri()
    probe(uri)
    database = Path(unquote(uri.removeprefix("sqlite:///")))
    if uri.startswith("sqlite:///") and database.is_dir():  # MLflow tries again for minutes
        raise GristmillError(str(_explain(uri, IsADirectoryError())))
    if uri.startswith("sqlite:///") and not database.exists() and not os.access(database.parent, os.W_OK):
        raise GristmillError(
            f"MLflow at {redact(uri)}: {database.parent.resolve()} cannot be written"
        )  # MLflow retries
    bring_home()
    try:
        with patience(retries=0, seconds=PROBE_SECONDS), lost_is_transient():
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
    except MlflowException as error:  # refused as invalid: MLflow does not support this kind of address
        raise GristmillError(f"MLFLOW_TRACKING_URI: {uri}: {redact(one_line(error))[:200]}") from error
    return client


def probe(uri: str) -> None:
    """Raises TransientError if a server is configured but its port does not answer."""
    parts = urlsplit(uri)
    if not parts.hostname or (parts.scheme in getproxies() and not proxy_bypass(parts.hostname)):
        return
    try:
        port = parts.port or PORTS.get(parts.scheme.split("+")[0])
    except ValueError as error:
        raise GristmillError(f"MLFLOW_TRACKING_URI: {uri}: {error}") from error
    if port is None:
        return
    try:
        socket.create_connection((parts.hostname, port), PROBE_SECONDS).close()
    except OSError as error:
        raise TransientError(f"MLflow at {uri} does not answer ({error.strerror or error})") from error


@contextmanager
def lost_is_transient() -> Iterator[None]:
    """Turn errors of MLflow and its libraries into one line: TransientError for a server or busy database, else
    GristmillError. A request that MLflow refuses as invalid is a bug and passes through."""
    hush()
    from alembic.util.exc import CommandError
    from mlflow import get_tracking_uri
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
        if getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE":
            raise
        uri = get_tracking_uri()
        if (told := _explain(uri, error)) is not None:
            raise GristmillError(told) from error
        reason = redact(SQL.sub("", one_line(error)))[:200]
        # Alembic's error: another process is creating the tables of a new database.
        passing = urlsplit(uri).hostname is not None or "locked" in reason or isinstance(error, CommandError)
        raise (TransientError if passing else GristmillError)(f"MLflow at {uri} failed ({reason})") from error


def _explain(uri: str, error: Exception) -> str | None:
    """What is wrong with a database and what to do, for faults that its user can mend; None for any other."""
    path, reason = database_of(uri), str(error)
    shown = redact(uri) if path is None else path.name if is_embedded(uri) else str(path)
    again = "move it away, and `gristmill run` of each recipe makes the record again from the files"
    if (schema := SCHEMA.search(reason)) is not None:
        import mlflow

        if any((Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions").glob(f"{schema[1]}_*.py")):
            return f"{shown}: written by an older MLflow; make a copy of it, then run: mlflow db upgrade {redact(uri)}"
        return f"{shown}: written by another MLflow, newer than {mlflow.__version__}; use that one, or {again}"
    if path is not None and path.is_dir():
        return f"{shown}: a folder, not MLflow's database; {again}"
    if path is not None and DAMAGED.search(reason):
        return f"{shown}: damaged, or not MLflow's database; put a copy back, or {again}"
    return None


@contextmanager
def patience(retries: int, seconds: int) -> Iterator[None]:
    """Set the timeout and retries of MLflow's HTTP client, unless the user has set them."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries), "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def hush() -> None:
    """Silence the logs of MLflow and its libraries, except errors."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)


def experiment_page(server: str, experiment_id: str) -> str:
    """The page with the runs of a recipe; without `workflowType`, MLflow 3.17 shows traces instead."""
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


def run_page(server: str, experiment_id: str, run_id: str) -> str:
    """The page of a run."""
    return f"{server}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def find_or_create_run(client: "MlflowClient", recipe: str, identity: str, started: float | None = None) -> "Run":
    """The one run of a trained model in its recipe's experiment; a new one gets `started` (seconds since 1970).

    A deleted run or experiment is restored.
    """
    from mlflow.entities import ViewType

    experiment_id, wanted = experiment_of(client, recipe), f"tags.`{IDENTITY}` = '{identity}'"
    for kind in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY):
        runs = client.search_runs([experiment_id], wanted, kind, max_results=1, order_by=["start_time ASC"])
        if runs and kind == ViewType.DELETED_ONLY:
            client.restore_run(runs[0].info.run_id)
        if runs:
            return client.get_run(runs[0].info.run_id)
    return client.create_run(
        experiment_id,
        start_time=None if started is None else round(started * 1000),
        tags={IDENTITY: identity, RECIPE: recipe, PLACE: place()},
        run_name=f"{recipe}-{identity[:8]}",
    )


def find_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """The run with this id, or None if it is gone or deleted."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return None if run.info.lifecycle_stage == "deleted" else run


def end_dead_runs(client: "MlflowClient", recipe: str, run: "Run") -> None:
    """End all other runs of a recipe that are RUNNING and whose process is gone; see `dead`."""
    for other in client.search_runs(
        [run.info.experiment_id], f"attributes.status = 'RUNNING' AND tags.`{IDENTITY}` != ''"
    ):
        tags = other.data.tags
        if other.info.run_id != run.info.run_id and is_dead(recipe, tags[IDENTITY], tags.get(PLACE)):
            reason = f"its process was killed, and the recipe changed; ended by the next run of {recipe}"
            client.set_tag(other.info.run_id, ENDED, reason)
            client.set_terminated(other.info.run_id, "KILLED")


def find_experiment(client: "MlflowClient", recipe: str) -> "Experiment | None":
    """The experiment of a recipe: the one with our tag, whatever its name is now, or else the one of that name."""
    from mlflow.entities import ViewType

    tagged = client.search_experiments(ViewType.ALL, filter_string=f"tags.`{RECIPE}` = '{recipe}'")
    first = min(tagged, key=lambda each: (each.lifecycle_stage == "deleted", int(each.experiment_id)), default=None)
    return first or client.get_experiment_by_name(recipe)


def experiment_of(client: "MlflowClient", recipe: str) -> str:
    """The id of the recipe's experiment, which is created, restored and tagged if need be."""
    from mlflow.exceptions import MlflowException

    experiment = find_experiment(client, recipe)
    if experiment is None:
        try:
            project = project_of_experiment() if database_of(find_uri()) else None
            files = None if project is None else (project.resolve() / FILES / recipe).as_uri()
            experiment_id = client.create_experiment(recipe, artifact_location=files, tags={RECIPE: recipe})
            bring_home()  # MLflow does not quote the path
            return experiment_id
        except MlflowException:  # another process was faster
            experiment = find_experiment(client, recipe)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    if RECIPE not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, RECIPE, recipe)
    return str(experiment.experiment_id)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as parameters: dotted keys, values of at most `LONGEST_VALUE` characters."""
    flat: dict[str, str] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{name}.")
        else:
            text = redact(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False))
            if len(text) > LONGEST_VALUE:  # the hash keeps two long values apart
                text = f"{text[: LONGEST_VALUE - 20]}… {fingerprint(text)[:16]}"
            flat["".join(c if c.isalnum() or c in "_-. /:" else "_" for c in name)[:250]] = text
    return flat


def log_parameters(client: "MlflowClient", run: "Run", parameters: Mapping[str, str]) -> None:
    """Log the parameters that the run lacks; in MLflow, a logged parameter never changes."""
    from mlflow.entities import Param

    missing = [Param(key, value) for key, value in parameters.items() if key not in run.data.params]
    client.log_batch(run.info.run_id, params=missing)


def log_tags(client: "MlflowClient", run: "Run", tags: Mapping[str, str]) -> None:
    """Set the tags that are missing or have another value."""
    from mlflow.entities import RunTag

    changed = [RunTag(key, redact(value)) for key, value in tags.items() if run.data.tags.get(key) != redact(value)]
    client.log_batch(run.info.run_id, tags=changed)


def logged_points(client: "MlflowClient", run: "Run") -> set[tuple[str, int]]:
    """(metric, step) of all points of the run, except system metrics."""
    keys = [key for key in run.data.metrics if not key.startswith("system/")]
    return {(key, point.step) for key in keys for point in client.get_metric_history(run.info.run_id, key)}
