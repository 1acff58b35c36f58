import re
import shutil
from pathlib import Path

import pytest

from tasks.clean.__main__ import STAGE
from tasks.formats.pages import POLICY
from tasks.profile.measure import measure
from tasks.profile.page import page
from tasks.profile.tables import Table, tables
from tasks.stage.errors import DataError
from tasks.stage.run import run
from tests.chats import chat_row, turns, write_chats
from tests.clean.corpus import project

ENGLISH = "This package contains the shared libraries of the program, and some others, part {}."
FRENCH = "Ce paquet contient les bibliothèques partagées du programme, et d'autres, partie {}."


@pytest.fixture(autouse=True)
def own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def by_title(root: Path, rules: str, given: list[tuple[str, ...]]) -> dict[str, Table]:
    """Clean a corpus; returns the tables of its profile."""
    project(root, f"{rules}  splits: {{validation: 0.2, test: 0.2}}\n", given)
    run(STAGE, "small")
    return {table.title: table for table in tables(measure("small"))}


def test_texts_are_counted_measured_and_their_languages_told(tmp_path: Path) -> None:
    given = [(f"d{n:02}", f"g{n % 10}", ENGLISH.format(n) * (n + 1)) for n in range(20)]
    given += [("again", "g1", ENGLISH.format(0)), ("french", "g2", FRENCH.format(1)), ("<b>", "g3", "short")]
    found = by_title(tmp_path, "  min_words: 2\n  privacy: {}\n", given)
    size = {row[0]: row[1:] for row in found["Size"].rows}
    kept = [text for name, _, text in given if name not in ("again", "<b>")]
    sizes = sum(len(text.encode()) for text in kept), sum(len(text.split()) for text in kept)
    assert size["all"] == ("21", f"{sizes[0]:,}", f"{sizes[1]:,}")
    assert sum(int(size[name][0]) for name in ("train", "validation", "test")) == 21
    assert size["before cleaning"][0] == "23"
    assert found["Why documents were dropped"].rows == [
        ("duplicate", "1", "4.3%", str(len(given[20][2])), "again: value same as d00"),
        ("too_few_words", "1", "4.3%", "5", "<b>: value 1, threshold 2"),
    ]
    assert found["Languages, as far as a model can tell"].rows == [
        ("text", "en", "20", "95.2%"), ("text", "fr", "1", "4.8%")
    ]  # fmt: skip
    words = found["Lengths: so many are not longer"].rows[0]
    assert (words[0], words[1], words[-1]) == ("words of a text", "12", f"{max(len(t.split()) for _, _, t in given)}")
    assert [row[0] for row in found["Longest documents"].rows] == ["d19", "d18", "d17", "d16", "d15"]
    assert [row[0] for row in found["What is left after each group of rules"].rows] == [
        "received", "length", "duplicates"
    ]  # fmt: skip


def test_pairs_and_classes_have_their_own_figures(tmp_path: Path) -> None:
    given = [(f"d{n}", f"g{n}", ENGLISH.format(n), FRENCH.format(n), "ab"[n % 2]) for n in range(30)]
    found = by_title(tmp_path, "", given)
    assert found["Size"].columns[-2:] == ("words of the texts", "words of the targets")
    assert [row[:2] for row in found["Classes"].rows] == [("a", "15"), ("b", "15")]
    languages = {row[:2] for row in found["Languages, as far as a model can tell"].rows}
    assert languages == {("text", "en"), ("target", "fr")}


def test_the_page_needs_nothing_beside_it_and_is_the_same_each_time(tmp_path: Path) -> None:
    given = [(f"d{n}", f"g{n}", ENGLISH.format(n)) for n in range(20)] + [("<script>", "g", "x")]
    by_title(tmp_path, "  min_words: 2\n", given)
    made = page(measure("small"))
    assert page(measure("small")) == made
    assert made.index(POLICY) < made.index("<style>")
    assert "&lt;script&gt;: value 1" in made and "<script>" not in made
    assert made.count("<img ") == made.count("data:image/png;base64,") == 3
    assert not re.search(r'(?:src|href)="(?!data:)', made)


def test_a_corpus_that_is_not_there_is_told() -> None:
    with pytest.raises(DataError, match=r"data/none/clean/report\.json: cannot read the report of stage clean"):
        measure("none")


def test_conversations_have_questions_answers_and_turns(tmp_path: Path) -> None:
    chats = [
        chat_row(f"d{n:02}", turns(ENGLISH.format(n), FRENCH.format(n), *("more", "x") * (n % 3)), "no", f"g{n}")
        for n in range(30)
    ]
    folder = project(tmp_path, "  splits: {validation: 0.2, test: 0.2}\n", [])
    shutil.rmtree(folder / "valid")
    write_chats(folder / "valid", chats)
    run(STAGE, "small")
    found = {table.title: table for table in tables(measure("small"))}
    assert found["Size"].columns[-3:] == (
        "words of the questions",
        "words of the answers",
        "words of the rejected answers",
    )
    lengths = {row[0]: row[1:] for row in found["Lengths: so many are not longer"].rows}
    assert lengths["turns of a conversation"] == ("2", "2", "2", "4", "6", "6", "6")
    assert lengths["words of the rejected answers"] == ("1",) * 7
    languages = {row[:2] for row in found["Languages, as far as a model can tell"].rows}
    assert languages >= {("questions", "en"), ("answers", "fr")}
    assert page(measure("small")).count("<img ") == 3
