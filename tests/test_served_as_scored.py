"""The registered model predicts exactly what the evaluation scored, end to end through all stages."""

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.formats.corpus import read_batches
from tasks.register.predict import Champion
from tasks.register.registration import run as register
from tests.families import tiny_recipe, write_source
from tests.register import empty_database
from tests.scratch import run_stages

PREDICTIONS = {"translation": "prediction", "summarization": "prediction", "classification": "predicted"}


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRISTMILL_DEVICE", "cpu")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("mlflow.db").write_bytes(empty_database())
    write_source(Path("texts/all.jsonl"))
    Path("recipes").mkdir()


def champion_of(name: str, recipe: dict) -> Champion:
    """Run all stages of a recipe; returns its champion."""
    Path(f"recipes/{name}.yaml").write_text(json.dumps(recipe))
    run_stages(name)
    register(name)
    return Champion(name)


def scored_and_texts(name: str, column: str) -> tuple[list, list[str]]:
    scored = pq.read_table(f"data/{name}/evaluation/scores.parquet").column(column).to_pylist()
    clean = Path(f"data/{name}/clean/test")
    return scored, [text for batch in read_batches(clean, ["text"]) for text in batch[0].to_pylist()]


@pytest.mark.parametrize("task", PREDICTIONS)
def test_the_champion_repeats_what_the_evaluation_scored(task: str) -> None:
    champion = champion_of("tiny", tiny_recipe(task, "texts/all.jsonl"))
    scored, texts = scored_and_texts("tiny", PREDICTIONS[task])
    answers = champion.predict(texts, {})
    assert [answer["label"] if isinstance(answer, dict) else answer for answer in answers] == scored
    assert len(scored) == len(texts) > 10


def test_so_does_a_causal_one_with_the_tokenizer_of_its_base() -> None:
    """Covers truncation, closing tokens, prefix and the repetition limit."""
    base = tiny_recipe("causal-lm", "texts/all.jsonl")
    Path("recipes/base.yaml").write_text(json.dumps(base))
    run_stages("base")
    recipe = tiny_recipe("summarization", "texts/all.jsonl", init="recipe:base", steps=3, source_length=16)
    recipe["tokenize"]["prefix"] = "short: "
    recipe["evaluate"] = {"generation": {"num_beams": 1, "max_new_tokens": 20, "no_repeat_ngram_size": 2}}
    champion = champion_of("tiny", recipe)
    scored, texts = scored_and_texts("tiny", "prediction")
    assert json.loads(Path("data/tiny/evaluation/metrics.json").read_text())["truncated"] > 0
    assert champion.predict(texts, {}) == scored and len(set(scored)) > 3


@pytest.mark.parametrize("drawn", [{"temperature": 0}, {"temperature": 0.8, "top_p": 0.95}, {}])
@pytest.mark.parametrize("kind", ["byte-level-bpe", "unigram"])
def test_a_causal_model_goes_on_as_its_samples_do(kind: str, drawn: dict) -> None:
    recipe = tiny_recipe("causal-lm", "texts/all.jsonl", steps=30)
    recipe["tokenize"] = {"kind": kind, "vocab_size": 300 if kind == "byte-level-bpe" else 45}
    generation = {"max_new_tokens": 12, "seed": 4, **drawn}
    recipe["evaluate"] = {**recipe["evaluate"], "generation": generation}
    champion = champion_of("tiny", recipe)
    (sample,) = json.loads(Path("data/tiny/evaluation/samples.json").read_text())
    answer = champion.predict([sample["prompt"]], {})
    assert answer == [sample["prompt"] + sample["text"]] and sample["text"].strip()


def write_conversations(path: Path) -> None:
    """Conversations of up to four questions, half with a system prompt; some have more tokens than the positions."""
    draw, said = random.Random(1), []
    for number in range(120):
        turns = [{"role": "system", "content": "reverse"}] if number % 2 else []
        for _ in range(1 + number % 4):
            words = ["".join(draw.choices("aeiklmnrst", k=draw.randint(2, 5))) for _ in range(draw.randint(2, 9))]
            answer = " ".join(reversed(words)).upper()
            turns += [{"role": "user", "content": " ".join(words)}, {"role": "assistant", "content": answer}]
        said.append(json.dumps({"messages": turns, "group": f"g{number % 30}"}))
    path.write_text("\n".join(said))


@pytest.mark.parametrize("search", [{"no_repeat_ngram_size": 2}, {"num_beams": 2, "repetition_penalty": 1.2}])
def test_a_chat_model_answers_as_the_evaluation_of_its_recipe(search: dict) -> None:
    """Covers templates, histories that are cut, and white space at both ends."""
    write_conversations(Path("texts/chats.jsonl"))
    recipe = tiny_recipe("chat", "texts/chats.jsonl")
    recipe["model"]["config"]["initializer_range"] = 1.0  # each history gets another answer
    recipe["ingest"]["documents"] = {"messages_column": "messages", "group_column": "group"}
    recipe["evaluate"] = {"generation": {"max_new_tokens": 16, **search}}
    champion = champion_of("tiny", recipe)
    scored = pq.read_table("data/tiny/evaluation/scores.parquet").column("prediction").to_pylist()
    clean = [json.loads(text) for batch in read_batches(Path("data/tiny/clean/test"), ["messages"])
             for text in batch[0].to_pylist()]  # fmt: skip
    histories = [{"messages": turns[:-1]} for turns in clean]
    assert champion.count_cut(histories, {}) > 2
    answers = [found["choices"][0]["message"]["content"] for found in champion.predict(histories, {})]
    assert answers == scored and len(set(scored)) > 5
    assert ["".join(champion.talk(each["messages"], {})) for each in histories[:4]] == scored[:4]
