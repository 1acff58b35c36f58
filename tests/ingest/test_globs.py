"""Globs find every file that they name; what they would leave out is told."""

import os
import re
from pathlib import Path

import pytest

from tasks.stage.errors import DataError, RecipeError
from tests.ingest.conftest import write


def test_globs_and_names_that_lead_nowhere_are_told_with_their_key(run):
    write("a.pdf", "x")
    write("empty.txt", "")
    write("t.csv", "text\nx\n")
    write("n.jsonl", "")
    for section, message in [
        ({"files": ["a.pdf", "no/*.txt"]}, r"recipes/x\.yaml: ingest\.files\.1: 'no/\*\.txt': matches no file"),
        ({"files": ["no.txt"]}, r"recipes/x\.yaml: ingest\.files\.0: 'no\.txt': no such file"),
        ({"files": ["a.pdf"]}, r"a\.pdf: unsupported format \(supported: \.txt \.md"),
        ({"files": ["in/a\0b"]}, r"recipes/x\.yaml: ingest\.files\.0: no file can have this name"),
        ({"files": ["in/" + "é" * 150]}, r"recipes/x\.yaml: ingest\.files\.0: no file can have this name"),
        ({"files": ["../*"]}, r"recipes/x\.yaml: ingest\.files\.0: must be relative to the project, without \.\."),
        ({"files": ["empty.txt"]}, r"recipes/x\.yaml: ingest\.kind: the corpus is empty: 1 documents, none with text"),
        ({"files": ["n.jsonl"]}, r"recipes/x\.yaml: ingest\.kind: the corpus is empty"),
        ({"files": ["t.csv"], "documents": {"split_at": "x"}}, r".*ingest\.documents\.split_at: t\.csv is a table"),
        (
            {"files": ["empty.txt"], "documents": {"text_column": "x"}},
            r".*ingest\.documents\.text_column: empty\.txt is a text file without columns",
        ),
    ]:
        with pytest.raises((RecipeError, DataError), match="^" + message):
            run(kind="files", **section)


@pytest.mark.parametrize(
    ("entry", "target", "glob", "sentence"),
    [
        ("more", "../elsewhere", "texts/**/*.txt", "a link to the folder ../elsewhere; DVC does not watch "),
        ("deep/er/more", "../../../elsewhere", "texts/**/*.txt", "a link to the folder "),
        ("more", "../elsewhere", "texts/*/*.txt", "a link to the folder "),
        ("more", ".", "texts/**/*.txt", "a link to the folder "),
        ("b.txt", "nowhere", "texts/*.txt", "a link to nowhere, which does not exist"),
        ("b.txt", "b.txt", "texts/*.txt", "a link to b.txt, which does not exist"),
        ("b.txt", None, "texts/*.txt", "neither a file nor a folder"),
    ],
)
def test_no_text_is_left_out_in_silence(run, entry, target, glob, sentence):
    write("texts/a.txt", "a")
    write("texts/deep/a.txt", "a")
    write("elsewhere/b.txt", "b")
    path = Path("texts", entry)
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path) if target is None else path.symlink_to(target)
    with pytest.raises(DataError, match=rf"^texts/{re.escape(entry)}: {sentence}"):
        run(kind="files", files=[glob])


def test_links_to_files_and_a_folder_that_is_itself_a_link_are_read(run):
    write("elsewhere/b.txt", "b")
    Path("texts").symlink_to("elsewhere")
    Path("elsewhere/c.txt").symlink_to("b.txt")
    Path("elsewhere/not-asked").symlink_to("/")
    assert [row["text"] for row in run(kind="files", files=["texts/*.txt"])] == ["b", "b"]


@pytest.mark.parametrize(
    ("glob", "told"),
    [
        ("texts/*.md", "'texts/*.md': matches no file, but texts/B.MD differs only by case"),
        (
            "texts/*.t?t",
            "'texts/*.t?t' leaves out texts/c.TXT, which differs only by case; add a glob for it",
        ),
        ("texts/deep", "'texts/deep': a folder; name its files, such as texts/deep/**/*.txt"),
        ("texts/deep/", "'texts/deep/': a folder; "),
        ("texts/hamelt.txt", "'texts/hamelt.txt': no such file; did you mean hamlet.txt?"),
        ("texts/*.{txt,csv}", "'texts/*.{txt,csv}': matches no file; braces are not expanded: write one glob for each"),
        ("~/a.txt", "must be relative to the project"),
    ],
)
def test_a_glob_that_misses_texts_says_which(run, glob, told):
    for name in ("texts/hamlet.txt", "texts/B.MD", "texts/c.TXT", "texts/deep/d.txt"):
        write(name, "a")
    with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: ingest\.files\.0: {re.escape(told)}"):
        run(kind="files", files=[glob])
    assert len(run(kind="files", files=["texts/*.txt", "texts/*.TXT", "./texts/hamlet.txt"])) == 2
