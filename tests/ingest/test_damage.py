"""Damaged and ambiguous files are refused, with the file and the row."""

import bz2
import gzip
import lzma
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tasks.stage.errors import DataError
from tests.ingest.conftest import write, write_rows


def damaged() -> dict[str, tuple[bytes, str]]:
    text = b"".join(b'{"text": "%d"}\n' % i for i in range(20_000))
    table = "table.parquet"
    pq.write_table(pa.table({"text": [str(i) for i in range(1000)]}), table)
    whole = Path(table).read_bytes()
    return {
        "a.jsonl.gz": (gzip.compress(text)[:-100], r"a\.jsonl\.gz: unreadable, damaged or truncated: "),
        "b.txt.zst": (zstandard.compress(text)[:-100], r"b\.txt\.zst: unreadable, damaged or truncated: "),
        "c.txt.gz": (b"no gzip", r"c\.txt\.gz: unreadable, damaged"),
        "d.txt.zst": (b"no zstd", r"d\.txt\.zst: unreadable, damaged"),
        "e.parquet": (whole[:-50], r"e\.parquet: damaged after row 0: "),
        "f.parquet": (whole[:20] + b"\0" * 200 + whole[220:], r"f\.parquet: damaged after row 0: "),
        "g.jsonl": (b'{"text": "a"}\n{"text": \n', r"g\.jsonl line 2: not valid JSON: "),
        "h.jsonl": (b'{"text": "a"}\n["text"]\n', r"h\.jsonl line 2: expected a JSON object, found list"),
        "i.csv": (b"text,b\na,b\na,b,c\n", r"i\.csv row 2 \(line 3\): 3 fields, but 2 columns"),
        "j.csv": (b'text,b\na,b\na,"cut', r"j\.csv row 2 \(line 3\): unexpected end of data"),
        "l.json": (b'[{"text": "a"}, {"text": "b"', r"l\.json row 2: not valid JSON: "),
        "m.json": (b'[{"text": "a"} {"text": "b"}]', r"m\.json row 2: not valid JSON: expected a comma"),
        "n.json": (b'[{"text": "a"}]]', r"n\.json row 2: not valid JSON: text after the end"),
        "o.json": (b'[{"text": "a"},]', r"o\.json row 2: not valid JSON: "),
        "p.json": (b'[{"text": "a"}, 3]', r"p\.json row 2: expected a JSON object, found int"),
        "q.json": (b"[" * 100_000, r"q\.json row 1: not valid JSON: "),
        "r.json": (b'{"text": "a"', r"r\.json row 1: not valid JSON: "),
        "s.json": (b'{"text": "a", "text": "b"}', r"s\.json row 1: not valid JSON: two values for 'text'"),
        "t.txt.xz": (lzma.compress(text)[:-100], r"t\.txt\.xz: unreadable, damaged or truncated: "),
        "u.txt.bz2": (bz2.compress(text)[:-9] + b"x" * 9, r"u\.txt\.bz2: unreadable, damaged or truncated: "),
        "k.jsonl": (b"[" * 100_000, r"k\.jsonl line 1: not valid JSON: "),
    }


def test_a_damaged_file_is_named_with_the_row(run):
    for name, (content, message) in damaged().items():
        write(name, content)
        with pytest.raises(DataError, match="^" + message):
            run(kind="files", files=[name])


def test_two_columns_of_one_name_are_refused_if_one_is_read(run):
    write("a.csv", "id,text,text,,\n1,a,b,,\n")
    write("b.jsonl", '{"id": 1, "text": "a", "text": "b"}\n')
    text, number = pa.array(["a"]), pa.array([1])
    pq.write_table(pa.table([text, text, number], names=["text", "text", "id"]), "c.parquet")
    both = pa.StructArray.from_arrays([text, text, number], names=["text", "text", "id"])
    pq.write_table(pa.table({"x": both, "ok": text}), "d.parquet")
    for name, column, sentence in [
        ("a.csv", "text", "a.csv: two columns are named 'text'"),
        ("b.jsonl", "text", "b.jsonl line 1: not valid JSON: two values for 'text' in one object"),
        ("c.parquet", "text", "c.parquet: two columns are named 'text'"),
        ("d.parquet", "x.text", "d.parquet: two columns are named 'text'"),
    ]:
        with pytest.raises(DataError, match=f"^{sentence}"):
            run(kind="files", files=[name], documents={"text_column": column})
    for name, column in [("a.csv", "id"), ("d.parquet", "ok")]:
        assert len(run(kind="files", files=[name], documents={"text_column": column})) == 1


def test_a_damaged_file_stops_several_processes(run, monkeypatch):
    monkeypatch.setattr("tasks.ingest.documents.ALONE", 0)
    monkeypatch.setenv("GRISTMILL_WORKERS", "2")
    write("in/a.md", "a")
    write("in/b.md.gz", b"no gzip")
    with pytest.raises(DataError, match=r"^in/b\.md\.gz: unreadable, damaged or truncated: "):
        run(kind="files", files=["in/*"])


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.csv.gz"])
@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (
            b"PK\x03\x04\x14\0",
            r"a ZIP archive or an Office file \(\.xlsx, \.docx\), not text; export its text or table",
        ),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "an old Office file"),
        (b"%PDF-1.7\n", "a PDF, not text; extract its text"),
        (b"\x1f\x8b\x08\0", r"compressed by gzip, not text; end its name in \.gz"),
        (b"PAR1\x15\x04", r"a Parquet file, not text; end its name in \.parquet"),
    ],
)
def test_a_file_that_is_not_text_is_named(run, name, begin, told):
    write(name, gzip.compress(begin) if name.endswith(".gz") else begin)
    for wanted in ({}, {"encoding": "cp1252"}):
        with pytest.raises(DataError, match=f"^{re.escape(name)}: {told}"):
            run(kind="files", files=[name], documents=wanted)


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_compressed_streams_are_read_one_after_another_and_damage_between_them_is_told(run, suffix):
    pack = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
    one, two = pack(b'{"text": "a"}\n'), pack(b'{"text": "b"}\n' * 9999)
    name = f"a.jsonl{suffix}"
    write(name, one + two)
    assert len(run(kind="files", files=[name])) == 10_000
    write("b.txt.xz", lzma.compress(b"padded") + bytes(8) + lzma.compress(b" text") + bytes(4))
    assert run(kind="files", files=["b.txt.xz"])[0]["text"] == "padded text"
    for content in (one + b"XX" + two[2:], one + two[:-4], one + b"garbage", b""):
        write(name, content)
        with pytest.raises(DataError, match=rf"^{re.escape(name)}: unreadable, damaged or truncated: "):
            run(kind="files", files=[name])


@pytest.mark.parametrize("other", [" text", "text\t", "\ufefftext", "\u00a0text"])
def test_columns_whose_names_look_the_same_are_refused(run, other):
    write("a.csv", f"id,{other},text\n1,a,b\n")
    pq.write_table(pa.table({"id": [1], other: ["a"], "text": ["b"]}), "b.parquet")
    for name in ("a.csv", "b.parquet"):
        with pytest.raises(DataError, match=rf"^{name}: the columns 'text' and {re.escape(repr(other))} look the same"):
            run(kind="files", files=[name])


def test_a_header_inside_a_table_is_told(run):
    table = "\ufefftext,x\na,1\n"
    write("a.csv", table + table)
    with pytest.raises(DataError, match=r"^a\.csv row 2 \(line 3\): the header again; were tables joined\?"):
        run(kind="files", files=["a.csv"])
    write("a.csv", "text\na\ntext\n")
    assert len(run(kind="files", files=["a.csv"])) == 2


def test_json_of_another_form_says_which(run):
    write("a.jsonl", '[{"text": "a"}]')
    write("b.jsonl", '{\n"text": "a"\n}')
    write("c.jsonl", '{"text": "a", "n": ' + "9" * 5000 + "}")
    for name, told in [
        ("a.jsonl", r"line 1: expected a JSON object, found list; end its name in \.json$"),
        ("b.jsonl", r"line 1: not valid JSON: .*; a \.jsonl file has one object per line$"),
        ("c.jsonl", r"line 1: not valid JSON: .*value has 5000 digits$"),
    ]:
        with pytest.raises(DataError, match=rf"^{name} {told}"):
            run(kind="files", files=[name])


def test_a_parquet_column_of_lists_or_structs_is_no_text(run):
    write_rows("a.parquet", [{"text": ["a"]}])
    write_rows("b.parquet", [{"text": {"en": "a"}}])
    for name, told in [("a", "list<element: string>, not text$"), ("b", "struct<en: string>, not text; .* text.en$")]:
        with pytest.raises(DataError, match=rf"^{name}\.parquet: the column 'text' holds {told}"):
            run(kind="files", files=[f"{name}.parquet"])
