"""`mlflow models serve` for each kind of model, with a real registry, server and requests."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.register.registration import run
from tests.register.conftest import serving
from tests.register.models import LABELS
from tests.scratch import ROOT, environment

# Each server keeps a core busy for 15 s at startup, so run one at a time.
pytestmark = pytest.mark.xdist_group("serving")


class Refused(Exception):
    """The server rejected a request."""


Ask = Callable[..., list[Any]]


@contextmanager
def serve(project: Path) -> Iterator[Ask]:
    """Serve the champion."""
    run("tiny")
    env = environment(ROOT, MLFLOW_TRACKING_URI=f"sqlite:///{project}/mlflow.db")
    del env["PYTHONPATH"]  # the served model is self-contained
    command = ("models", "serve", "-m", "models:/tiny@champion", "--env-manager", "local")
    with serving(project, *command, **env) as url:
        url = f"{url}/invocations"
        yield lambda texts, params=None: _post(
            url, texts.decode() if isinstance(texts, bytes) else json.dumps(texts), json.dumps(params or {})
        )


def _post(url: str, inputs: str, params: str = "{}") -> list[Any]:
    content = f'{{"inputs": {inputs}, "params": {params}}}'.encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["predictions"]
    except urllib.error.HTTPError as error:
        raise Refused(error.code, json.loads(error.read())["message"]) from error


WRONG = {
    '["a", null]': "input 2 is null, expected a string",
    '[NaN, "a"]': "input 1 is null, expected a string",
    "null": "input 1 is null, expected a string",
    "[1.5]": "input 1 is 1.5, expected a string",
    '["a", true]': "input 2 is True, expected a string",
    '[["a", "b"]]': r"input 1 is \['a', 'b'\], expected a string",
    '[{"a": "b"}]': "input 1 is {'a': 'b'}, expected a string",
    json.dumps(["a"] * 2000): "inputs: 2,000 in one request, more than the 1,024",
    json.dumps(["a" * 100_000, *"b" * 20_000]): "inputs: 20,001 in one request, more than the 1,024",
    json.dumps(["a" * 2_000_000]): "characters of all inputs: 2,000,000 in one request, more than",
    json.dumps(["a" * 9_000_000]): "a request of [0-9,]* bytes, more than the 8,388,608",
    "[" * 100_000 + "]" * 100_000: "no JSON that can be read: maximum recursion depth",
    '{"a": ' * 2_000 + "1" + "}" * 2_000: "no JSON that can be read: maximum recursion depth",
    '["a"' + " " * 1000: "no JSON that can be read: Expecting ',' delimiter",
}
"""JSON of `inputs` → why the server refuses it."""


@pytest.mark.slow
def test_a_causal_model_answers_each_of_several_requests_at_a_time_as_it_would_alone(project_of):
    with serve(project_of("causal-lm")) as ask, ThreadPoolExecutor(4) as pool:
        params = [{"max_new_tokens": 6, "seed": seed} for seed in (1, 2, 3, 1)]
        together = list(pool.map(lambda given: ask(["ROMEO:", ""], params=given), params))
        assert together == [ask(["ROMEO:", ""], params=given) for given in params]
        assert together[0] == together[3] != together[1]
        assert all(answer[0].startswith("ROMEO:") for answer in together)
        with pytest.raises(Refused, match=r"400.*top_p: must be from 0 to 1"):
            ask(["a"], params={"top_p": 3.0})


@pytest.mark.slow
def test_a_pair_model_answers_with_the_settings_of_its_evaluation(project_of):
    with serve(project_of("translation")) as ask:
        found = ask(["the cat sat", "", "a dog"])
        assert len(found) == 3 and all(isinstance(text, str) for text in found)
        assert found == ask(["the cat sat", "", "a dog"], params={"num_beams": 2, "length_penalty": 0.8})
        assert found != ask(["the cat sat", "", "a dog"], params={"max_new_tokens": 1})
        with pytest.raises(Refused, match=r"400.*num_beams"):
            ask(["a"], params={"num_beams": "two"})


@pytest.mark.slow
def test_a_masked_model_answers_with_filled_masks(project_of):
    with serve(project_of("masked-lm")) as ask:
        (answer,) = ask(["the [MASK] sat"], params={"top_k": 2})
        (tokens,) = answer["masks"]
        assert answer["text"] == f"the {tokens[0]['token']} sat"
        assert 1 >= tokens[0]["probability"] > tokens[1]["probability"] > 0
        with pytest.raises(Refused, match=r"400.*input 2: no \[MASK\] in 'the dog'"):
            ask(["a [MASK]", "the dog"])


def test_a_classifier_answers_with_the_probabilities_of_all_labels(project_of):
    with serve(project_of("classification")) as ask:
        found = ask(["the cat", ""])
        assert [sorted(answer["scores"]) for answer in found] == [LABELS, LABELS]
        assert found[0]["score"] == found[0]["scores"][found[0]["label"]] == max(found[0]["scores"].values())
        assert sum(found[1]["scores"].values()) == pytest.approx(1, abs=1e-6)
        assert ask([["the cat"]]) == ask("the cat") == ask(["the cat"]) and ask([]) == []
        for inputs, sentence in WRONG.items():
            with pytest.raises(Refused, match=rf"(?s)400.*{sentence}"):
                ask(inputs.encode())
