"""The entry point: complete the record, register the model, report the result."""

from typing import Any
from urllib.parse import urlsplit

from tasks.register.package import log_model
from tasks.register.recorded import registration_path, remember, replace_json, tell
from tasks.register.registered import read_registered
from tasks.register.registry import headline, register
from tasks.register.results import Results, read_results
from tasks.register.seen import keep
from tasks.register.settings import RegisterSettings
from tasks.register.sync_run import log_scores, sync_run
from tasks.stage.errors import TransientError
from tasks.stage.redact import redact
from tasks.stage.settings import read_section
from tasks.tracking.client import connect, lost_is_transient, patience, run_page


def run(recipe: str) -> dict[str, Any]:
    """Register the model of a recipe; idempotent. Returns the contents of `registration.json`.

    Raises RecipeError and DataError for the user to fix, TransientError if a tracking server is unreachable.
    """
    settings = read_section(recipe, "register", RegisterSettings)
    results = read_results(recipe)
    headline(results, settings)
    try:
        with patience(retries=3, seconds=60):
            registration = _record(results, settings)
    except TransientError as error:
        raise TransientError(
            f"{error}; nothing is lost: run `gristmill run {recipe}` later to complete the record"
        ) from error
    path = registration_path(recipe)
    replace_json(path, registration)
    remember(recipe, registration)
    tell(registration)
    return registration


def _record(results: Results, settings: RegisterSettings) -> dict[str, Any]:
    client = connect()
    with lost_is_transient():
        run = sync_run(client, results)
        model = log_model(client, run, results)
        log_scores(client, run, results, model.model_id)
        registration = register(client, run, model, results, settings)
        if (registered := read_registered(client, registration["model"])) is not None:
            keep(results.recipe, registered)
    uri = urlsplit(client.tracking_uri)
    if uri.scheme in ("http", "https"):
        server = redact(client.tracking_uri).rstrip("/")
        registration["url"] = run_page(server, registration["experiment_id"], registration["run_id"])
    return registration
