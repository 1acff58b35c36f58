from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from tasks.stage.errors import RecipeError
from tasks.stage.settings import Section, read_section
from tasks.stage.task import read_task
from tests.corpora import write_recipe


class Inner(Section):
    share: float = 0.5


class Big(Section):
    kind: Literal["big"]
    size: int = 1


class Small(Section):
    kind: Literal["small"]


class Example(Section):
    words: int
    inner: Inner = Inner()
    names: tuple[str, ...] | Literal["all", "none"] = ()
    kinds: tuple[Annotated[Big | Small, Field(discriminator="kind")], ...] = ()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numbers_are_read_as_dvc_reads_them(project: Path) -> None:
    write_recipe(project, "x", "clean:\n  words: 3\n  inner: {share: 3e-3}\n  names: [a, b]\n")
    assert read_section("x", "clean", Example) == Example(words=3, inner=Inner(share=0.003), names=("a", "b"))


def test_all_errors_come_at_once_with_the_path_of_each_key(project: Path) -> None:
    write_recipe(project, "x", "clean:\n  words: '3'\n  inner: {share: much, typo: 1}\n")
    with pytest.raises(RecipeError) as caught:
        read_section("x", "clean", Example)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "clean.words", "clean.inner.share", "clean.inner.typo",
    ]  # fmt: skip
    assert "recipes/x.yaml: clean.inner.typo: unknown key" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{wrods: 3}", "clean.wrods: unknown key; did you mean words?"),
        ("{words: 3, inner: {shape: 1}}", "clean.inner.shape: unknown key; did you mean share?"),
        ("{words: 3, share: 1}", "clean.share: unknown key; did you mean clean.inner.share?"),
        ("{words: 3, kinds: [{kind: big, sise: 1}]}", "clean.kinds.0.sise: unknown key; did you mean size?"),
        ("{words: 3, kinds: [{kind: small, size: 1}]}", "clean.kinds.0.size: unknown key for small; it belongs to big"),
        ("{words: 3, 1: x}", "clean.1: unknown key"),
        (
            "{words: 3, kinds: [{kind: bog}]}",
            'clean.kinds.0.kind: expected one of big, small, not "bog"; did you mean big?',
        ),
        ("{words: 3, kinds: [{}]}", "clean.kinds.0.kind: missing"),
        ("{words: 3, names: [a, 2]}", "clean.names.1: expected a string, not 2"),
        ("{words: 3, names: 2}", "clean.names: expected a list or one of all, none, not 2"),
        ("{words: true}", "clean.words: expected an integer, not true"),
    ],
)
def test_a_wrong_key_is_told_in_the_words_of_the_file(project: Path, text: str, sentence: str) -> None:
    write_recipe(project, "x", f"clean: {text}")
    with pytest.raises(RecipeError) as caught:
        read_section("x", "clean", Example)
    assert sentence in [line.partition(": ")[2] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("clean: [", r"recipes/x\.yaml line 2: not valid YAML"),
        ("clean: {words: 1}\nclean: {words: 2}\n", r"recipes/x\.yaml line 2: not valid YAML: .*duplicate key"),
        ("- 1\n", r"recipes/x\.yaml: expected a mapping"),
        ("clean: {words: 2020-01-01}\n", r"recipes/x\.yaml: clean\.words: .*date.* quotes"),
        ("clean: {words: .nan}\n", r"recipes/x\.yaml: clean"),
        ("clean: {}\n", r"recipes/x\.yaml: clean\.words: missing"),
        ("clean: &a {words: 1, inner: *a}\n", r"recipes/x\.yaml: clean: a YAML anchor refers to itself"),
        ("clean: 7\n", r"recipes/x\.yaml: clean: "),
        ("", r"recipes/x\.yaml: expected a mapping of sections, found nothing$"),
        ("- clean\n", r"recipes/x\.yaml: expected a mapping of sections, found a list$"),
        ("clean\n", r'recipes/x\.yaml: expected a mapping of sections, found "clean"$'),
        ("clean:\n\twords: 1\n", r"recipes/x\.yaml line 2: not valid YAML: .*; it has a tab: indent with blanks$"),
        (
            "clean: {words: 1}\n---\nx: 1\n",
            r"recipes/x\.yaml line 2: .*: expected a single document in the stream but ",
        ),
        ('clean: {words: "\0"}', r"recipes/x\.yaml: not valid YAML: unacceptable character #x0000[^\n]*$"),
        ("clean: {words: !!set {a}}", r"recipes/x\.yaml: clean\.words: expected text, a number, a list or a mapping; "),
        ("clean: {[a, b]: 1}", r"recipes/x\.yaml: clean\.\('a', 'b'\): expected text, .* keys in quotes$"),
        (
            "clean: {words: 1, kinds: [{knd: big}]}",
            r"recipes/x\.yaml: clean\.kinds\.0\.kind: missing, but there is knd$",
        ),
    ],
)
def test_a_broken_recipe_is_one_clear_sentence(project: Path, text: str, sentence: str) -> None:
    write_recipe(project, "x", text)
    with pytest.raises(RecipeError, match=sentence) as told:
        read_section("x", "clean", Example)
    assert "\n" not in str(told.value)


def test_a_recipe_that_cannot_be_read_is_told(project: Path) -> None:
    write_recipe(project, "x", "clean: {words: 1}\n")
    Path("recipes/x.yaml").write_bytes("clean: {words: é}".encode("latin-1"))
    with pytest.raises(RecipeError, match=r"^recipes/x\.yaml: not UTF-8 at byte 15; save it as UTF-8$"):
        read_section("x", "clean", Example)
    Path("recipes/y.yaml").mkdir()
    with pytest.raises(RecipeError, match=r"^recipes/y\.yaml: no such recipe \(available: x\)$"):
        read_section("y", "clean", Example)


def test_a_misspelt_task_is_told_with_the_key_that_may_stand_for_it(project: Path) -> None:
    write_recipe(project, "x", "taks: causal-lm\n")
    with pytest.raises(
        RecipeError, match=r"^recipes/x\.yaml: task: missing, but there is taks; expected one of causal"
    ):
        read_task("x")


def test_a_recipe_that_is_not_there_says_which_are(project: Path) -> None:
    write_recipe(project, "plays", "clean: {words: 1}\n")
    with pytest.raises(RecipeError, match=r"recipes/novels\.yaml: no such recipe \(available: plays\)"):
        read_section("novels", "clean", Example)
    with pytest.raises(RecipeError, match=r"recipes/play\.yaml: .*; did you mean plays\?"):
        read_section("play", "clean", Example)
    with pytest.raises(RecipeError, match="is not a recipe name"):
        read_section("../plays", "clean", Example)


def test_a_recipe_that_is_not_text_is_told(project: Path) -> None:
    (project / "recipes").mkdir()
    (project / "recipes/x.yaml").write_bytes(b"clean: \xff\n")
    with pytest.raises(RecipeError, match=r"recipes/x\.yaml: not UTF-8 at byte 7"):
        read_section("x", "clean", Example)
