"""Bytes become text: other encodings are named, then read; wrong bytes cost their document alone."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.stage.errors import DataError, RecipeError
from tests.ingest.conftest import read_report, write, write_rows


def test_bytes_that_are_not_utf8_cost_their_document_alone_and_say_where(run):
    write("a.txt", b"caf\xe9")
    write("b.txt", b"\xef\xbb\xbffine\n# 1\nok\n# 2\n\xffbad\n")
    write("c.jsonl", b'{"text": "ok"}\n{"text": "x\xff"}\n{"text": "ok"}\n')
    write("d.csv", b'text\n"ok"\n"two\nl\xffnes"\nok\n')
    pq.write_table(pa.table({"text": pa.array([b"ok", b"a\xff"]).view(pa.string())}), "e.parquet")
    rows = run(kind="files", files=["a.txt", "c.jsonl", "d.csv", "e.parquet"])
    assert [(row["text"], row["problem"]) for row in rows] == [
        ("caf\ufffd", "not UTF-8 at byte 3 of a.txt"),
        ("ok", None),
        ("x\ufffd", "not UTF-8 at byte 26 of c.jsonl"),
        ("ok", None),
        ("ok", None),
        ("two\nl\ufffdnes", "not UTF-8 at byte 16 of d.csv"),
        ("ok", None),
        ("ok", None),
        ("a\ufffd", "not UTF-8 at byte 1 of text in e.parquet row 2"),
    ]
    problems = read_report()["details"]["problems"]
    assert problems["documents"] == 4
    assert problems["files"] == {"a.txt": 1, "c.jsonl": 1, "d.csv": 1, "e.parquet": 1}
    assert problems["examples"][0] == "not UTF-8 at byte 3 of a.txt"

    rows = run(kind="files", files=["b.txt"], documents={"split_at": "^#"})
    assert [(row["text"], row["problem"]) for row in rows] == [
        ("fine\n", None),
        ("# 1\nok\n", None),
        ("# 2\n\ufffdbad\n", "not UTF-8 at byte 19 of b.txt"),
    ]


def test_nuls_stay_and_lone_surrogates_become_a_problem(run):
    write("a.jsonl", '{"text": "a\\u0000b"}\n{"text": "x\\ud800y"}\n{"text": "\\ud83d\\ude00"}\n')
    write("b.md", "a\0b")
    write("c.csv", "text\na\0b\n")
    rows = run(kind="files", files=["a.jsonl", "b.md", "c.csv"])
    assert [(row["text"], row["problem"]) for row in rows] == [
        ("a\0b", None),
        ("x\ufffdy", "lone surrogate at character 1 of text in a.jsonl line 2"),
        ("😀", None),
        ("a\0b", None),
        ("a\0b", None),
    ]


def test_bytes_order_marks_go_and_line_ends_are_newlines(run):
    write("a.csv", '\ufefftext\r\n"a\r\nb"\r\n')
    write("b.jsonl", '\ufeff{"text": "a\\r\\nb\\rc"}\r\n\r\n')
    assert [row["text"] for row in run(kind="files", files=["a.csv", "b.jsonl"])] == ["a\nb", "a\nb\nc"]


CYRILLIC = "Привет, мир. Это обычный текст.\n"


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.tsv.gz", "a.py"])
@pytest.mark.parametrize(
    ("encoding", "told", "text"),
    [
        ("utf-16", "utf-16", "plain words, nothing else"),
        ("utf-16-le", "utf-16-le", "plain words, nothing else"),
        ("utf-16-be", "utf-16-be", "xy"),
        ("utf-32-le", "utf-32-le", "plain words, nothing else"),
        ("utf-32", "utf-32", CYRILLIC),
        ("utf-16-le", "utf-16-le", CYRILLIC * 9999),
        ("utf-16-be", "utf-16-be", CYRILLIC),
        ("iso2022_jp", "iso2022_jp", "日本語の文章"),
    ],
)
def test_another_encoding_is_named_and_then_read(run, name, encoding, told, text):
    content = {".txt": text, ".py": text, ".jsonl": json.dumps({"text": text}, ensure_ascii=False)}
    data = content.get(Path(name).suffix, f'text\n"{text}"\n').encode(encoding)
    write(name, gzip.compress(data) if name.endswith(".gz") else data)
    sentence = f"{name}: not UTF-8, but apparently {told}; set ingest.documents.encoding: {told}, or convert the file"
    with pytest.raises(DataError) as raised:
        run(kind="files", files=[name])
    assert str(raised.value) == sentence
    (row,) = run(kind="files", files=[name], documents={"encoding": told})
    assert (row["text"], row["problem"]) == (text, None)


def test_other_encodings_and_delimiters_are_read_as_the_recipe_says(run):
    write("a.csv", "größe;text\n1;naïve, “x”\n".encode("cp1252"))
    write("b.csv", b"text;x\n\x81\xf0;ok\nfine;\xff\n")
    with pytest.raises(DataError, match=r"^a\.csv: no column 'text', but 'gr.+;text'; if ';' separates columns, set"):
        run(kind="files", files=["a.csv"])
    (row,) = run(kind="files", files=["a.csv"], documents={"delimiter": ";", "encoding": "cp1252"})
    assert row["text"] == "naïve, “x”"
    rows = run(kind="files", files=["b.csv"], documents={"delimiter": ";", "encoding": "cp1252"})
    assert [(row["text"], row["problem"]) for row in rows] == [("\ufffdð", "not cp1252 in b.csv"), ("fine", None)]
    write("c.txt", "# 1\nä\n# 2\nö".encode("utf-16"))
    parts = run(kind="files", files=["c.txt"], documents={"split_at": "^#", "encoding": "utf-16"})
    assert [row["text"] for row in parts] == ["# 1\nä\n", "# 2\nö"]
    write_rows("d.parquet", [{"text": "a"}])
    for name, wanted, sentence in [
        ("d.parquet", {"encoding": "utf-16"}, r"documents\.encoding: d\.parquet is a Parquet file"),
        ("c.txt", {"delimiter": ";"}, r"documents\.delimiter: c\.txt is not a CSV file"),
        ("c.txt", {"encoding": "klingon"}, r"documents\.encoding: unknown encoding 'klingon'"),
        ("c.txt", {"encoding": "base64"}, r"documents\.encoding: unknown encoding 'base64'"),
    ]:
        with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: ingest\.{sentence}"):
            run(kind="files", files=[name], documents=wanted)
