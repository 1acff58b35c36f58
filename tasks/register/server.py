"""Reads a record from a tracking server over REST with the standard library; see `recorded`."""

import base64
import json
import os
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tasks.tracking.client import IDENTITY, PLACE, PROBE_SECONDS, RECIPE
from tasks.tracking.dead import is_dead

AT_ONCE = 8
"""Concurrent requests: a record takes one per curve."""


class Unclear(Exception):
    """The server's answer cannot be interpreted here."""


def read_server(uri: str, recipe: str, registration: Mapping[str, Any]) -> dict[str, Any] | None:
    """The server's answers about a record; None if they are unexpected or do not come within seconds."""
    try:
        return _record(uri, recipe, registration)
    except (Unclear, URLError, OSError, ValueError, KeyError, TypeError):
        return None


def _ask(uri: str, path: str, given: Mapping[str, Any], post: bool = False) -> Any:
    """The answer of MLflow's REST API, all pages merged. Raises URLError, OSError, and ValueError."""
    url = f"{uri.rstrip('/')}/api/2.0/mlflow/{path}"
    loose = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    tls = ssl._create_unverified_context() if loose else None
    found: dict[str, Any] = {}
    while True:
        place, data = (url, json.dumps(given).encode()) if post else (f"{url}?{urlencode(given)}", None)
        with urlopen(Request(place, data, _headers()), timeout=PROBE_SECONDS, context=tls) as reply:
            answer = json.load(reply)
        token = answer.pop("next_page_token", "")
        for key, value in answer.items():
            found[key] = found[key] + value if isinstance(value, list) and key in found else value
        if not token:
            return found
        given = {**given, "page_token": token}


def _headers() -> dict[str, str]:
    """With the credentials of MLflow's client."""
    headers = {"Content-Type": "application/json"}
    user, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user:
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _record(uri: str, recipe: str, registration: Mapping[str, Any]) -> dict[str, Any]:
    ask, run_id, name = partial(_ask, uri), registration["run_id"], registration["model"]
    run = ask("runs/get", {"run_id": run_id})["run"]
    identity = next(tag["value"] for tag in run["data"]["tags"] if tag["key"] == IDENTITY)
    experiment = ask("experiments/get", {"experiment_id": registration["experiment_id"]})["experiment"]
    ours = [tag for tag in experiment.pop("tags", []) if tag["key"] == RECIPE]  # not what `gristmill noise` keeps there
    within = {"experiment_ids": [experiment["experiment_id"]]}
    runs = ask("runs/search", {**within, "filter": f"tags.`{IDENTITY}` = '{identity}'"}, post=True).get("runs", [])
    if [found["info"]["run_id"] for found in runs] != [run_id]:
        raise Unclear
    for other in ask("runs/search", {**within, "filter": "attributes.status = 'RUNNING'"}, post=True).get("runs", []):
        tags = {tag["key"]: tag["value"] for tag in other["data"].get("tags", [])}
        if other["info"]["run_id"] != run_id and IDENTITY in tags and is_dead(recipe, tags[IDENTITY], tags.get(PLACE)):
            raise Unclear
    keys = [metric["key"] for metric in run["data"].get("metrics", [])]
    curves = [key for key in keys if not key.startswith("system/")]  # register reads no system metrics
    questions: list[tuple[str, dict[str, Any]]] = [
        *(("metrics/get-history", {"run_id": run_id, "metric_key": key}) for key in curves),
        ("registered-models/get", {"name": name}),
        ("model-versions/search", {"filter": f"name = '{name}'", "max_results": 200}),
    ]
    models = ask("logged-models/search", {**within, "filter": f"source_run_id = '{run_id}'"}, post=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda question: ask(*question), questions))
        files = _files(ask, pool, "artifacts/list", "path", {"run_id": run_id})
        for model in models["models"]:
            path = f"logged-models/{model['info']['model_id']}/artifacts/directories"
            files += _files(ask, pool, path, "artifact_directory_path", {})
    registered = next(answer["registered_model"] for answer in answers if "registered_model" in answer)
    return _plain(
        {
            "experiment": {**experiment, "tags": ours},
            "runs": runs, "models": models, "answers": answers, "files": files,
            "aliases": {item["alias"]: int(item["version"]) for item in registered.get("aliases", [])},
        }
    )  # fmt: skip


def _files(
    ask: Callable[..., Any], pool: ThreadPoolExecutor, path: str, key: str, given: dict[str, str]
) -> list[dict[str, Any]]:
    """All files of a run or model with their sizes; `key` is the parameter for a folder."""
    found: list[dict[str, Any]] = []
    folders: list[str | None] = [None]
    while folders:
        asked = [given if folder is None else {**given, key: folder} for folder in folders]
        items = [item for page in pool.map(partial(ask, path), asked) for item in page.get("files", [])]
        folders = [item["path"] for item in items if item.get("is_dir")]
        found += items
    return found


def _plain(value: Any) -> Any:
    """Lists sorted, whatever the server's order, and floats as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return repr(value) if isinstance(value, float) else value
