"""The way through the room: complete the record, register the model, say what became of it."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.contract.errors import TransientError
from tasks.contract.settings import read_section
from tasks.contract.stage import DATA, write_json
from tasks.contract.tracking import connect, lost_is_transient, patience, shown
from tasks.register.complete import complete, log_scores
from tasks.register.evidence import Evidence, read_evidence
from tasks.register.package import log_model
from tasks.register.registry import headline, register
from tasks.register.settings import RegisterSettings


def registration_path(recipe: str) -> Path:
    """What was registered and why, for people and for the flow; no output of DVC."""
    return DATA / recipe / "registration.json"


def run(recipe: str) -> dict[str, Any]:
    """Register the model of a recipe; the same again changes nothing. Returns what `registration.json` holds.

    Raises RecipeError and DataError for what the user can mend, TransientError where a tracking server is away.
    """
    settings = read_section(recipe, "register", RegisterSettings)
    evidence = read_evidence(recipe)
    headline(evidence, settings)
    try:
        with patience(retries=3, seconds=60):
            registration = _record(evidence, settings)
    except TransientError as error:
        raise TransientError(f"{error}; nothing is lost: `gristmill run {recipe}` completes the record") from error
    path = registration_path(recipe)
    partial = path.with_name(f".partial-{path.name}")
    write_json(partial, registration)
    partial.replace(path)
    found = "registered" if registration["new"] else "already registered"
    print(
        f"register: {found} as version {registration['version']} of {registration['model']},"
        f" {registration['alias']}: {registration['reason']}",
        file=sys.stderr,
        flush=True,
    )
    return registration


def _record(evidence: Evidence, settings: RegisterSettings) -> dict[str, Any]:
    client = connect()
    with lost_is_transient():
        run = complete(client, evidence)
        model = log_model(client, run, evidence)
        log_scores(client, run, evidence, model.model_id)
        registration = register(client, run, model, evidence, settings)
    uri = urlsplit(client.tracking_uri)
    if uri.scheme in ("http", "https"):
        place = f"experiments/{registration['experiment_id']}/runs/{registration['run_id']}"
        registration["url"] = f"{shown(client.tracking_uri).rstrip('/')}/#/{place}"
    return registration
