"""Reads a record from a tracking server over REST with the standard library; see `recorded`."""

import base64
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tasks.tracking.client import IDENTITY, PROBE_SECONDS

AT_ONCE = 8
"""Concurrent requests: a record takes one per curve."""
MODEL = "artifacts/model"
"""The folder of the weights in a logged model."""


class Unclear(Exception):
    """The server's answer cannot be interpreted here."""


def read_server(uri: str, recipe: str, registration: Mapping[str, Any]) -> dict[str, Any] | None:
    """The server's answers about a record; None if they are unexpected or do not come within seconds."""
    try:
        return _record(Server(uri), recipe, registration)
    except (Unclear, URLError, OSError, ValueError, KeyError, TypeError):
        return None


class Server:
    """MLflow's REST API, with the credentials of MLflow's client."""

    def __init__(self, uri: str) -> None:
        self._base = uri.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        user, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN")
        if user:
            pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif token:
            self._headers["Authorization"] = f"Bearer {token}"
        loose = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
        self._tls = ssl._create_unverified_context() if loose else None

    def ask(self, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """The answer, all pages merged; POST if there is a `body`. Raises Unclear, URLError and OSError."""
        url = f"{self._base}/api/2.0/mlflow/{path}"
        found: dict[str, Any] = {}
        token = ""
        while True:
            more = {"page_token": token} if token else {}
            data = None if body is None else json.dumps({**body, **more}).encode()
            given = {**query, **more} if body is None else query
            request = Request(f"{url}?{urlencode(given)}" if given else url, data, self._headers)
            with urlopen(request, timeout=PROBE_SECONDS, context=self._tls) as reply:
                answer = json.load(reply)
            token = answer.pop("next_page_token", "")
            for key, value in answer.items():
                found[key] = found[key] + value if isinstance(value, list) and key in found else value
            if not token:
                return found


def _record(server: Server, recipe: str, registration: Mapping[str, Any]) -> dict[str, Any]:
    run = server.ask("runs/get", run_id=registration["run_id"])["run"]
    identity = next(tag["value"] for tag in run["data"]["tags"] if tag["key"] == IDENTITY)
    experiment = server.ask("experiments/get-by-name", experiment_name=recipe)["experiment"]
    within = {"experiment_ids": [experiment["experiment_id"]]}
    runs = server.ask("runs/search", {**within, "filter": f"tags.`{IDENTITY}` = '{identity}'"}).get("runs", [])
    if [found["info"]["run_id"] for found in runs] != [registration["run_id"]]:
        raise Unclear
    name = registration["model"]
    questions: list[tuple[str, Mapping[str, Any] | None, dict[str, Any]]] = [
        *_curves(run),
        ("artifacts/list", None, {"run_id": registration["run_id"]}),
        ("registered-models/get", None, {"name": name}),
        ("model-versions/search", None, {"filter": f"name = '{name}'", "max_results": 200}),
    ]
    models = server.ask("logged-models/search", {**within, "filter": f"source_run_id = '{registration['run_id']}'"})
    for model in models["models"]:
        path = f"logged-models/{model['info']['model_id']}/artifacts/directories"
        questions += [(path, None, {}), (path, None, {"artifact_directory_path": MODEL})]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda question: server.ask(question[0], question[1], **question[2]), questions))
    registered = next(answer["registered_model"] for answer in answers if "registered_model" in answer)
    return _plain(
        {
            "experiment": experiment, "runs": runs, "models": models, "answers": answers,
            "aliases": {item["alias"]: int(item["version"]) for item in registered.get("aliases", [])},
        }
    )  # fmt: skip


def _curves(run: Mapping[str, Any]) -> Iterator[tuple[str, None, dict[str, Any]]]:
    """A request for each curve, system metrics aside, which register does not read."""
    for key in sorted(metric["key"] for metric in run["data"].get("metrics", [])):
        if not key.startswith("system/"):
            yield "metrics/get-history", None, {"run_id": run["info"]["run_id"], "metric_key": key}


def _plain(value: Any) -> Any:
    """Lists sorted, whatever the server's order, and floats as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return repr(value) if isinstance(value, float) else value
