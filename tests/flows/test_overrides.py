"""Settings from the command line: parsed, checked in the words of `gristmill check`, and written into a recipe."""

import re
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest

from flows.overrides import (
    Over,
    changed,
    other_measure,
    parse_over,
    parse_set,
    require_keys,
    require_overs,
    require_values,
    write_into,
)
from tasks.stage.errors import GristmillError, RecipeError
from tasks.stage.settings import read_yaml
from tests.scratch import ROOT, TINY

SHIPPED = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
BY = "by the sweep first, trial 7 of 20, validation loss 3.21, 2026-11-28"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """dvc.yaml and all shipped recipes, and the tiny one."""
    (tmp_path / "recipes").mkdir()
    for path in (*(ROOT / "recipes").glob("*.yaml"), TINY):
        shutil.copy2(path, tmp_path / "recipes")
    shutil.copy2(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(text: str) -> Path:
    path = Path("recipes/mine.yaml")
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=20", 20),
        ("k=3e-3", 0.003),
        ("k=null", None),
        ("k=bf16", "bf16"),
        ("k='20'", "20"),
        ("k=[1, b]", [1, "b"]),
        ("k = a=b ", "a=b"),
    ],
)
def test_a_value_is_yaml(text: str, value: Any) -> None:
    assert parse_set(text) == ("k", value)


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("k=1e-4..1e-2:log", Over("k", None, 1e-4, 1e-2, log=True)),
        ("k=16..64", Over("k", None, 16, 64, integer=True)),
        ("k=-0.5..1", Over("k", None, -0.5, 1)),
        ("k=128,192", Over("k", (128, 192))),
        ("k=adamw, muon", Over("k", ("adamw", "muon"))),
        ("k=true,false,null", Over("k", (True, False, None))),
        ("k={name: muon},[1, 2]", Over("k", ({"name": "muon"}, [1, 2]))),
        ("k='1..2'", Over("k", ("1..2",))),
    ],
)
def test_a_range_or_choices(text: str, over: Over) -> None:
    assert parse_over(text) == over


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("k", "expected KEY=VALUE"),
        ("a..b=1", "expected KEY=VALUE"),
        ("k=", "no value after the equals sign"),
        ("k=2..2", "the lower end must be less than the upper one"),
        ("k=0..1:log", "a logarithm needs a lower end above 0, not 0"),
        ("k=a..b", 'a range needs two numbers, and "a" is none'),
        ("k=1...inf", "a range needs two numbers, and Infinity is none"),
        ("k=1,2:log", "only a range has a logarithm"),
        ("k=1,2,1", "1 stands there twice"),
        ("k=1,true", "true stands there twice"),
        ("k=a,,b", "is not valid YAML"),
    ],
)
def test_what_cannot_be_searched_is_told(text: str, told: str) -> None:
    with pytest.raises(GristmillError, match=re.escape(f"--over {text}: ")) as error:
        parse_over(text)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("train.step", "train.step: unknown key; did you mean steps?"),
        ("steps", "steps: unknown key; did you mean train.steps?"),
        ("train.label_smoothing", "train.label_smoothing: unknown key"),
        ("train.steps.x", "train.steps: 30 has no keys; set train.steps as a whole"),
        ("evaluate.prompts.1", "evaluate.prompts.1: the list has 1 items, numbered from 0 to 0"),
        ("train.optimizer.momentun", "train.optimizer.momentun: unknown key; did you mean momentum?"),
        ("description", "description: no stage reads it"),
        ("register.beat", "register.beat: no stage reads it: it decides after the training"),
    ],
)
def test_a_key_that_no_stage_can_read_is_refused(key: str, told: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"recipes/tiny.yaml: {told}")):
        require_keys("tiny", [key])


def test_keys_that_meet_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.steps: given twice"):
        require_keys("tiny", ["train.steps", "train.steps"])
    with pytest.raises(RecipeError, match=r"train\.schedule\.name: lies inside train\.schedule"):
        require_keys("tiny", ["train.schedule.name", "train.schedule"])


def test_values_are_refused_in_the_words_of_check() -> None:
    for values, told in (
        ({"train.steps": 0}, "train.steps: must be at least 1, not 0"),
        (
            {"model.config.hidden_sizes": 3},
            "model.config: hidden_sizes: unknown key for llama; did you mean hidden_size?",
        ),
        ({"train.epochs": 2}, "train: set either steps or epochs"),
        ({"train.context_length": 128}, "train.context_length: 128 exceeds the 64 positions of model.config"),
        ({"train.optimizer.name": "sgd"}, 'train.optimizer.name: expected one of adamw, muon, not "sgd"'),
    ):
        with pytest.raises(RecipeError, match=re.escape(f"recipes/tiny.yaml: {told}")):
            require_values("tiny", values)
    assert require_values("tiny", {"train.epochs": 2, "train.steps": None}).train.epochs == 2


def test_a_section_left_to_its_defaults_keeps_them() -> None:
    content = {"task": "causal-lm", "train": {"steps": 3}}
    new = changed(content, {"train.optimizer.betas.1": 0.5, "clean.near_duplicates.threshold": 0.8})
    assert new["train"] == {"steps": 3, "optimizer": {"name": "muon", "betas": [0.9, 0.5]}}
    assert new["clean"] == {"near_duplicates": {"threshold": 0.8}}
    assert content == {"task": "causal-lm", "train": {"steps": 3}}
    of_adamw = changed(content, {"train.optimizer.learning_rate": 0.1, "train.optimizer.name": "adamw"})
    assert of_adamw["train"]["optimizer"] == {"name": "adamw", "learning_rate": 0.1}


def test_an_alias_is_changed_by_itself() -> None:
    path = recipe("task: causal-lm\nclean: {min_words: &few 3}\ntrain: &all {steps: 3}\nother: *all\n")
    new = changed(read_yaml(path), {"train.steps": 4})
    assert (new["train"], new["other"]) == ({"steps": 4}, {"steps": 3})


def overs(*texts: str) -> tuple[Over, ...]:
    return require_overs("tiny", [parse_over(text) for text in texts])


def test_a_range_is_of_the_numbers_that_its_key_takes() -> None:
    assert overs("train.optimizer.weight_decay=0..1") == (Over("train.optimizer.weight_decay", None, 0.0, 1.0),)
    assert overs("train.steps=1e1..1e2:log") == (Over("train.steps", None, 10, 100, log=True, integer=True),)
    assert overs("model.config.hidden_size=16..64")[0].integer


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train.optimizer.learning_rate=0..1", "train.optimizer.learning_rate: must be greater than 0, not 0.0"),
        ("train.precision=0.1..0.2", "train.precision: expected one of auto, bf16, fp32, not 0.1"),
        ("train.steps=1.5..9", "train.steps: expected an integer, not 1.5"),
        ("train.schedule.name=linear,cosin", 'train.schedule.name: expected one of linear, cosine, wsd, not "cosin"'),
        (
            "evaluate.stride=32,64",
            "evaluate.stride: only evaluate reads it, which the validation loss does not depend on",
        ),
    ],
)
def test_a_sweep_of_what_cannot_be_is_refused_at_once(text: str, told: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"recipes/tiny.yaml: {told}")):
        overs(text)


def test_a_value_needs_one_combination_only() -> None:
    wide = "model.config.max_position_embeddings=64,128"
    assert len(overs("train.context_length=64,128", wide)) == 2
    with pytest.raises(RecipeError, match="128 exceeds the 64 positions"):
        overs("train.context_length=64,128")


def test_keys_that_change_what_the_loss_is_measured_on() -> None:
    keys = ["tokenize.vocab_size", "clean.min_words", "train.evaluation_tokens", "train.steps", "model.init"]
    assert other_measure("tiny", keys) == keys[:3]


def test_optuna_keeps_what_a_trial_tried(tmp_path: Path) -> None:
    """Kept on disk and read again, each parameter gives the value that was suggested, and numbers have four digits."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/o.db", sampler=optuna.samplers.RandomSampler(seed=1))
    texts = ("a=1e-4..1e-2:log", "b=3..5", "c=[0.9, 0.95],[0.9, 0.99]", "d=null,true,x", "e=0.12344..0.2")
    varied = [parse_over(text) for text in texts]
    for _ in range(5):
        trial = study.ask()
        tried = {over.key: over.suggest(trial) for over in varied}
        kept = study.get_trials()[-1].params
        assert {over.key: over.value(kept[over.key]) for over in varied} == tried
        assert float(f"{tried['a']:.4g}") == tried["a"] and isinstance(tried["b"], int) and isinstance(tried["c"], list)
    assert varied[4].value(0.12344) == 0.12344  # never outside the range


def numbers(content: Any, path: str = "") -> dict[str, Any]:
    """All numbers of sections, by key; fractions a little larger, so that the recipe stays valid."""
    found = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= numbers(value, f"{path}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{path}{key}"] = value + (key == "steps") if isinstance(value, int) else round(value * 1.01, 9)
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_every_other_byte_of_a_shipped_recipe_stays(name: str) -> None:
    path = Path(f"recipes/{name}.yaml")
    before, content = path.read_text(), read_yaml(path)
    values = {key: value for part in ("clean", "train") for key, value in numbers(content[part], f"{part}.").items()}
    write_into(name, values, BY)
    after = path.read_text()
    assert read_yaml(path) == changed(content, values)
    kept = [line for line in after.splitlines() if not line.endswith(BY)]
    assert len(after.splitlines()) - len(kept) == len(values) > 3
    number = re.compile(r"\d[\de.+-]*")
    assert [number.sub("N", line) for line in kept] == [number.sub("N", line) for line in before.splitlines()]
    write_into(name, numbers({"train": content["train"]}), BY.replace("first", "second"))
    assert path.read_text().count(", by the sweep second, ") == len(numbers(content["train"]))
    assert path.read_text().count(", by the sweep ") == len(values)  # a comment replaces the last one


def test_the_comment_says_what_stood_there_before() -> None:
    write_into("shakespeare", {"train.optimizer.learning_rate": 0.0021, "train.schedule.decay": 0.6}, BY)
    text = Path("recipes/shakespeare.yaml").read_text()
    assert (
        f"    # learning_rate: 0.0021 instead of 0.003, {BY}\n    learning_rate: 0.0021 # AdamW for head and norms\n"
    ) in text
    assert f"  # decay: 0.6, {BY}\n  schedule: {{name: wsd, warmup_steps: 20, decay: 0.6}}\n" in text


def test_new_keys_lists_and_texts_find_their_place() -> None:
    write_into("tiny", {"train.optimizer.learning_rate": 0.01, "validate.max_problem_share": 0.5}, BY)
    write_into("tiny", {"evaluate.prompts": ["ROMEO\n", "a: b"], "clean.splits.validation_groups.0": "macbeth"}, BY)
    text = Path("recipes/tiny.yaml").read_text()
    assert f"  # learning_rate: 0.01, {BY}\n  optimizer: {{name: muon, learning_rate: 0.01}}\n\nevaluate:" in text
    assert f"# max_problem_share: 0.5, {BY}\nvalidate: {{max_problem_share: 0.5}}\n" in text
    assert '  prompts: ["ROMEO\\n", "a: b"]\n' in text
    assert "    validation_groups: [macbeth]\n" in text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_block_lists_block_texts_and_files_without_a_last_line_end(end: str) -> None:
    text = TINY.read_text().replace(
        '  prompts: ["DROMIO OF SYRACUSE"]', "  prompts:\n    - |\n      DROMIO\n    - b # c"
    )
    text = text.replace("\nregister: {}\n", "").replace("    max_new_tokens: 20\n", "    max_new_tokens: 20")
    path = recipe(text.replace("task:", "register: {}\ntask:", 1).replace("\n", end))
    write_into("mine", {"evaluate.prompts.0": "ROMEO", "evaluate.generation.seed": 3, "train.seed": 1}, BY)
    assert read_yaml(path)["evaluate"] == {
        "window": 64, "stride": 64, "prompts": ["ROMEO", "b"], "generation": {"max_new_tokens": 20, "seed": 3},
    }  # fmt: skip
    written = path.read_bytes().decode()
    assert written.endswith(f"    max_new_tokens: 20{end}    # seed: 3, {BY}{end}    seed: 3{end}")
    assert f"    - b # c{end}" in written and written.count("\n") == written.count(end)


def test_an_anchor_in_the_way_leaves_the_file_as_it_is() -> None:
    text = TINY.read_text().replace("window: 64", "window: &w 64").replace("stride: 64", "stride: *w")
    path = recipe(text.replace("{}\n", "&none {}\n", 1).replace("register: {}", "register: *none"))
    write_into("mine", {"evaluate.stride": 32}, BY)
    assert "  window: &w 64\n" in path.read_text() and "  stride: 32\n" in path.read_text()
    before = path.read_bytes()
    for values, told in (
        ({"validate.max_problem_share": 0.5}, r"an anchor.*write it yourself: validate\.max_problem_share: 0\.5"),
        ({"train.steps": 0}, "must be at least 1"),
    ):
        with pytest.raises(RecipeError, match=told):
            write_into("mine", values, BY)
    assert path.read_bytes() == before
