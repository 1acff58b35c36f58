"""The schema that editors read takes every good recipe, refuses what `gristmill check` refuses, and is up to date."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flows.cli.schema import REFERENCE, SCHEMA, files
from tasks.recipe import RECIPES
from tasks.stage.errors import RecipeError
from tasks.stage.settings import read_yaml, validate
from tests.families import tiny_recipe
from tests.scratch import ROOT, TINY

SHIPPED = sorted((ROOT / "recipes").glob("*.yaml"))
PACKAGE = {"kind": "package", "name": "a", "version": "1", "sha256": "0" * 64, "path": "a/model", "licence": "MIT"}
HUB = {"kind": "hub", "name": "owner/name", "revision": "main", "licence": "MIT"}


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / SCHEMA).read_text(encoding="utf-8")))


def accepted(recipe: dict[str, Any]) -> bool:
    """By pydantic, as in `gristmill check`."""
    try:
        validate(RECIPES[recipe["task"]], recipe, Path("recipes/x.yaml"))
    except RecipeError:
        return False
    return True


@pytest.mark.parametrize("path", [SCHEMA, REFERENCE], ids=str)
def test_what_the_command_writes_is_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == files()[path], "run: gristmill schema"


def test_it_is_a_schema_of_its_draft(schema: Draft202012Validator) -> None:
    Draft202012Validator.check_schema(schema.schema)


@pytest.mark.parametrize("path", [*SHIPPED, TINY], ids=lambda path: path.stem)
def test_it_takes_every_shipped_recipe(schema: Draft202012Validator, path: Path) -> None:
    schema.validate(read_yaml(path))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_editors_find_it_from_every_shipped_recipe(path: Path) -> None:
    marker, _, place = path.read_text(encoding="utf-8").splitlines()[0].partition("$schema=")
    assert marker == "# yaml-language-server: "
    assert (path.parent / place).resolve() == (ROOT / SCHEMA).resolve()


@pytest.mark.parametrize("task", RECIPES)
def test_it_takes_every_family(schema: Draft202012Validator, task: str) -> None:
    recipe = tiny_recipe(task, "texts/all.jsonl")
    assert accepted(recipe)
    schema.validate(recipe)


@pytest.mark.parametrize(
    "init",
    ["recipe:other", {"kind": "recipe", "name": "other"}, {"kind": "folder", "path": "models/mine"}, PACKAGE, HUB],
)
def test_it_takes_every_way_to_name_a_base(schema: Draft202012Validator, init: Any) -> None:
    recipe = tiny_recipe("classification", "texts/all.jsonl", init=init)
    assert accepted(recipe)
    schema.validate(recipe)


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ("causal-lm", "model.init", {"kind": "scratch"}),
        ("causal-lm", "train.steps", None),
        ("causal-lm", "train.optimizer", {"name": "muon", "betas": [0.9, 0.99]}),
        ("causal-lm", "clean.max_blank_lines", None),
        ("causal-lm", "clean.quality", {"preset": "fineweb", "gopher_quality": {"min_words": 20}, "c4": None}),
        ("causal-lm", "clean.privacy", {"iban": {"action": "drop"}, "special_addresses": ["private"]}),
        ("causal-lm", "validate.expectations", [{"expectation": "ExpectColumnToExist", "column": "id"}]),
        ("causal-lm", "register", {"metric": "loss", "beat": ["base"]}),
        ("causal-lm", "register", {"metric": None, "at_most": 3}),
        ("classification", "ingest", {"kind": "hub", "licence": "MIT", "dataset": "a/b", "split": "train"}),
        ("classification", "ingest", {"kind": "hub", "licence": "MIT", "dataset": "a/b", "split": ["train", "test"]}),
    ],
)
def test_it_takes_what_keys_can_also_be(schema: Draft202012Validator, task: str, key: str, value: Any) -> None:
    recipe = changed(tiny_recipe(task, "texts/all.jsonl"), key, value)
    if key == "train.steps":
        recipe["train"]["epochs"] = 1
    if key == "register":
        recipe["model"], recipe["tokenize"] = {"init": "recipe:other"}, {"kind": "base"}
    if key == "ingest":
        recipe["ingest"]["documents"] = {"label_column": "label"}
    assert accepted(recipe)
    schema.validate(recipe)


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ("causal-lm", "task", "causal"),
        ("causal-lm", "licence", "MIT"),
        ("causal-lm", "description", ""),
        ("causal-lm", "ingest.url", "https://example.org"),
        ("causal-lm", "ingest.kind", "ftp"),
        ("causal-lm", "ingest.files", "texts/*.txt"),
        ("causal-lm", "ingest.files", []),
        ("causal-lm", "ingest.documents.columns", {}),
        ("causal-lm", "validate.beat", []),
        ("causal-lm", "clean.min_word", 3),
        ("causal-lm", "clean.min_characters", "3"),
        ("causal-lm", "clean.min_characters", 0),
        ("causal-lm", "clean.html", True),
        ("causal-lm", "clean.privacy", {"email": {"action": "mask"}}),
        ("causal-lm", "clean.splits.test", 1),
        ("causal-lm", "tokenize.kind", "bpe"),
        ("causal-lm", "tokenize.vocab_size", 3000.5),
        ("causal-lm", "model.init", "random"),
        ("causal-lm", "model.init", "recipe:Other"),
        ("causal-lm", "model.init", {}),
        ("causal-lm", "model.lora", {"ranks": 8}),
        ("causal-lm", "train.steps", True),
        ("causal-lm", "train.source_length", 128),
        ("causal-lm", "train.optimizer", {"learning_rate": 0.1}),
        ("causal-lm", "train.optimizer", {"name": "sgd"}),
        ("causal-lm", "train.optimizer", {"name": "adamw", "momentum": 0.9}),
        ("causal-lm", "train.optimizer.betas", [0.9, 0.95, 0.99]),
        ("causal-lm", "evaluate.generation.num_beams", 4),
        ("causal-lm", "register.metric", "bleu"),
        ("causal-lm", "register.beat", ["majority"]),
        ("translation", "train.context_length", 128),
        ("translation", "evaluate.window", 128),
        ("translation", "evaluate.rouge", {}),
        ("summarization", "evaluate.rouge", {"tokenizer": "porter"}),
        ("masked-lm", "train.mask_probability", 1),
        ("classification", "train.target_length", 128),
        ("classification", "evaluate.prompts", []),
    ],
)
def test_it_refuses_what_check_refuses(schema: Draft202012Validator, task: str, key: str, value: Any) -> None:
    recipe = tiny_recipe(task, "texts/all.jsonl")
    assert schema.is_valid(recipe)
    bad = changed(recipe, key, value)
    assert key == "task" or not accepted(bad)
    assert not schema.is_valid(bad)


@pytest.mark.parametrize(
    "section", ["ingest", "validate", "clean", "tokenize", "model", "train", "evaluate", "register"]
)
def test_no_section_can_be_left_out(schema: Draft202012Validator, section: str) -> None:
    recipe = tiny_recipe("translation", "texts/all.jsonl")
    del recipe[section]
    assert not schema.is_valid(recipe)


def test_an_error_is_told_at_its_key(schema: Draft202012Validator) -> None:
    recipe = changed(tiny_recipe("translation", "texts/all.jsonl"), "train.source_length", "long")
    assert [error.json_path for error in schema.iter_errors(recipe)] == ["$.train.source_length"]


def test_every_key_is_explained_and_its_default_is_good(schema: Draft202012Validator) -> None:
    keys = list(properties(schema.schema))
    assert len(keys) > 150
    assert [key for key, node in keys if "const" not in node and not node.get("description")] == []
    for key, node in keys:
        if "default" in node:
            errors = list(schema.evolve(schema={**node, "$defs": schema.schema["$defs"]}).iter_errors(node["default"]))
            assert errors == [], key


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in [("", schema), *schema["$defs"].items()]:
        if "oneOf" not in definition:
            yield from ((f"{name}.{key}", node) for key, node in definition.get("properties", {}).items())


def changed(recipe: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one key set, by its path."""
    result = copy.deepcopy(recipe)
    *sections, last = key.split(".")
    place = result
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return result
