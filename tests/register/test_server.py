"""MLflow's own server with a served model, in this process: large requests, and clients that go."""

import http.client
import json
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.pyfunc import load_model, scoring_server

from tasks.register.registration import run
from tasks.serve.server import BODY_BYTES

TEXTS = ["ROMEO:"] * 900


@pytest.fixture
def server(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Any]]:
    """Its port, and the model inside it."""
    import uvicorn

    run("tiny")
    for name in ("invocations", "_async_catch_mlflow_exception"):
        monkeypatch.setattr(scoring_server, name, getattr(scoring_server, name))
    monkeypatch.setenv("__pyfunc_model_path__", "as MLflow's server sets it")
    monkeypatch.setenv("MLFLOW_IS_IN_SERVING_ENVIRONMENT", os.environ.get("MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false"))
    model = load_model("models:/tiny@champion")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        service = uvicorn.Server(uvicorn.Config(scoring_server.init(model), log_level="error"))
        thread = threading.Thread(target=service.run, args=([listening],))
        thread.start()
        while not service.started:
            time.sleep(0.01)
        yield listening.getsockname()[1], model.unwrap_python_model()
        service.should_exit = True
        thread.join()


def post(port: int, body: Any, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_a_request_is_kept_only_to_its_bound_and_refused_whole_or_in_chunks(server: tuple[int, Any]) -> None:
    port, _ = server
    chunk, chunks = b" " * (1 << 20), 64
    tracemalloc.start()
    code, told = post(port, (chunk for _ in range(chunks)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == 400 and f"a request of {len(chunk) * chunks:,} bytes, more than the {BODY_BYTES:,}" in told
    assert most < 4 * BODY_BYTES
    assert post(port, b" " * (BODY_BYTES + 1))[0] == 400
    params = {"max_new_tokens": 2}
    assert post(port, json.dumps({"inputs": ["a"], "params": params}))[0] == 200


def test_a_request_ends_when_its_client_has_gone(server: tuple[int, Any]) -> None:
    port, model = server
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"inputs": TEXTS, "params": {"max_new_tokens": 250}})
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    time.sleep(1.5)
    assert model.lock.locked(), "the request is at work"
    connection.close()
    time.sleep(2.5)
    assert not model.lock.locked()


@pytest.mark.parametrize(
    ("inputs", "params", "sentence"),
    [
        ('["a"]', '{"top_p": NaN}', "top_p: must be a finite number, not nan"),
        ('["a"]', '{"temperature": Infinity}', "temperature: must be a finite number, not inf"),
        ('["a"]', '{"max_new_tokens": null}', "max_new_tokens: must be a number, not null"),
        ('["a"]', '{"max_new_tokens": "many"}', "max_new_tokens"),
        ('["a"]', '{"max_new_tokens": 1.5}', "max_new_tokens"),
        ('["a"]', '{"max_new_tokens": true}', "max_new_tokens"),
        ('["a"]', '{"max_new_tokens": [1]}', "max_new_tokens"),
        ('["a"]', '{"max_new_tokens": 1e400}', "max_new_tokens"),
        ('["a"]', '{"seed": 99999999999999999999999}', "seed"),
        ('["a"]', "[]", "Parameters must be a dictionary"),
        ('["a"]', '"text"', "Parameters must be a dictionary"),
        ("[[]]", "{}", "input 1 is"),
        ("{}", "{}", ""),
        ('{"a": "b"}', "{}", ""),
        ('[[["a"]]]', "{}", "input 1 is"),
        ('["\\ud800"]', "{}", "surrogates not allowed"),
        ("[-1e999]", "{}", "input 1 is -inf, expected a string"),
    ],
)
def test_whatever_is_sent_is_answered_with_a_sentence(
    server: tuple[int, Any], inputs: str, params: str, sentence: str
) -> None:
    code, told = post(server[0], f'{{"inputs": {inputs}, "params": {params}}}')
    assert code == 400 and sentence in told and "Traceback" not in told, told
