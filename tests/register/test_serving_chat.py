"""`mlflow models serve` of a chat model, with OpenAI's own client and with MLflow's route."""

import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tasks.register.registration import run
from tests.register.conftest import serving
from tests.scratch import ROOT, environment

# Each server keeps a core busy for 15 s at startup, so run one at a time.
pytestmark = pytest.mark.xdist_group("serving")

USER, BOT = {"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat"}
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.fixture(scope="module")
def url(template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The champion of a chat recipe behind MLflow's server; yields its URL."""
    project = tmp_path_factory.mktemp("chat") / "project"
    shutil.copytree(template("chat"), project)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(project)
        run("tiny")
    env = environment(ROOT, MLFLOW_TRACKING_URI=f"sqlite:///{project}/mlflow.db")
    del env["PYTHONPATH"]  # the served model is self-contained
    command = ("models", "serve", "-m", "models:/tiny@champion", "--env-manager", "local")
    with serving(project, *command, **env) as found:
        yield found


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def invoke(url: str, content: Any, path: str = "/invocations") -> tuple[int, Any]:
    request = urllib.request.Request(url + path, json.dumps(content).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_client_of_openai_talks_with_a_served_model(client: openai.OpenAI, url: str) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    answer = client.chat.completions.create(model="tiny", messages=[SYSTEM, USER, BOT, USER])
    (choice,) = answer.choices
    assert answer.object == "chat.completion" and choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason == "length" and answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12
    text = choice.message.content
    # parts, OpenAI's newer names, and MLflow's own route give the same
    parts = [{"type": "text", "text": "the "}, {"type": "text", "text": "cat"}]
    developer = {"role": "developer", "content": "Be brief."}
    again = client.chat.completions.create(
        model="any", messages=[developer, {"role": "user", "content": parts}, BOT, USER], max_completion_tokens=12, n=2,
        frequency_penalty=0, tools=openai.omit, response_format={"type": "text"},
    )  # fmt: skip
    assert [each.message.content for each in again.choices] == [text, text]
    code, told = invoke(url, {"messages": [SYSTEM, USER, BOT, USER], "temperature": None, "max_tokens": 12})
    assert code == 200 and told["choices"][0]["message"]["content"] == text
    code, told = invoke(url, {"inputs": [{"messages": [SYSTEM, USER, BOT, USER]}, "the cat"]})
    assert code == 200 and told["predictions"][0]["choices"][0]["message"]["content"] == text
    for more in ({"dataframe_split": {"columns": ["q"], "data": [["the cat"]]}}, {"instances": ["the cat"]}):
        assert invoke(url, more) == (200, {"predictions": told["predictions"][1:]})


def test_a_stream_gives_the_same_text_and_ends_at_stop(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": [USER], "temperature": 1.0, "seed": 7, "max_tokens": 20}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    *chunks, last = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == whole and sum(map(bool, pieces)) > 3
    assert chunks[-1].choices[0].finish_reason == "length" and last.usage.completion_tokens == 20
    stop = whole[4:6]
    assert stop.strip() == stop
    for stream in (False, True):
        found = client.chat.completions.create(**asked, stop=[stop], stream=stream)
        if stream:
            texts = list(found)
            text, why = "".join(c.choices[0].delta.content or "" for c in texts), texts[-1].choices[0].finish_reason
        else:
            text, why = found.choices[0].message.content, found.choices[0].finish_reason
        assert (text, why) == (whole[: whole.index(stop)].strip(), "stop")
    other = client.chat.completions.create(**{**asked, "seed": 8}, n=2)
    assert len({whole, *(choice.message.content for choice in other.choices)}) == 3


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages: empty; expected a list of at least one message"),
    ({}, "messages: missing"),
    ({"messages": "hello"}, "messages: not a list, but 'hello'"),
    ({"messages": [{"role": "poet", "content": "a"}]}, "message 1: role: 'poet'; must be one of system, user"),
    ({"messages": [{"content": "a"}]}, "message 1: role: missing"),
    ({"messages": ["a"]}, "message 1 is 'a', expected an object"),
    ({"messages": [USER, BOT]}, "message 2: the last message is from assistant, so there is nothing to answer"),
    ({"messages": [{"role": "user", "content": None}]}, "message 1: content is null, expected a string"),
    ({"messages": [{"role": "user", "content": 5}]}, "message 1: content is 5, expected a string"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "message 1: content is not Unicode"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a"}}]}]},
        "message 1: content part 1 is of type 'image_url'; this model reads text only",
    ),
    (
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, USER]},
        "message 2: tool_calls: this model calls no tools",
    ),
    ({"messages": [{"role": "user", "content": "a" * 200}]}, "too long: the last question with the system prompt has"),
    ({"messages": [USER], "tools": [{"type": "function"}]}, "tools: this model calls no tools"),
    ({"messages": [USER], "response_format": {"type": "json_object"}}, "response_format: this model writes plain text"),
    ({"messages": [USER], "temperature": -1}, "temperature: must be at least 0, not -1"),
    ({"messages": [USER], "temperature": "hot"}, "temperature: must be a number, not 'hot'"),
    ({"messages": [USER], "top_p": 2}, "top_p: must be from 0 to 1, not 2"),
    ({"messages": [USER], "max_tokens": 0}, "max_tokens: must be at least 1, not 0"),
    ({"messages": [USER], "max_tokens": 5000}, "max_new_tokens: must be from 1 to 127"),
    ({"messages": [USER], "max_tokens": 1.5}, "max_tokens: must be an integer, not 1.5"),
    ({"messages": [USER], "n": 0}, "n: must be from 1 to 128, not 0"),
    ({"messages": [USER], "seed": -1}, "seed: must be from 0 to"),
    ({"messages": [USER], "stop": [""]}, "stop: an empty text would end every answer"),
    ({"messages": [USER], "stop": [5]}, "stop is 5, expected a string"),
    ({"messages": [USER], "stream": "yes"}, "stream: must be true or false, not 'yes'"),
    ({"messages": [USER], "num_beams": 2, "temperature": 1}, "temperature: more than 0 samples, which needs num_beams"),
    ({"messages": [USER], "num_beams": 100}, "num_beams: 100 in one request, more than the 64"),
    ({"messages": [{"role": "user", "content": "a" * 2_000_000}]}, "characters of all inputs: 2,000,000"),
]  # fmt: skip


def test_what_cannot_be_answered_is_told_in_a_sentence(client: openai.OpenAI, url: str) -> None:
    for request, sentence in WRONG:
        code, told = invoke(url, request, "/v1/chat/completions")
        assert code == 400 and "\n" not in told["error"]["message"]
        assert sentence in told["error"]["message"], (request, told)
        code, told = invoke(url, request)
        in_words_of_mlflow = "messages" not in request or "Invalid parameters found" in told["message"]
        assert code == 400 and (in_words_of_mlflow or sentence in told["message"]), (request, told)
    with pytest.raises(openai.BadRequestError, match="n: must be"):
        client.chat.completions.create(model="tiny", messages=[USER], n=500, stream=True)
    code, told = invoke(url, {"messages": [USER], "stream": True})
    assert code == 400 and "here answers come whole; for a stream, ask /v1/chat/completions" in told["message"]
    code, told = invoke(url, {"inputs": ["a", None]})
    assert code == 400 and "input 2 is null, expected a question or messages" in told["message"]
    for body in (b"[" * 100_000, b"[1]", b"{", b"\xff"):
        found = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        found.request("POST", "/v1/chat/completions", body)
        answer = found.getresponse()
        assert answer.status == 400 and "the request " in json.loads(answer.read())["error"]["message"]
