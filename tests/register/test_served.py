"""Predictions of each kind of registered model, from the code that MLflow runs."""

import json
import math
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext

from tasks.formats.usage import TOKEN_SETTINGS
from tasks.serve.pairs import KEPT, PairModel
from tasks.serve.shared import _device
from tests.register import GENERATION
from tests.register.models import LABELS, save_model

KINDS = {
    "causal-lm": ("causal", "CausalModel"),
    "translation": ("pairs", "PairModel"),
    "summarization": ("pairs", "PairModel"),
    "masked-lm": ("masked", "MaskedModel"),
    "roberta": ("masked", "MaskedModel"),
    "classification": ("classes", "Classifier"),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "causal-lm": {"max_new_tokens": 8, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "seed": 0},
    "translation": {**GENERATION, "batch_size": 2},
    "summarization": {**GENERATION, "batch_size": 2},
    "masked-lm": {"top_k": 3, "batch_size": 2},
    "roberta": {"top_k": 3, "batch_size": 2},
    "classification": {"batch_size": 2},
}
TEXTS = {"masked-lm": ["the cat [MASK] on the mat", "[MASK]", "a dog [MASK]"], "roberta": ["the [MASK]", "<mask> s"]}
OTHERS = ["the cat sat on the mat", "a", "", "the dog ran away , the cat sat ."]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The model of a task as MLflow loads it; loaded once."""
    loaded: dict[str, Any] = {}

    def make(task: str) -> Any:
        if task not in loaded:
            folder: Path = tmp_path_factory.mktemp(task)
            save_model(folder, task)
            module, name = KINDS[task]
            loaded[task] = getattr(import_module(f"tasks.serve.{module}"), name)()
            loaded[task].load_context(PythonModelContext({"model": str(folder)}, None))
        return loaded[task]

    return make


def ask(model: Any, task: str, texts: list[str], **params: Any) -> list[Any]:
    return model.predict(None, pd.DataFrame({0: texts}, dtype=object), {**DEFAULTS[task], **params})


def outputs(answers: list[Any]) -> list[str]:
    """Answers without their numbers: padding changes the last digits."""
    return [answer if isinstance(answer, str) else answer.get("label", answer.get("text")) for answer in answers]


@pytest.mark.parametrize("task", KINDS)
def test_answers_come_in_the_order_of_the_texts_and_are_the_same_each_time(load, task):
    texts = TEXTS.get(task, OTHERS)
    answers = ask(load(task), task, texts)
    assert answers == ask(load(task), task, texts)
    alone = [outputs(ask(load(task), task, [text]))[0] for text in texts]
    assert outputs(answers) == alone
    assert outputs(ask(load(task), task, texts[::-1])) == alone[::-1]


@pytest.mark.parametrize("task", KINDS)
def test_no_text_no_answer(load, task):
    assert ask(load(task), task, []) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (math.nan, "null"), (pd.NA, "null"), (5, "5"), (["a", "b"], "['a', 'b']"), ([None], "[None]")],
)
@pytest.mark.parametrize("task", KINDS)
def test_what_is_no_text_is_named(load, task, value, shown):
    text = TEXTS.get(task, OTHERS)[0]
    with pytest.raises(MlflowException) as told:
        ask(load(task), task, [text, value, text])
    assert told.value.message == f"input 2 is {shown}, expected a string"
    assert told.value.get_http_status_code() == 400


@pytest.mark.parametrize("task", [task for task in KINDS if task not in TEXTS])
def test_what_is_longer_than_the_model_is_cut_off_and_counted(load, task):
    model, long = load(task), "the cat sat on the mat " * 200
    assert model.count_cut(["a", long, "", long]) == 2
    assert model.count_cut([]) == 0
    assert len(ask(model, task, ["a", long])) == 2
    if task != "causal-lm":
        assert ask(model, task, [long]) == ask(model, task, [long + "dog"])


def test_threads_that_ask_at_the_same_time_get_what_each_would_get_alone(load):
    model = load("causal-lm")
    alone = [ask(model, "causal-lm", ["the cat"], seed=seed) for seed in range(4)]
    found: dict[int, list[Any]] = {}

    def work(seed: int) -> None:
        found[seed] = ask(model, "causal-lm", ["the cat"], seed=seed)

    for _ in range(5):
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [found[seed] for seed in range(4)] == alone


def test_a_prompt_is_continued_by_its_seed(load):
    model = load("causal-lm")
    assert ask(model, "causal-lm", ["a"], seed=1) != ask(model, "causal-lm", ["a"], seed=2)
    likeliest = ask(model, "causal-lm", ["a"], temperature=0.0, seed=1)
    assert likeliest == ask(model, "causal-lm", ["a"], temperature=0.0, seed=2)


def test_a_text_outgrows_the_positions_of_the_model(load):
    (text,) = ask(load("causal-lm"), "causal-lm", ["a"], max_new_tokens=60)
    assert load("causal-lm").positions() == 16
    assert len(load("causal-lm").tokenizer(text)["input_ids"]) > 40


def test_the_prefix_of_the_training_is_put_before_each_text(load):
    model = load("summarization")
    assert model.tokenizer.decode(model.encode(["a"])[0], skip_special_tokens=True) == "summarize: a"


def test_a_pair_with_two_vocabularies_is_written_in_that_of_the_target(load):
    model = load("translation")
    assert len(model.tokenizer) == len(model.target) + 1
    (answer,) = ask(model, "translation", ["the cat"], num_beams=1, no_repeat_ngram_size=0)
    ids = model.model.generate(**next(model.batches(model.encode(["the cat"]), 1))[1], num_beams=1, max_new_tokens=12)
    assert answer == model.target.decode(ids[0], skip_special_tokens=True).strip()
    assert answer != model.tokenizer.decode(ids[0], skip_special_tokens=True).strip()


def test_a_pair_model_writes_as_much_as_it_has_positions(load):
    answers = ask(load("translation"), "translation", ["the cat"], max_new_tokens=32, min_new_tokens=32)
    assert len(answers) == 1


def test_only_the_parameters_say_how_an_output_is_searched_for(load, tmp_path):
    save_model(tmp_path, "summarization")
    path = tmp_path / "generation_config.json"
    said = json.loads(path.read_text()) | {"min_length": 9, "num_beams": 5, "encoder_repetition_penalty": 9.0}
    path.write_text(json.dumps(said))
    model = PairModel()
    model.load_context(PythonModelContext({"model": str(tmp_path)}, None))
    assert ask(model, "summarization", OTHERS) == ask(load("summarization"), "summarization", OTHERS)


def test_evaluation_and_service_take_the_same_from_the_generation_config_of_pairs():
    assert KEPT == TOKEN_SETTINGS  # defined twice, because the served file is self-contained


def test_the_likeliest_tokens_come_first_and_fill_the_masks(load):
    text = "The cat\n[MASK] on, the [MASK]."
    (answer,) = ask(load("masked-lm"), "masked-lm", [text], top_k=4)
    assert [len(tokens) for tokens in answer["masks"]] == [4, 4]
    for tokens in answer["masks"]:
        chances = [token["probability"] for token in tokens]
        assert chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1
        assert not any(token["token"].startswith("[") for token in tokens)
    first, second = (tokens[0]["token"] for tokens in answer["masks"])
    assert answer["text"] == f"The cat\n{first} on, the {second}."


@pytest.mark.parametrize(
    ("token", "text", "filled"),
    [
        ("Ġcat", "the [MASK] sat", "the cat sat"),
        ("Ġcat", "the\n<mask> sat", "the\ncat sat"),
        ("Ġcat", "<mask>s", "cats"),
        ("Ġcat", "the<mask>", "the cat"),
        ("s", "two cat <mask>.", "two cats."),
        ("s", " <mask>", " s"),
    ],
)
def test_a_token_brings_its_own_space_or_goes_on_with_the_word(load, token, text, filled):
    model = load("roberta")
    assert model._fill(text, [model.tokenizer.convert_tokens_to_ids(token)]) == filled


def test_a_text_without_a_mask_is_named(load):
    with pytest.raises(MlflowException, match=r"input 2: no \[MASK\] in 'the dog'") as told:
        ask(load("masked-lm"), "masked-lm", ["a [MASK]", "the dog"])
    assert told.value.get_http_status_code() == 400


def test_a_mask_behind_the_end_of_the_model_is_named(load):
    text = "cat " * 40 + "[MASK]"
    with pytest.raises(MlflowException, match="input 1: mask 1 is beyond the 16 tokens"):
        ask(load("masked-lm"), "masked-lm", [text])
    assert load("roberta").longest == 18  # two of its 20 positions are for padding
    ask(load("roberta"), "roberta", ["<mask>" + "a" * 100])


def test_a_text_has_the_probabilities_of_all_classes(load):
    (answer,) = ask(load("classification"), "classification", ["the cat sat"])
    assert sorted(answer["scores"]) == LABELS
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["score"] == answer["scores"][answer["label"]] == max(answer["scores"].values())
    assert list(answer["scores"].values()) == sorted(answer["scores"].values(), reverse=True)


@pytest.mark.parametrize(
    ("task", "params", "sentence"),
    [
        ("causal-lm", {"top_p": 1.5}, "top_p: must be from 0 to 1, not 1.5"),
        ("causal-lm", {"temperature": -1.0}, "temperature: must be at least 0, not -1"),
        ("causal-lm", {"temperature": math.inf}, "temperature: must be a finite number, not inf"),
        ("causal-lm", {"seed": 2**63}, "seed: must be from 0 to 9223372036854775807, not 9223372036854775808"),
        ("translation", {"length_penalty": math.nan}, "length_penalty: must be a finite number, not nan"),
        ("translation", {"repetition_penalty": math.nan}, "repetition_penalty: must be a finite number, not nan"),
        ("translation", {"num_beams": 0}, "num_beams: must be at least 1, not 0"),
        ("translation", {"max_new_tokens": 33}, "max_new_tokens: must be from 1 to 32, the model's free"),
        ("summarization", {"repetition_penalty": 0.0}, "repetition_penalty: must be more than 0"),
        ("masked-lm", {"top_k": 0}, "top_k: must be at least 1"),
        ("classification", {"batch_size": 0}, "batch_size: must be at least 1"),
    ],
)
def test_a_parameter_out_of_bounds_is_told(load, task, params, sentence):
    with pytest.raises(MlflowException, match=sentence):
        ask(load(task), task, TEXTS.get(task, OTHERS), **params)


@pytest.fixture
def serve(load, monkeypatch):
    """The model of a task as in MLflow's server."""

    def make(task: str) -> Any:
        monkeypatch.setattr(load(task), "serving", True)
        return load(task)

    return make


@pytest.mark.parametrize(
    ("task", "texts", "params", "sentence"),
    [
        ("classification", ["a"] * 1025, {}, "inputs: 1,025 in one request, more than the 1,024 that a server accepts"),
        ("summarization", ["a", "b" * (1 << 20)], {}, "characters of all inputs: 1,048,577 in"),
        ("causal-lm", ["a"] * 1000, {"max_new_tokens": 300}, "inputs x num_beams x max_new_tokens: 300,000 in"),
        ("translation", ["a"] * 500, {"num_beams": 50, "max_new_tokens": 16}, "inputs x num_beams x max_new_tokens: "),
        ("translation", ["a"], {"num_beams": 65}, "num_beams: 65 in"),
        ("classification", ["a"], {"batch_size": 10**9}, "batch_size: 1,000,000,000 in"),
        ("masked-lm", ["[MASK]"], {"top_k": 10**6}, "top_k of filled masks: 1,000,000 in"),
    ],
)
def test_a_request_to_a_server_has_bounds_and_a_call_in_python_has_none(load, serve, task, texts, params, sentence):
    with pytest.raises(MlflowException, match=sentence):
        ask(serve(task), task, texts, **params)
    if task == "classification" and len(texts) > 1:
        load(task).serving = False
        assert len(ask(load(task), task, texts)) == len(texts)


def test_a_request_ends_when_the_server_has_given_up_on_it(serve, monkeypatch):
    monkeypatch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    with pytest.raises(MlflowException, match="stopped after 1 s, MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"):
        ask(serve("causal-lm"), "causal-lm", ["the cat"] * 1000, max_new_tokens=262)
    assert time.monotonic() - began < 5
    assert ask(serve("causal-lm"), "causal-lm", ["the cat"]), "the next request waits for nobody"


def test_a_small_request_is_answered_while_a_large_one_is_at_work(serve):
    model, order = serve("causal-lm"), []

    def work(name: str, texts: list[str]) -> None:
        ask(model, "causal-lm", texts, max_new_tokens=20)
        order.append(name)

    large = threading.Thread(target=work, args=("large", ["the cat"] * 20))
    large.start()
    for _ in range(3):
        work("small", ["a dog"])
    large.join()
    assert order == ["small"] * 3 + ["large"]


@pytest.mark.parametrize("task", [task for task in KINDS if task not in TEXTS])
def test_a_text_of_megabytes_is_cut_before_it_is_tokenized_and_answered_alike(load, monkeypatch, task):
    model = load(task)
    assert len(model.shorten("the cat " * 700_000, 32)) < 10_000
    for unit in ("the cat sat on the mat ", "a", " ", "été 1,5 ", "supercalifragilistic", "\u200b"):
        long = unit * (20_000 // len(unit)) + " the end"
        found, ids = ask(model, task, [long]), model.encode([long])
        with monkeypatch.context() as patch:
            patch.setattr(model, "shorten", lambda text, *_, **__: text)
            assert (found, ids) == (ask(model, task, [long]), model.encode([long])), unit


def test_positions_of_a_model_of_text_and_pictures_are_those_of_its_text(load, monkeypatch):
    from transformers import Gemma3Config, Gemma3TextConfig

    model = load("causal-lm")
    config = Gemma3Config(text_config=Gemma3TextConfig(max_position_embeddings=24))
    with monkeypatch.context() as patch:
        patch.setattr(model.model, "config", config)
        assert model.positions() == 24


def test_a_device_that_is_not_there_is_told(load, monkeypatch):
    for device in ("mps" if torch.cuda.is_available() else "cuda", "tpu"):
        monkeypatch.setenv("GRISTMILL_DEVICE", device)
        with pytest.raises(MlflowException, match=f"^GRISTMILL_DEVICE: torch finds no '{device}' on this machine"):
            _device()


SPECIALS = {"translation": "</s>", "summarization": "<pad>", "classification": "[SEP]"}


@pytest.mark.parametrize("task", SPECIALS)
def test_a_special_token_in_an_input_is_text(load, task):
    model = load(task)
    number, special = (
        model.tokenizer.convert_tokens_to_ids(SPECIALS[task]),
        set(model.tokenizer.all_special_ids) - {model.tokenizer.unk_token_id},
    )
    (plain,), (ids,) = model.encode(["a b"]), model.encode([f"a {SPECIALS[task]} b"])
    assert ids.count(number) == plain.count(number) and len(ids) > len(plain)
    assert [one for one in ids if one in special] == [one for one in plain if one in special]


@pytest.mark.parametrize(("task", "text"), [("masked-lm", "the [MASK] [SEP] a"), ("roberta", "the <mask></s>a")])
def test_only_a_mask_is_more_than_text_in_an_input(load, task, text):
    model = load(task)
    (ids,) = model._encode([text])
    assert ids.count(model.tokenizer.mask_token_id) == 1
    assert ids.count(model.tokenizer.sep_token_id) == 1 and ids[-1] == model.tokenizer.sep_token_id
    (answer,) = ask(model, task, [text])
    assert len(answer["masks"]) == 1
    long = f"{text} {'a ' * 30}"
    assert model.count_cut([text, long]) == 1
    assert len(model._encode([long])[0]) == model.longest and model._encode([long])[0][-1] == ids[-1]


def test_a_prompt_begins_as_the_base_has_it_even_beyond_its_context(tmp_path, monkeypatch):
    from tokenizers import Tokenizer, processors

    from tasks.serve.causal import CausalModel

    save_model(tmp_path, "causal-lm")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    begin = tokenizer.token_to_id("!")
    tokenizer.post_processor = processors.TemplateProcessing(single="! $A", special_tokens=[("!", begin)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model, seen = CausalModel(), []
    model.load_context(PythonModelContext({"model": str(tmp_path)}, None))
    generate = model.model.generate
    monkeypatch.setattr(
        model.model, "generate", lambda ids, **how: seen.append(ids[0].tolist()) or generate(ids, **how)
    )
    (answer,) = ask(model, "causal-lm", ["ab"], temperature=0.0, max_new_tokens=30)
    assert answer.startswith("ab") and len(seen) > 1
    assert seen[0] == [begin, *model.tokenizer("ab", add_special_tokens=False)["input_ids"]]
    assert all(ids[0] == begin for ids in seen)
