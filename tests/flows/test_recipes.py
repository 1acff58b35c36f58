import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from flows.recipes import check, listed_recipes
from flows.rewire import new_recipe
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tests.families import tiny_recipe
from tests.scratch import ROOT, STAGES, TINY, graph_of

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
    (tmp_path / "dvc.yaml").write_text(graph_of({"shakespeare": WIRED}))
    for folder in ("recipes", "texts"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(TINY, tmp_path / "recipes" / "shakespeare.yaml")
    (tmp_path / "texts/a.txt").write_text("some text")
    rows = [{"text": text, "target": "b", "label": text, "group": "d"} for text in "ac"]
    (tmp_path / "texts/all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def reads(files: str, name: str = "shakespeare") -> None:
    path = Path("recipes") / f"{name}.yaml"
    head, _, tail = path.read_text().partition("ingest:\n")
    path.write_text(head + FILES.format(files=files) + tail[tail.index("\nvalidate:") :])


def wire(old: str, new: str) -> None:
    """Edit dvc.yaml."""
    graph = Path("dvc.yaml")
    graph.write_text(graph.read_text().replace(old, new))


def refused(name: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        check(name)


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
        ("true", "shakespeare", "'true' cannot name a recipe"),
        ("code", "shakespeare", r"'code' cannot name a recipe, because it means something else in YAML or in data/"),
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
    wire(WIRED, item)
    refused("shakespeare", r"^dvc\.yaml: vars\.recipes\.shakespeare[.:]")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ("[texts/*.txt, more/*.md]", r"ingest\.files: .*put all texts under one"),
        ("['*.txt']", r"ingest\.files: DVC cannot watch the project root"),
        ("[/etc/passwd]", r"ingest\.files\.0: must be relative"),
        (
            '["s3://corpora/texts/*.jsonl"]',
            r"ingest\.files\.0: s3://corpora/texts/\*\.jsonl is a URL, not a path; fetch it into the project with `dvc "
            r"import-url` \(docs/servers\.md, Shared cache and buckets\), or pin one file with kind: url$",
        ),
    ],
)
def test_files_that_dvc_cannot_watch_are_told(files: str, sentence: str) -> None:
    reads(files)
    refused("shakespeare", rf"^recipes/shakespeare\.yaml: {sentence}")


def test_an_unknown_key_names_the_nearest() -> None:
    wire(WIRED, "{<<: *alone, unsene: exams}")
    refused(
        "shakespeare", r"^dvc\.yaml: vars\.recipes\.shakespeare\.unsene: unknown key; did you mean unseen\?; write "
    )


def test_a_recipe_that_is_not_wired_says_how(project: Path) -> None:
    shutil.copy("recipes/shakespeare.yaml", "recipes/loose.yaml")
    refused("loose", re.escape(f"missing; write `loose: {WIRED}`"))
    reads("[texts/a/*.txt, texts/b/**/*.md]", "loose")
    refused("loose", re.escape(f"missing; write `loose: {WITH_TEXTS}`"))


def test_dvc_must_watch_the_files_that_a_recipe_reads(project: Path) -> None:
    reads("[texts/*.txt]")
    refused("shakespeare", f"DVC watches data/code/ingest.json, .* reads texts; write .*{re.escape(WITH_TEXTS)}")
    wire(WIRED, WITH_TEXTS)
    check("shakespeare")


@pytest.mark.parametrize(
    ("files", "documents", "told"),
    [
        (
            "[texts/a.txt, texts/b/*.txt]",
            {},
            "recipes/shakespeare.yaml: ingest.files.1: 'texts/b/*.txt': matches no file",
        ),
        ("[texts/*.pdf]", {}, "texts/x.pdf: unsupported format (supported: "),
        ("[texts/more/**/*.txt]", {}, "texts/more/link: a link to the folder .."),
        (
            "[texts/x.csv]",
            {},
            "texts/x.csv: no column 'text', but 'text;x'; if ';' separates columns, set ingest.docum",
        ),
        ("[texts/x.csv]", {"delimiter": ";", "group_column": "y"}, "texts/x.csv: no column 'y' (available: text, x)"),
        (
            "[texts/all.jsonl]",
            {"id_column": "key"},
            "texts/all.jsonl: no column 'key' (available: text, target, label, group)",
        ),
        (
            "[texts/u.txt]",
            {},
            "texts/u.txt: not UTF-8, but apparently utf-16-le; set ingest.documents.encoding: utf-16",
        ),
        (
            "[texts/a.txt]",
            {"group_pattern": "zz"},
            "recipes/shakespeare.yaml: ingest.documents.group_pattern: no group",
        ),
        (
            "[texts/*.txt]",
            {"id_column": "x"},
            "recipes/shakespeare.yaml: ingest.documents.id_column: texts/a.txt is a t",
        ),
    ],
)
def test_what_is_there_is_looked_at(files: str, documents: dict, told: str) -> None:
    graph = Path("dvc.yaml")
    graph.write_text(graph.read_text().replace(WIRED, WITH_TEXTS))
    Path("texts/more").mkdir()
    Path("texts/more/link").symlink_to("..")
    for name, content in {"x.pdf": b"", "x.csv": b"text;x\na;b\n", "u.txt": "words".encode("utf-16-le")}.items():
        Path("texts", name).write_bytes(content)
    reads(f"{files}\n  documents: {json.dumps(documents)}")
    with pytest.raises(GristmillError) as raised:
        check("shakespeare")
    assert str(raised.value).startswith(told)


def test_every_file_that_cannot_be_read_is_told_at_once() -> None:
    graph = Path("dvc.yaml")
    graph.write_text(graph.read_text().replace(WIRED, WITH_TEXTS))
    for number in range(30):
        Path(f"texts/{number:02}.pdf").touch()
    reads("['texts/*']")
    with pytest.raises(DataError) as raised:
        check("shakespeare")
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in lines[:20]] == [f"texts/{number:02}.pdf" for number in range(20)]
    assert lines[20:] == ["… and 10 more files"]


def test_texts_that_a_stage_writes_later_are_not_looked_at() -> None:
    graph = Path("dvc.yaml")
    graph.write_text(graph.read_text().replace(WIRED, WITH_TEXTS.replace("texts", "data/made/texts")))
    reads("['data/made/texts/*.txt']")
    check("shakespeare")


def test_a_link_below_the_watched_folder_is_told() -> None:
    graph = Path("dvc.yaml")
    graph.write_text(graph.read_text().replace(WIRED, WITH_TEXTS))
    Path("elsewhere").mkdir()
    Path("elsewhere/b.txt").write_text("b")
    Path("texts/more").symlink_to("../elsewhere")
    reads("[texts/a.txt, texts/more/*.txt]")
    with pytest.raises(
        RecipeError, match=r"source: DVC watches texts, but not the folder that the link texts/more leads"
    ):
        check("shakespeare")
    reads("[texts/more/*.txt]")
    graph.write_text(graph.read_text().replace(WITH_TEXTS, WITH_TEXTS.replace("texts", "texts/more")))
    check("shakespeare")


def test_dvc_must_watch_the_evaluation_sets_that_a_recipe_is_not_trained_on(project: Path) -> None:
    recipe = Path("recipes/shakespeare.yaml")
    text = recipe.read_text()
    recipe.write_text(text.replace("clean:\n", "clean:\n  contamination: {files: [exams/a.jsonl, exams/b/c.txt]}\n"))
    Path("exams").mkdir()
    wanted = "{<<: *alone, unseen: exams}"
    refused("shakespeare", rf"unseen: DVC watches data/code/clean\.json, .*exams/a\.jsonl; .*{re.escape(wanted)}")
    wire(WIRED, wanted)
    check("shakespeare")
    recipe.write_text(text.replace("clean:\n", "clean:\n  contamination: {files: [/exams/a.txt, exams/b.txt]}\n"))
    refused("shakespeare", r"clean\.contamination\.files: DVC can watch only one folder")


def test_dvc_must_watch_the_chat_template_of_a_recipe(project: Path) -> None:
    recipe = Path("recipes/shakespeare.yaml")
    talks = tiny_recipe("causal-lm", "texts/talks.jsonl")
    talks |= {
        "task": "chat",
        "train": {"steps": 6, "context_length": 64},
        "evaluate": {"generation": {"max_new_tokens": 8}},
    }
    talks["tokenize"]["chat_template"] = "recipes/mine.jinja"
    talks["ingest"]["documents"] = {"messages_column": "messages"}
    rows = [{"messages": [{"role": role, "content": "a"} for role in ("user", "assistant")]}] * 3
    Path("texts/talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe.write_text(json.dumps(talks))
    wire(WIRED, WITH_TEXTS)
    wanted = "{<<: *alone, source: texts/talks.jsonl, template: recipes/mine.jinja}"
    refused("shakespeare", rf"template: DVC watches data/code/tokenize\.json, .*mine\.jinja; .*{re.escape(wanted)}")
    wire(WITH_TEXTS, wanted)
    refused("shakespeare", r"template: recipes/mine\.jinja is not a file or folder of the project")
    Path("recipes/mine.jinja").write_text("{{ messages }}")
    new_recipe("sonnets", "shakespeare")
    assert listed_recipes()["sonnets"]["template"] == "recipes/mine.jinja"
    wire("        - ${item.template}\n", "")
    refused("shakespeare", r"stages\.tokenize: DVC does not watch \$\{item\.template\}; copy `vars\.alone`")


def test_a_graph_from_before_chat_templates_still_works(project: Path) -> None:
    wire("      template: data/code/tokenize.json\n", "")
    wire("        - ${item.template}\n", "")
    check("shakespeare")


def fine_tunes(init: str, name: str = "tuned") -> None:
    """Write a second recipe, which starts from another model."""
    text = Path("recipes/shakespeare.yaml").read_text()
    model = text[text.index("\nmodel:") : text.index("\ntrain:")]
    quoted = init if init.startswith("{") else f"'{init}'"
    text = text.replace(model, f"\nmodel:\n  init: {quoted}\n").replace("vocab_size: 512", "kind: base")
    Path(f"recipes/{name}.yaml").write_text(text)


def test_dvc_must_watch_the_model_that_a_recipe_starts_from() -> None:
    fine_tunes("recipe:shakespeare")
    refused("tuned", re.escape("write `tuned: {<<: *alone, init: data/shakespeare/model}`"))
    line = f"      shakespeare: {WIRED}\n"
    wire(line, line + line.replace("shakespeare", "tuned"))
    refused("tuned", r"tuned\.init: DVC watches data/code/base\.json, but the recipe reads data/shakesp")
    wire(f"tuned: {WIRED}", "tuned: {<<: *alone, init: data/shakespeare/model}")
    assert check("tuned").model.from_scratch is False
    fine_tunes("recipe:nobody")
    refused("tuned", r"recipes/tuned\.yaml: model\.init: no recipe 'nobody'")
    fine_tunes("{kind: folder, path: models/mine}")
    refused("tuned", r"but the recipe reads models/mine; write .*init: models/mine}")


def starts(**recipes: dict) -> None:
    """Write recipes that start from one another, and add them to dvc.yaml."""
    lines = dict.fromkeys(recipes, WITH_TEXTS)
    for name, recipe in recipes.items():
        Path(f"recipes/{name}.yaml").write_text(json.dumps(recipe))
        if base := recipe["model"]["init"].partition(":")[2]:
            lines[name] = WITH_TEXTS.replace("}", f", init: data/{base}/model}}")
    graph = Path("dvc.yaml")
    graph.write_text(graph_of(lines, text=graph.read_text()))


def masked(init: str) -> dict:
    return tiny_recipe("masked-lm", "texts/all.jsonl", init=init)


def test_a_recipe_cannot_start_from_itself() -> None:
    starts(a=masked("recipe:b"), b=masked("recipe:c"), c=masked("recipe:b"), d=masked("recipe:d"))
    for name, circle in {"a": "b -> c -> b", "b": "b -> c -> b", "c": "c -> b -> c", "d": "d -> d"}.items():
        told = f"recipes/{circle[0]}.yaml: model.init: starts from itself ({circle})"
        refused(name, f"^{re.escape(told)}$")
    starts(a=masked("recipe:b"), b=masked("recipe:c"), c=masked("scratch"))
    check("a")
    Path("recipes/c.yaml").write_text(json.dumps(masked("recipe:nobody")))
    refused("a", r"^recipes/c\.yaml: model\.init: no recipe 'nobody'")


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
    refused("b", f"^{re.escape(told)}")
    starts(a=first, between=between, b={**last, "model": {"init": "recipe:between"}})
    refused("b", f"^{re.escape(told)}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vars: 3\nstages: {}\n", "vars: expected a list"),
        ("vars: [{recipes: {x: {}}}]\nstages: [a]\n", "stages: exp"),
        ("vars: [{recipes: {x: {}}}]\nstages: {a: 3}\n", "stages: exp"),
        ("vars: [recipes]\nstages: {}\n", "vars: the mapping `recipes` is missing"),
    ],
)
def test_a_graph_of_another_form_is_told(text: str, told: str) -> None:
    Path("dvc.yaml").write_text(text)
    refused("shakespeare", rf"^dvc\.yaml: {told}")


def test_a_graph_from_before_the_stage_code_says_what_to_do() -> None:
    wire(WIRED, "{source: tasks/ingest, init: tasks/base}")
    refused("shakespeare", r"source: tasks/ingest is from a version .*; write `shakespeare: \*alone`, then")
    wire("\n  code:", "\n  other:")
    refused("shakespeare", r"stage `code` is missing, .* evaluate@shakespeare`, and nothing trains again$")


@pytest.mark.parametrize("link", ["data", "data/code", "data/shakespeare", "data/shakespeare/training"])
def test_outputs_on_another_disk_are_refused_before_the_work(project: Path, tmp_path_factory, link: str) -> None:
    Path(".git").mkdir()
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    place = tmp_path_factory.mktemp("big")
    Path(link).symlink_to(place)
    refused("shakespeare", rf"^{link}.*: a link to {place}.*, outside the git repository, .* A bigger disk")
    Path(link).unlink()
    Path("inside").mkdir()
    Path(link).symlink_to(Path("inside").absolute())
    check("shakespeare")


def test_a_frozen_stage_that_never_ran_is_refused_before_the_work() -> None:
    wire("cmd: python -m tasks.train ${key}\n", "cmd: python -m tasks.train ${key}\n      frozen: true\n")
    refused("shakespeare", r"^dvc\.yaml: stages\.train: frozen, .* data/shakespeare/model was never made; unfreeze it")
    Path("dvc.lock").write_text("stages: {train@shakespeare: {}}")
    check("shakespeare")


MIXTURE = "{<<: *alone, source: texts, weights: ingest.sources}"


def write_mixture(*parts: dict[str, object], task: str = "causal-lm", **clean: object) -> None:
    """Replace the recipe by a mixture, and its line in dvc.yaml."""
    recipe = tiny_recipe(task, "texts/all.jsonl")
    given = {"kind": "files", "licence": "x", "files": ["texts/all.jsonl"]}
    recipe["ingest"] = {"sources": [given | part for part in parts]}
    recipe["clean"] |= clean
    Path("recipes/shakespeare.yaml").write_text(json.dumps(recipe))
    wire(f"shakespeare: {WIRED}\n", f"shakespeare: {MIXTURE}\n")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            [{"name": "a"}, {"name": "a"}],
            r"ingest\.sources\.1\.name: another source is named a, too; give each its own$",
        ),
        ([{"name": "a", "weight": 0}], r"ingest\.sources\.0\.weight: must be greater than 0, not 0$"),
        ([{"name": "a", "weight": "much"}], r'ingest\.sources\.0\.weight: expected a number, not "much"$'),
        (
            [{"name": "a"}, {"name": "b", "weight": 1, "split": "test"}],
            r"ingest\.sources\.1\.weight: nothing is trained on a source with split: test$",
        ),
        ([{"name": "a", "split": "test"}], r"ingest\.sources: no source is left to train on$"),
        ([{"name": "a", "wieght": 1}], r"ingest\.sources\.0\.wieght: unknown key; did you mean weight\?$"),
        ([], r"ingest\.sources: needs at least 1, has 0$"),
        (
            [{"name": "a"}, {"name": "b", "kind": "package", "files": ["*.txt"], "version": "1"}],
            r"ingest\.sources\.1\.sha256: missing$",
        ),
        (
            [{"name": "a"}, {"name": "b", "files": ["more/b.jsonl"]}],
            r"ingest\.sources: DVC can watch only one folder; put all texts under one folder of the project$",
        ),
        (
            [{"name": "a"}, {"name": "b", "files": ["texts/empty.jsonl"]}],
            r"ingest\.sources\.1\.kind: the source b is empty: 0 documents, none with text$",
        ),
    ],
)
def test_a_mixture_that_cannot_be_is_one_sentence(parts: list[dict[str, object]], sentence: str) -> None:
    Path("texts/empty.jsonl").write_text("")
    write_mixture(*parts)
    refused("shakespeare", sentence)


@pytest.mark.parametrize(
    ("clean", "sentence"),
    [
        ({"sources": {"x": {"min_words": 2}}}, r"clean\.sources\.x: no such source \(the sources are a, b\)$"),
        (
            {"sources": {"a": {"near_duplicates": {}}}},
            r"clean\.sources\.a\.near_duplicates: holds for the whole corpus; ",
        ),
        ({"sources": {"a": {"min_wrds": 2}}}, r"clean\.sources\.a\.min_wrds: unknown key; did you mean min_words\?$"),
        (
            {"sources": {"a": {"target": {"min_words": 2}}}},
            r"clean\.sources\.a\.target: the documents of this source have no target; remove this key$",
        ),
        (
            {"sources": {"b": {"splits": {"test": 0.5}}}},
            r"clean\.sources\.b\.splits: ingest puts the whole source into test; remove one$",
        ),
    ],
)
def test_rules_for_a_source_are_checked_with_it(clean: dict[str, object], sentence: str) -> None:
    write_mixture({"name": "a"}, {"name": "b", "split": "test"}, **clean)
    refused("shakespeare", sentence)


def test_what_a_single_source_has_does_not_stand_beside_several(project: Path) -> None:
    write_mixture({"name": "a"})
    path = Path("recipes/shakespeare.yaml")
    recipe = json.loads(path.read_text())
    path.write_text(json.dumps(recipe | {"ingest": recipe["ingest"] | {"kind": "files", "licence": "x"}}))
    with pytest.raises(RecipeError) as caught:
        check("shakespeare")
    assert str(caught.value).splitlines() == [
        f"recipes/shakespeare.yaml: ingest.{key}: unknown key beside sources" for key in ("kind", "licence")
    ]
    path.write_text(json.dumps(tiny_recipe("causal-lm", "texts/all.jsonl") | {"clean": {"across_sources": False}}))
    refused("shakespeare", r"clean\.across_sources: ingest has no sources$")


def test_labels_and_problems_are_those_of_all_sources_together() -> None:
    rows = {"even": [{"text": f"a {n}", "label": "even"} for n in range(9)], "odd": [{"text": "b", "label": "odd"}]}
    for name, own in rows.items():
        Path(f"texts/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    parts = [{"name": n, "files": [f"texts/{n}.jsonl"], "documents": {"label_column": "label"}} for n in rows]
    write_mixture(*parts, task="classification")
    check("shakespeare")
    write_mixture(parts[0], parts[0] | {"name": "again"}, task="classification")
    refused("shakespeare", r"ingest\.sources\.0\.documents\.label_column: every document has the class 'even'; a ")
    Path("texts/odd.jsonl").write_text('{"text": "b", "label": "odd"}\n' * 3 + '{"label": "odd"}\n')
    write_mixture(*parts, task="classification")
    with pytest.raises(
        DataError, match=r"yaml: ingest: problems in 1 of the 13 documents, more than validate\.max_prob"
    ):
        check("shakespeare")
    Path("texts/even.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows["even"] * 2))
    check("shakespeare")


def test_a_changed_weight_runs_no_stage_but_ingest_and_train() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    keys = {name: next(iter(stages[name]["do"]["params"][0].values())) for name in STAGES}
    assert {name for name, read in keys.items() if {"ingest", "${item.weights}"} & set(read)} == {"ingest", "train"}


def test_dvc_must_watch_the_weights_of_sources() -> None:
    write_mixture({"name": "a", "weight": 2}, {"name": "b", "weight": 1})
    check("shakespeare")
    wire(MIXTURE, WITH_TEXTS)
    refused(
        "shakespeare",
        r"weights: training reads the weights of .*, source: texts/all\.jsonl, weights: ingest\.sources}`$",
    )
    write_mixture({"name": "a"}, {"name": "b"})
    check("shakespeare")
