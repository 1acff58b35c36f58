import json
import re
import shutil
from pathlib import Path

import pytest

from flows.recipes import LIST, check, listed_recipes, new_recipe
from tasks.stage.errors import RecipeError
from tests.families import tiny_recipe
from tests.scratch import ROOT, TINY

FILES = """ingest:
  kind: files
  licence: my own
  files: {files}
"""
WIRED = "*alone"
WITH_TEXTS = "{<<: *alone, source: texts}"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    alone = f"  - recipes:\n      shakespeare: {WIRED}\n\n"
    (tmp_path / "dvc.yaml").write_text(LIST.sub(alone, (ROOT / "dvc.yaml").read_text(), count=1))
    for folder in ("recipes", "texts"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(TINY, tmp_path / "recipes" / "shakespeare.yaml")
    return tmp_path


def reads(files: str, name: str = "shakespeare") -> None:
    path = Path("recipes") / f"{name}.yaml"
    head, _, tail = path.read_text().partition("ingest:\n")
    path.write_text(head + FILES.format(files=files) + tail[tail.index("\nvalidate:") :])


def test_a_new_recipe_changes_one_line_of_the_graph(project: Path) -> None:
    before = Path("dvc.yaml").read_text().splitlines()
    new_recipe("sonnets", "shakespeare")
    after = Path("dvc.yaml").read_text().splitlines()
    assert [line for line in after if line not in before] == ["      sonnets: *alone"]
    assert len(after) == len(before) + 1
    assert listed_recipes()["sonnets"] == listed_recipes()["shakespeare"]
    assert Path("recipes/sonnets.yaml").read_text() == Path("recipes/shakespeare.yaml").read_text()
    check("sonnets")
    new_recipe("another", "sonnets")
    assert list(listed_recipes()) == ["shakespeare", "sonnets", "another"]


@pytest.mark.parametrize(
    ("name", "like", "sentence"),
    [
        ("Sonnets", "shakespeare", "'Sonnets' is not a recipe name"),
        ("2024", "shakespeare", "'2024' is not a recipe name"),
        ("true", "shakespeare", "'true' is not a recipe name"),
        ("s" * 65, "shakespeare", "is not a recipe name"),
        ("shakespeare", "shakespeare", r"recipes/shakespeare\.yaml: the recipe shakespeare already exists"),
        ("sonnets", "novels", r"recipes/novels\.yaml: no such recipe"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_changes_nothing(name: str, like: str, sentence: str) -> None:
    before = Path("dvc.yaml").read_text()
    with pytest.raises(RecipeError, match=sentence):
        new_recipe(name, like)
    assert Path("dvc.yaml").read_text() == before


@pytest.mark.parametrize(
    "item",
    [
        "texts",
        "",
        "{sources: texts}",
        "{<<: *alone, source: 3}",
        "{<<: *alone, source: .}",
        "{<<: *alone, source: nowhere}",
        "{source: texts}",
        "{<<: *alone, init: nowhere}",
    ],
)
def test_what_dvc_cannot_watch_is_told(item: str) -> None:
    graph = Path("dvc.yaml")
    graph.write_text(graph.read_text().replace(WIRED, item))
    with pytest.raises(RecipeError, match=r"^dvc\.yaml: vars\.recipes\.shakespeare[.:]"):
        check("shakespeare")


def test_texts_in_two_folders_are_told() -> None:
    reads("[texts/*.txt, more/*.md]")
    with pytest.raises(RecipeError, match=r"recipes/shakespeare\.yaml: ingest\.files: .*put all texts under one"):
        check("shakespeare")


def test_a_recipe_that_is_not_wired_says_how(project: Path) -> None:
    shutil.copy("recipes/shakespeare.yaml", "recipes/loose.yaml")
    with pytest.raises(RecipeError, match=re.escape(f"missing; write `loose: {WIRED}`")):
        check("loose")
    reads("[texts/a/*.txt, texts/b/**/*.md]", "loose")
    with pytest.raises(RecipeError, match=re.escape(f"missing; write `loose: {WITH_TEXTS}`")):
        check("loose")


def test_dvc_must_watch_the_files_that_a_recipe_reads(project: Path) -> None:
    reads("[texts/*.txt]")
    with pytest.raises(
        RecipeError, match=f"DVC watches data/code/ingest.json, .* reads texts; write .*{re.escape(WITH_TEXTS)}"
    ):
        check("shakespeare")
    graph = Path("dvc.yaml")
    graph.write_text(graph.read_text().replace(WIRED, WITH_TEXTS))
    check("shakespeare")


def test_dvc_must_watch_the_evaluation_sets_that_a_recipe_is_not_trained_on(project: Path) -> None:
    recipe, graph = Path("recipes/shakespeare.yaml"), Path("dvc.yaml")
    text = recipe.read_text()
    recipe.write_text(text.replace("clean:\n", "clean:\n  contamination: {files: [exams/a.jsonl, exams/b/c.txt]}\n"))
    Path("exams").mkdir()
    wanted = "{<<: *alone, unseen: exams}"
    with pytest.raises(
        RecipeError, match=rf"unseen: DVC watches data/code/clean\.json, .*exams/a\.jsonl; .*{re.escape(wanted)}"
    ):
        check("shakespeare")
    graph.write_text(graph.read_text().replace(WIRED, wanted))
    check("shakespeare")
    recipe.write_text(text.replace("clean:\n", "clean:\n  contamination: {files: [/exams/a.txt, exams/b.txt]}\n"))
    with pytest.raises(RecipeError, match=r"clean\.contamination\.files: DVC can watch only one folder"):
        check("shakespeare")


def test_texts_in_the_root_cannot_be_watched(project: Path) -> None:
    reads("['*.txt']")
    with pytest.raises(RecipeError, match=r"ingest\.files: DVC cannot watch the project root"):
        check("shakespeare")


def test_the_union_of_sources_names_keys_as_they_stand_in_the_file(project: Path) -> None:
    reads("[/etc/passwd]")
    with pytest.raises(RecipeError, match=r"^recipes/shakespeare\.yaml: ingest\.files\.0: must be relative"):
        check("shakespeare")


def test_files_in_a_bucket_are_told_how_they_come_into_the_project(project: Path) -> None:
    reads('["s3://corpora/texts/*.jsonl"]')
    with pytest.raises(RecipeError) as raised:
        check("shakespeare")
    assert str(raised.value) == (
        "recipes/shakespeare.yaml: ingest.files.0: s3://corpora/texts/*.jsonl is a URL, not a path; fetch it into "
        "the project with `dvc import-url` (docs/servers.md, Shared cache and buckets), or pin one file with kind: url"
    )


def fine_tunes(init: str, name: str = "tuned") -> None:
    """Write a second recipe, which starts from another model."""
    text = Path("recipes/shakespeare.yaml").read_text()
    model = text[text.index("\nmodel:") : text.index("\ntrain:")]
    quoted = init if init.startswith("{") else f"'{init}'"
    text = text.replace(model, f"\nmodel:\n  init: {quoted}\n").replace("vocab_size: 512", "kind: base")
    Path(f"recipes/{name}.yaml").write_text(text)


def test_dvc_must_watch_the_model_that_a_recipe_starts_from() -> None:
    fine_tunes("recipe:shakespeare")
    with pytest.raises(RecipeError, match=re.escape("write `tuned: {<<: *alone, init: data/shakespeare/model}`")):
        check("tuned")
    graph = Path("dvc.yaml")
    line = f"      shakespeare: {WIRED}\n"
    graph.write_text(graph.read_text().replace(line, line + line.replace("shakespeare", "tuned")))
    with pytest.raises(
        RecipeError, match=r"tuned\.init: DVC watches data/code/base\.json, but the recipe reads data/shakesp"
    ):
        check("tuned")
    graph.write_text(
        graph.read_text().replace(
            f"tuned: {WIRED}",
            "tuned: {<<: *alone, init: data/shakespeare/model}",
        )
    )
    assert check("tuned").model.from_scratch is False
    fine_tunes("recipe:nobody")
    with pytest.raises(RecipeError, match=r"recipes/tuned\.yaml: model\.init: no recipe 'nobody'"):
        check("tuned")
    fine_tunes("{kind: folder, path: models/mine}")
    with pytest.raises(RecipeError, match=r"but the recipe reads models/mine; write .*init: models/mine}"):
        check("tuned")


def starts(**recipes: dict) -> None:
    """Write recipes that start from one another, and add them to dvc.yaml."""
    lines = "".join(f"      {name}: {WITH_TEXTS}\n" for name in recipes)
    for name, recipe in recipes.items():
        Path(f"recipes/{name}.yaml").write_text(json.dumps(recipe))
        if base := recipe["model"]["init"].partition(":")[2]:
            wired = WITH_TEXTS.replace("}", f", init: data/{base}/model}}")
            lines = lines.replace(f" {name}: {WITH_TEXTS}", f" {name}: {wired}")
    graph = Path("dvc.yaml")
    graph.write_text(LIST.sub(f"  - recipes:\n{lines}\n", graph.read_text(), count=1))


def masked(init: str) -> dict:
    return tiny_recipe("masked-lm", "texts/all.jsonl", init=init)


def test_a_recipe_cannot_start_from_itself() -> None:
    starts(a=masked("recipe:b"), b=masked("recipe:c"), c=masked("recipe:b"), d=masked("recipe:d"))
    for name, circle in {"a": "b -> c -> b", "b": "b -> c -> b", "c": "c -> b -> c", "d": "d -> d"}.items():
        told = f"recipes/{circle[0]}.yaml: model.init: starts from itself ({circle})"
        with pytest.raises(RecipeError, match=f"^{re.escape(told)}$"):
            check(name)
    starts(a=masked("recipe:b"), b=masked("recipe:c"), c=masked("scratch"))
    check("a")
    Path("recipes/c.yaml").write_text(json.dumps(masked("recipe:nobody")))
    with pytest.raises(RecipeError, match=r"^recipes/c\.yaml: model\.init: no recipe 'nobody'"):
        check("a")


@pytest.mark.parametrize(
    ("task", "base", "like", "sentence"),
    [
        ("causal-lm", "masked-lm", "", "the vocabulary of masked-lm has no end-of-text token"),
        ("translation", "masked-lm", "", "the vocabulary of masked-lm has no end-of-text token"),
        ("summarization", "classification", "", "the vocabulary of classification has no end-of-text token"),
        ("causal-lm", "translation", "", "marian is an encoder-decoder, not a causal model"),
        ("causal-lm", "summarization", "", "'t5' is not a transformers architecture for causal-lm"),
        ("masked-lm", "translation", "", "'marian' is not a transformers architecture for masked-lm"),
        ("masked-lm", "causal-lm", "masked-lm", "the vocabulary of causal-lm has no mask token"),
        ("classification", "translation", "", "'marian' is not a transformers architecture for classification"),
        ("causal-lm", "causal-lm", "", None),
        ("causal-lm", "translation", "causal-lm", None),
        ("translation", "causal-lm", "", None),
        ("translation", "summarization", "", None),
        ("masked-lm", "classification", "", None),
        ("classification", "summarization", "", None),
        ("classification", "causal-lm", "", None),
        ("classification", "masked-lm", "", None),
    ],
)
def test_a_base_must_do_for_the_task(task: str, base: str, like: str, sentence: str | None) -> None:
    """Pairs without an error sentence run through all stages elsewhere."""
    first = tiny_recipe(base, "texts/all.jsonl", like=like)
    between, last = (tiny_recipe(name, "texts/all.jsonl", init="recipe:a") for name in ("classification", task))
    starts(a=first, b=last)
    if sentence is None:
        assert check("b").task == task
        return
    told = f"recipes/b.yaml: model.init: a does not fit {task}: {sentence}"
    with pytest.raises(RecipeError, match=f"^{re.escape(told)}"):
        check("b")
    starts(a=first, between=between, b={**last, "model": {"init": "recipe:between"}})
    with pytest.raises(RecipeError, match=f"^{re.escape(told)}"):
        check("b")


def test_a_graph_from_before_the_stage_code_says_what_to_do() -> None:
    graph = Path("dvc.yaml")
    text = graph.read_text()
    graph.write_text(text.replace(f"shakespeare: {WIRED}", "shakespeare: {source: tasks/ingest, init: tasks/base}"))
    with pytest.raises(
        RecipeError, match=r"source: tasks/ingest is from a version .*; write `shakespeare: \*alone`, then"
    ):
        check("shakespeare")
    graph.write_text(text.replace("\n  code:", "\n  other:"))
    with pytest.raises(
        RecipeError, match=r"stage `code` is missing, .* evaluate@shakespeare`, and nothing trains again$"
    ):
        check("shakespeare")
