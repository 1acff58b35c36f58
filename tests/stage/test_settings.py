from pathlib import Path

import pytest

from tasks.stage.errors import RecipeError
from tasks.stage.settings import Section, read_section
from tests.corpora import write_recipe


class Inner(Section):
    share: float = 0.5


class Example(Section):
    words: int
    inner: Inner = Inner()
    names: tuple[str, ...] = ()


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
        ("clean: [", r"recipes/x\.yaml line 2: not valid YAML"),
        ("clean: {words: 1}\nclean: {words: 2}\n", r"recipes/x\.yaml line 2: not valid YAML: .*duplicate key"),
        ("- 1\n", r"recipes/x\.yaml: expected a mapping"),
        ("clean: {words: 2020-01-01}\n", r"recipes/x\.yaml: clean\.words: .*date.* quotes"),
        ("clean: {words: .nan}\n", r"recipes/x\.yaml: clean"),
        ("clean: {}\n", r"recipes/x\.yaml: clean\.words: missing"),
        ("clean: &a {words: 1, inner: *a}\n", r"recipes/x\.yaml: clean: a YAML anchor refers to itself"),
        ("clean: 7\n", r"recipes/x\.yaml: clean: "),
    ],
)
def test_a_broken_recipe_is_one_clear_sentence(project: Path, text: str, sentence: str) -> None:
    write_recipe(project, "x", text)
    with pytest.raises(RecipeError, match=sentence):
        read_section("x", "clean", Example)


def test_a_recipe_that_is_not_there_says_which_are(project: Path) -> None:
    write_recipe(project, "plays", "clean: {words: 1}\n")
    with pytest.raises(RecipeError, match=r"recipes/novels\.yaml: no such recipe \(available: plays\)"):
        read_section("novels", "clean", Example)
    with pytest.raises(RecipeError, match="is not a recipe name"):
        read_section("../plays", "clean", Example)


def test_a_recipe_that_is_not_text_is_told(project: Path) -> None:
    (project / "recipes").mkdir()
    (project / "recipes/x.yaml").write_bytes(b"clean: \xff\n")
    with pytest.raises(RecipeError, match=r"recipes/x\.yaml: not UTF-8 at byte 7"):
        read_section("x", "clean", Example)
