"""The stored registered model, and updates that leave its weights alone."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.pyfunc import load_model
from mlflow.pyfunc.scoring_server import invocations
from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA

from tasks.evaluate.settings import GenerationSettings
from tasks.register.package import served_code
from tasks.register.registration import run
from tasks.stage.errors import DataError
from tasks.stage.task import CHATS, FAMILIES, PAIRS
from tests.register import CHAT_GENERATION, GENERATION, PROMPTS, evaluate, the_model

CHAMPION = "models:/tiny@champion"
TEXTS = ["the cat sat on the mat", "a", ""]


def defaults() -> dict:
    return {spec.name: spec.default for spec in load_model(CHAMPION).metadata.get_params_schema().params}


@pytest.mark.parametrize("task", FAMILIES)
def test_the_served_code_stands_alone(task):
    code = served_code(task)
    assert "tasks." not in code and code.count("set_model(") == 1
    compile(code, "served.py", "exec")


@pytest.mark.parametrize("task", FAMILIES)
def test_the_champion_answers_the_example_in_it(project_of, task):
    project_of(task)
    run("tiny")
    example = json.loads(Path(download_artifacts(CHAMPION), "input_example.json").read_text())
    expected = {"messages": [{"role": "user", "content": PROMPTS[task]}]} if task in CHATS else [PROMPTS[task]]
    assert example == expected
    answer = load_model(CHAMPION).predict(example)
    assert answer["choices"] if task in CHATS else len(answer) == 1 and answer[0]
    assert the_model().model_type == task


@pytest.mark.parametrize("task", PAIRS)
def test_a_translation_or_summary_is_written_as_it_was_evaluated(project_of, task):
    project_of(task)
    run("tiny")
    assert defaults() == {**GENERATION, "batch_size": 32}
    model = load_model(CHAMPION)
    assert model.predict(TEXTS) == model.predict(TEXTS, params=GENERATION)
    assert model.predict(TEXTS) == model.predict(pd.DataFrame({"any name": TEXTS}))
    assert model.predict(pd.DataFrame({"any name": []}, dtype=str)) == []
    assert model.predict(TEXTS) != model.predict(TEXTS, params={"max_new_tokens": 2})


def test_a_causal_model_goes_on_as_the_evaluation_of_its_recipe(project):
    run("tiny")
    assert defaults() == GenerationSettings.model_validate({}).model_dump()
    recipe = Path("recipes/tiny.yaml")
    said = "{max_new_tokens: 30, temperature: 1, top_p: 0.95, seed: 3}"
    recipe.write_text(recipe.read_text().replace("stride: 8}", f"stride: 8, generation: {said}}}"))
    run("tiny")
    wanted = {"max_new_tokens": 30, "temperature": 1.0, "top_k": 0, "top_p": 0.95, "seed": 3}
    assert defaults() == wanted
    model = load_model(CHAMPION)
    assert model.predict(TEXTS) == model.predict(TEXTS, params=wanted) != model.predict(TEXTS, params={"top_k": 5})


def test_a_chat_model_has_the_signature_of_mlflow_and_the_parameters_of_its_evaluation(project_of):
    root = project_of("chat")
    evaluate(root / "data/tiny", 2.5, task="chat", generation={**CHAT_GENERATION, "temperature": 0.5, "seed": 3})
    write_adapter(root / "data/tiny/model/adapter")
    run("tiny")
    stored = Path(download_artifacts(CHAMPION))
    record = Model.load(str(stored))
    assert (record.signature.inputs, record.signature.outputs) == (CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA)
    assert record.metadata == {"task": "llm/v1/chat"} and record.flavors["python_function"]["streamable"]
    wanted = {**CHAT_GENERATION, "temperature": 0.5, "seed": 3, "batch_size": 32}
    assert defaults() == wanted
    assert "jinja2==" in (stored / "requirements.txt").read_text()
    assert (stored / "artifacts/model/adapter/adapter_model.safetensors").read_bytes() == b"adapter"
    model, request = load_model(CHAMPION), {"messages": [{"role": "user", "content": "the cat"}]}
    completion = model.predict(request)
    text = completion["choices"][0]["message"]["content"]
    assert completion["model"] == "tiny" and completion["object"] == "chat.completion"
    assert model.predict(["the cat"]) == [text] == model.predict(["the cat"], params=wanted)
    assert model.predict(pd.DataFrame({"any": ["the cat"]})) == model.predict("the cat") == [text]
    (other,) = model.predict(pd.DataFrame({"messages": [request["messages"]]}))
    assert other["choices"] == completion["choices"] == model.predict([request["messages"]])[0]["choices"]
    assert model.predict({**request, "seed": 4})["choices"] != completion["choices"]
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in model.predict_stream(request))
    assert streamed == text


def write_adapter(folder: Path) -> None:
    """Files like those of PEFT."""
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"adapter")
    (folder / "adapter_config.json").write_text("{}")


@pytest.mark.parametrize("content", [None, ["a"], 5])
def test_a_row_without_a_text_is_refused(project, content):
    run("tiny")
    model = load_model(CHAMPION)
    sentence = rf"input 2 is {'null' if content is None else re.escape(repr(content))}, expected a string"
    with pytest.raises(MlflowException, match=sentence):
        model.predict(pd.DataFrame({"text": ["the cat", content]}, dtype=object))
    columns = {"columns": ["text"], "data": [["the cat"], [content]]}
    for sent in ({"dataframe_split": columns}, {"dataframe_records": [{"text": "the cat"}, {"text": content}]}):
        with pytest.raises(MlflowException, match=sentence) as told:
            invocations(json.dumps(sent), "application/json", model, model.metadata.get_input_schema())
        assert told.value.get_http_status_code() == 400


def test_a_changed_default_reaches_the_champion_and_leaves_its_weights_alone(project_of):
    root = project_of("translation")
    run("tiny")
    before = Path(download_artifacts(CHAMPION))
    weights, model = (before / "artifacts/model/model.safetensors").stat(), Model.load(str(before))
    evaluate(root / "data/tiny", 2.5, task="translation", generation={**GENERATION, "max_new_tokens": 3})
    assert run("tiny")["version"] == 1
    assert defaults()["max_new_tokens"] == 3
    longest = max(len(text.encode()) for text in load_model(CHAMPION).predict(TEXTS))
    assert longest <= 3 * len("\N{REPLACEMENT CHARACTER}".encode())
    after = Path(download_artifacts(CHAMPION))
    assert (after / "artifacts/model/model.safetensors").stat().st_ctime_ns == weights.st_ctime_ns
    assert Model.load(str(after)).model_size_bytes == pytest.approx(model.model_size_bytes, abs=10)
    assert model.model_size_bytes > weights.st_size
    assert the_model().source_run_id == model.run_id
    (version,) = MlflowClient().search_model_versions("name = 'tiny'")
    assert version.source == f"models:/{the_model().model_id}"


def test_changed_code_reaches_the_champion(project, monkeypatch):
    run("tiny")
    code = served_code("causal-lm")
    monkeypatch.setattr("tasks.register.package.served_code", lambda task: f"{code}\n# newer")
    run("tiny")
    assert Path(download_artifacts(CHAMPION), "served.py").read_text().endswith("# newer")


def test_an_evaluation_that_does_not_say_how_it_wrote_is_told(project_of):
    root = project_of("summarization")
    evaluate(root / "data/tiny", 2.5, task="summarization", generation={"num_beams": 4})
    with pytest.raises(DataError, match=r"evaluation/report\.json: details\.generation\.max_new_tokens: missing"):
        run("tiny")
