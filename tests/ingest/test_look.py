"""What `gristmill check` looks at before anything runs: names, columns, encodings, the first documents."""

import json
from pathlib import Path

import pytest

from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import Bench
from tasks.stage.errors import DataError, GristmillError, RecipeError
from tests.chats import turns
from tests.ingest.conftest import write, write_rows

LATIN = "naïve, “x”\n".encode("cp1252")


def look(most: float = 0.05, **section: object) -> None:
    given = {"kind": "files", "licence": "x", **section}
    source = IngestSettings.model_validate_json(json.dumps(given)).root
    source.look(Bench(Path("recipes/x.yaml"), Path()), most)


def test_a_larger_share_of_problems_than_validation_allows_is_told(project):
    write("a.csv", b"text;x\n" + 18 * b"fine;1\n" + b"caf\xe9;2\n")
    wanted = {"files": ["a.csv"], "documents": {"delimiter": ";"}}
    sentence = (
        r"^recipes/x\.yaml: ingest: problems in 1 of the 19 documents, more than validate\.max_problem_share, 0\.05; "
        r"the first: not UTF-8 at byte 136 of a\.csv; name the encoding with ingest\.documents\.encoding, such as "
    )
    with pytest.raises(DataError, match=sentence):
        look(**wanted)
    look(most=0.06, **wanted)
    look(files=["a.csv"], documents={"delimiter": ";", "encoding": "cp1252"})


def test_of_many_documents_only_a_share_that_is_no_accident_is_told(project):
    write_rows("a.jsonl", [{"text": 3 if number < 500 else "fine"} for number in range(1001)])
    look(files=["a.jsonl"])
    write_rows("a.jsonl", [{"text": 3 if number < 501 else "fine"} for number in range(1001)])
    with pytest.raises(DataError, match=r"problems in 501 of the first 1,000 documents, .*: text is no text, but int"):
        look(files=["a.jsonl"])


@pytest.mark.parametrize("values", [[3, 4], [None, None], [["a"], ["b"]], [{"en": "a"}, {"en": "b"}], [1.5, 2.5]])
def test_a_text_column_without_text_is_told(project, values):
    write_rows("a.jsonl", [{"text": value} for value in values])
    with pytest.raises(DataError, match=r"problems in 2 of the 2 documents, .*text .*in a\.jsonl line 1$"):
        look(files=["a.jsonl"])


def test_a_text_file_in_another_encoding_is_told(project):
    write("a.txt", LATIN)
    with pytest.raises(DataError, match=r"problems in 1 of the 1 documents, .* not UTF-8 at byte 2 of a\.txt; name"):
        look(files=["a.txt"])
    look(files=["a.txt"], documents={"encoding": "cp1252"})
    write("a.txt", ("x" * 65535 + "é").encode())  # cut inside a character
    look(files=["a.txt"])


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"text,x\n"])
def test_files_without_text_are_told(project, content):
    write("a.csv" if b"," in content else "a.txt", content)
    with pytest.raises(RecipeError, match=r"ingest\.kind: the corpus is empty: [01] documents, none with text"):
        look(files=["a.*"])


def test_a_single_class_is_told(project):
    write_rows("a.jsonl", [{"text": "a", "c": "x"}, {"text": "b", "c": "x"}])
    with pytest.raises(RecipeError, match=r"label_column: every document has the class 'x'; a classifier needs two"):
        look(files=["a.jsonl"], documents={"label_column": "c"})
    with pytest.raises(RecipeError, match=r"label_pattern: every document has the class 'a'; "):
        look(files=["a.jsonl"], documents={"label_pattern": "a"})
    write_rows("a.jsonl", [{"text": "a", "c": 1.5}, {"text": "b", "c": 2.5}])
    with pytest.raises(DataError, match=r"problems in 2 of the 2 documents, .*c is no text, but float"):
        look(files=["a.jsonl"], documents={"label_column": "c"})


def test_a_pattern_that_splits_no_text_is_told(project):
    write("a.txt", "# 1\r# 2")
    write("b.txt", "plain")
    look(files=["?.txt"], documents={"split_at": "^# 2"})
    with pytest.raises(RecipeError, match=r"documents\.split_at: no line of the text matches '\^## '$"):
        look(files=["?.txt"], documents={"split_at": "^## "})


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("a.csv", "txet", "a.csv: no column 'txet' (available: text, Label); did you mean text?"),
        ("a.csv", "label", "a.csv: no column 'label' (available: text, Label); did you mean Label?"),
        ("b.csv", "label", "b.csv: no column 'label' (available: text, ' label'); did you mean ' label'?"),
        ("c.jsonl", "en", "c.jsonl: no column 'en' (available: translation)"),
        ("c.jsonl", "translation.fn", "c.jsonl: no column 'translation.fn' (available: translation); did you mean"),
        ("d.csv", "text", "d.csv: empty, not even a header"),
        (
            "e.csv",
            "text",
            "e.csv: no column 'text', but 'text;a,b'; if ';' separates columns, set ingest.documents.d",
        ),
        (
            "f.csv",
            "text",
            "f.csv: begins with 'sep=;', a line for Excel; remove it, and set ingest.documents",
        ),
        (
            "g.csv",
            "größe",
            "g.csv: no column 'größe', but the header is not UTF-8 at byte 2 of g.csv; set ingest.d",
        ),
        ("h.csv", "text", f"h.csv: no column 'text' (available: {'n' * 80}…, x)"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_the_one_that_may_be_meant(project, name, asked, sentence):
    write("a.csv", "text,Label\na,b\n")
    write("b.csv", "text, label\na,b\n")
    write("c.jsonl", '{"translation": {"en": "a", "fr": "b"}}\n')
    write("d.csv", "\n\n")
    write("e.csv", "text;a,b\nc;d,e\n")
    write("f.csv", "sep=;\ntext;x\na;b\n")
    write("g.csv", "größe,x\na,b\n".encode("cp1252"))
    write("h.csv", "n" * 5000 + ",x\na,b\n")
    with pytest.raises(DataError) as told:
        look(files=[name], documents={"text_column": asked})
    assert str(told.value).startswith(sentence)


@pytest.mark.parametrize("kind", ["package", "url"])
@pytest.mark.parametrize(
    ("files", "documents", "told"),
    [
        (["**/*.md"], {"group_column": "x"}, ["documents.group_column: **/*.md is a text file and has no columns"]),
        (["a.txt"], {"text_column": "x"}, ["documents.text_column: a.txt is a text file without columns"]),
        (["*.csv"], {"split_at": "x"}, ["documents.split_at: *.csv is a table; only text files can be split"]),
        (["*.pdf"], {}, ["files: *.pdf: unsupported format"]),
        (["*.md"], {"delimiter": ";", "id_column": "i"}, ["documents.id_column: ", "documents.delimiter: "]),
        (["*.gz", "*", "*.[a-z]*"], {"text_column": "x", "split_at": "y"}, []),
    ],
)
def test_keys_that_no_file_of_the_globs_allows_are_told_without_a_download(kind, files, documents, told):
    more = {
        "package": {"name": "a", "version": "1", "sha256": "0" * 64},
        "url": {"url": "http://127.0.0.1:9/a.zip", "sha256": "0" * 64},
    }[kind]
    given = {"kind": kind, "licence": "x", "files": tuple(files), "documents": documents, **more}
    found = list(IngestSettings.model_validate(given).root.problems("causal-lm"))
    assert len(found) == len(told)
    for sentence in told:
        assert any(line.startswith(sentence) for line in found)


@pytest.mark.parametrize(
    ("url", "more", "told"),
    [
        ("a.zip", {}, "files: a.zip is an archive; name its files"),
        ("a.csv", {"files": ("*.csv",)}, "files: a.csv is not an archive"),
        ("", {}, "filename: required, because the URL does not end in a file name"),
        ("a.pdf", {}, "url: a.pdf: unsupported format"),
        ("a", {"filename": "a.pdf"}, "filename: a.pdf: unsupported format"),
        ("a.txt", {"documents": {"id_column": "i"}}, "documents.id_column: a.txt is a text file and has no columns"),
    ],
)
def test_what_the_name_of_a_download_tells_is_told_without_it(url, more, told):
    given = {"kind": "url", "licence": "x", "url": f"http://127.0.0.1:9/{url}", "sha256": "0" * 64, **more}
    (found,) = IngestSettings.model_validate(given).root.problems("causal-lm")
    assert found.startswith(told)


def test_every_key_that_a_dataset_does_not_allow_is_told_at_once():
    refused = {"split_at": "x", "group_pattern": "x", "label_pattern": "x", "encoding": "utf-16", "delimiter": ";"}
    given = {"kind": "hub", "licence": "x", "dataset": "a/b", "revision": "main", "split": ("train", "train")}
    found = IngestSettings.model_validate({**given, "documents": refused}).root.problems("causal-lm")
    assert [line.partition(":")[0] for line in found] == [*(f"documents.{key}" for key in refused), "split"]
    found = IngestSettings.model_validate({**given, "documents": {"group_column": "g"}}).root.problems("causal-lm")
    assert [line.partition(":")[0] for line in found] == ["documents.group_column", "split"]


def test_a_dataset_is_a_folder_or_has_a_revision(project):
    Path("sets/mine").mkdir(parents=True)
    given = {"kind": "hub", "licence": "x", "split": "train"}
    for dataset, more, told in [
        ("sets/none", {}, "missing; sets/none is not a local folder, and the Hub changes"),
        (
            "sets/mine",
            {"revision": "main"},
            "sets/mine is a folder of the project, which has no revisions; remove",
        ),
    ]:
        source = IngestSettings.model_validate({**given, "dataset": dataset, **more}).root
        with pytest.raises(GristmillError, match=rf"^recipes/x\.yaml: ingest\.revision: {told}"):
            source.locate(Bench(Path("recipes/x.yaml"), Path()))


def test_conversations_are_looked_at_before_anything_runs(project):
    bad, good = {"m": [{"role": "user", "content": "q"}]}, {"m": turns("q", "a")}
    write_rows("a.jsonl", [good, bad, bad, bad])
    with pytest.raises(DataError, match=r"problems in 3 of the 4 documents, .*: no answer in a\.jsonl line 2"):
        look(files=["a.jsonl"], documents={"messages_column": "m"})
    look(files=["a.jsonl"], documents={"messages_column": "m"}, most=0.8)
    with pytest.raises(DataError, match=r"a\.jsonl: no column 'messages' \(available: m\)"):
        look(files=["a.jsonl"], documents={"messages_column": "messages"})
    write("a.txt", "text")
    with pytest.raises(DataError, match=r"documents\.messages_column: a\.txt is a text file and has no columns"):
        look(files=["a.txt"], documents={"messages_column": "m"})


def test_lines_that_match_a_pattern_are_looked_at(project):
    write("words.noun", "licence\nash | a tree\n")
    keys = {"row_pattern": r"(?P<text>\w+) \|"}
    look(files=["words.noun"], documents=keys)
    with pytest.raises(DataError, match=r"words\.noun: no line matches documents\.row_pattern"):
        look(files=["words.noun"], documents={"row_pattern": "(?P<text>none)"})
    with pytest.raises(DataError, match=r"documents\.id_column: row_pattern has no group 'key' \(available: text\)"):
        look(files=["words.noun"], documents={**keys, "id_column": "key"})
