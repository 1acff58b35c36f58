"""Files of every format become documents, in order, with stable ids; errors name their place."""

import bz2
import csv
import gzip
import json
import lzma
import os
import re
import resource
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tasks.clean.rules.quality import judge
from tasks.ingest import source
from tasks.ingest.ids import Ids
from tasks.stage.errors import DataError, RecipeError
from tests.ingest.conftest import RAW, read_report, write_rows

TEN = [{"n": i, "text": f"text {i}"} for i in range(10)]


def write(name: str, content: bytes | str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def snapshot() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in RAW.iterdir()}


def all_formats() -> None:
    write("in/a.txt", "one")
    write("in/b.md", "**two**")
    write_rows("in/c.jsonl", [{"text": "three"}, {"text": "four"}])
    write("in/d.csv", 'text,more\n"five,\nstill five",x\nsix,y\n')
    write_rows("in/e.parquet", [{"text": "seven"}, {"text": "eight"}])
    write("in/f.txt.gz", gzip.compress(b"nine"))
    write("in/g.jsonl.zst", zstandard.compress(b'{"text": "ten"}\n'))


def test_every_format_is_read_in_the_order_of_paths_and_rows(run):
    all_formats()
    rows = run(kind="files", files=["in/*"])
    assert [(row["id"], row["group"], row["text"], row["source"], row["problem"]) for row in rows] == [
        ("in/a.txt", "a", "one", "in/a.txt", None),
        ("in/b.md", "b", "two", "in/b.md", None),
        ("in/c.jsonl#1", "in/c.jsonl#1", "three", "in/c.jsonl line 1", None),
        ("in/c.jsonl#2", "in/c.jsonl#2", "four", "in/c.jsonl line 2", None),
        ("in/d.csv#1", "in/d.csv#1", "five,\nstill five", "in/d.csv row 1", None),
        ("in/d.csv#2", "in/d.csv#2", "six", "in/d.csv row 2", None),
        ("in/e.parquet#1", "in/e.parquet#1", "seven", "in/e.parquet row 1", None),
        ("in/e.parquet#2", "in/e.parquet#2", "eight", "in/e.parquet row 2", None),
        ("in/f.txt.gz", "f", "nine", "in/f.txt.gz", None),
        ("in/g.jsonl.zst#1", "in/g.jsonl.zst#1", "ten", "in/g.jsonl.zst line 1", None),
    ]
    report = read_report()
    assert report["received"]["files"] == 7
    assert report["produced"] == {"documents": 10, "bytes": sum(len(row["text"].encode()) for row in rows)}
    assert report["details"]["source"] == {"licence": "CC0", "kind": "files", "files": ["in/*"]}


def test_other_names_and_compressions_of_the_same_formats_are_read(run):
    rows = [{"text": "a [1, 2] \\"}, {"text": "b"}]
    write("in/a.json.bz2", bz2.compress(json.dumps(rows, indent=1).encode()))
    write("in/b.json", '\ufeff{"text": "a"}{"text": "b"}\n\n')
    write("in/c.ndjson.xz", lzma.compress(b'{"text": "a"}\n{"text": "b"}'))
    write("in/d.tsv", 'text\tmore\na,b\tx\n"c\td"\ty\n')
    write("in/e.TSV.gz", gzip.compress(b"text\na"))
    write("in/f.json", "[ ]")
    write("src/a/main.py", "def a():\n\treturn '*b*'\n")
    write("src/a/Makefile", "a:\n\tb")
    write("src/b.markdown", "*b*")
    write("src/c.tar.c.zst", zstandard.compress(b"int c;"))
    rows = run(kind="files", files=["in/*", "src/**/*"])
    assert [(row["id"], row["text"], row["source"]) for row in rows] == [
        ("in/a.json.bz2#1", "a [1, 2] \\", "in/a.json.bz2 row 1"),
        ("in/a.json.bz2#2", "b", "in/a.json.bz2 row 2"),
        ("in/b.json#1", "a", "in/b.json row 1"),
        ("in/b.json#2", "b", "in/b.json row 2"),
        ("in/c.ndjson.xz#1", "a", "in/c.ndjson.xz line 1"),
        ("in/c.ndjson.xz#2", "b", "in/c.ndjson.xz line 2"),
        ("in/d.tsv#1", "a,b", "in/d.tsv row 1"),
        ("in/d.tsv#2", "c\td", "in/d.tsv row 2"),
        ("in/e.TSV.gz#1", "a", "in/e.TSV.gz row 1"),
        ("src/a/Makefile", "a:\n\tb", "src/a/Makefile"),
        ("src/a/main.py", "def a():\n\treturn '*b*'\n", "src/a/main.py"),
        ("src/b.markdown", "b", "src/b.markdown"),
        ("src/c.tar.c.zst", "int c;", "src/c.tar.c.zst"),
    ]


@pytest.mark.parametrize("piece", [1, 3, 7, 64])
def test_json_that_comes_in_pieces_is_read_as_a_whole(run, monkeypatch, piece):
    monkeypatch.setattr("tasks.ingest.json_records.PIECE", piece)
    told = [{"text": 'é\\"}]{[,', "x": [[], {}, 1.5e3, True, None]}, {"text": "\U0001f600\ud800"}, {"text": ""}]
    for ascii_only in (True, False):
        data = json.dumps(told, ensure_ascii=ascii_only, indent=2).encode("utf-8", "surrogatepass")
        write("a.json", data + b" \n")
        rows = run(kind="files", files=["a.json"])
        assert [row["text"] for row in rows][::2] == [told[0]["text"], ""]
        assert rows[1]["text"].startswith("\U0001f600\ufffd")
        at = data.find(b"\xed")
        assert rows[1]["problem"] == (
            "lone surrogate at character 1 of text in a.json row 2"
            if ascii_only
            else f"not UTF-8 at byte {at} of a.json"
        )


def test_a_zstd_window_of_any_length_is_read(run):
    # `zstd --ultra --long=31` of one block: magic number, frame header with the window of 2 GiB, a raw block
    write("a.txt.zst", b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(31 - 10) << 3]) + b"\x19\x00\x00" + b"abc")
    assert [row["text"] for row in run(kind="files", files=["a.txt.zst"])] == ["abc"]


def test_a_second_run_writes_the_same_bytes_and_leaves_nothing_behind(run, monkeypatch):
    all_formats()
    monkeypatch.setenv("GRISTMILL_WORKERS", "1")
    run(kind="files", files=["in/*"])
    first = snapshot()
    monkeypatch.setenv("GRISTMILL_WORKERS", "3")
    run(kind="files", files=["in/*"])
    assert snapshot() == first
    assert [path.name for path in RAW.parent.iterdir()] == ["raw"]


def test_several_processes_write_what_one_writes(run, monkeypatch):
    for number in range(5):
        write(f"in/{number}.md", f"# {number}\n\n**text**\n\n# next\n\n" + "word\n" * (100 * (5 - number)))
    write("in/3.csv", "text\nbetween\n")
    monkeypatch.setattr("tasks.ingest.documents.ALONE", 0)
    results = []
    for workers in "13":
        monkeypatch.setenv("GRISTMILL_WORKERS", workers)
        results.append((run(kind="files", files=["in/*"]), [path.read_bytes() for path in sorted(RAW.iterdir())]))
    assert results[0] == results[1]
    assert [row["id"] for row in results[0][0]][:3] == ["in/0.md", "in/1.md", "in/2.md"]


def test_a_damaged_file_stops_several_processes(run, monkeypatch):
    monkeypatch.setattr("tasks.ingest.documents.ALONE", 0)
    monkeypatch.setenv("GRISTMILL_WORKERS", "2")
    write("in/a.md", "a")
    write("in/b.md.gz", b"no gzip")
    with pytest.raises(DataError, match=r"^in/b\.md\.gz: unreadable, damaged or truncated: "):
        run(kind="files", files=["in/*"])


def test_columns_give_text_id_and_group(run):
    write_rows("t.jsonl", [{"body": "a", "key": 7, "who": "x"}, {"body": "b", "key": "k", "who": "y"}])
    wanted = {"text_column": "body", "id_column": "key", "group_column": "who"}
    rows = run(kind="files", files=["t.jsonl"], documents=wanted)
    assert [(row["id"], row["group"], row["text"]) for row in rows] == [("7", "x", "a"), ("k", "y", "b")]


def test_of_several_ids_that_come_twice_the_first_is_told_and_the_last_good_corpus_stands(run, monkeypatch):
    monkeypatch.setattr("tasks.formats.corpus.BATCH_BYTES", 8)  # row groups, and shards, of a few documents
    monkeypatch.setattr("tasks.formats.corpus.SHARD_BYTES", 64)
    names = [*range(100), 70, 3, 70, 5]
    write_rows("a.jsonl", [{"text": "some text", "id": i} for i in range(100)])
    run(kind="files", files=["a.jsonl"], documents={"id_column": "id"})
    before = snapshot()
    assert len(before) > 3
    write_rows("a.jsonl", [{"text": "some text", "id": name} for name in names])
    with pytest.raises(DataError, match=r"^a\.jsonl line 101: duplicate id '70', already in a\.jsonl line 71; ids mu"):
        run(kind="files", files=["a.jsonl"], documents={"id_column": "id"})
    assert snapshot() == before


def test_ids_with_the_same_hash_are_told_apart(run, monkeypatch):
    monkeypatch.setattr("tasks.ingest.ids.hash", len, raising=False)
    write_rows("a.jsonl", [{"text": "a", "id": f"{i:02}"} for i in range(50)])
    assert len(run(kind="files", files=["a.jsonl"], documents={"id_column": "id"})) == 50
    write_rows("b.jsonl", [{"text": "b", "id": "31"}])
    with pytest.raises(DataError, match=r"^b\.jsonl line 1: duplicate id '31', already in a\.jsonl line 32; "):
        run(kind="files", files=["?.jsonl"], documents={"id_column": "id"})


def test_what_is_kept_of_an_id_is_8_bytes():
    ids = Ids()
    tracemalloc.start()
    ids.add(f"a name of some length, {i}" for i in range(100_000))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10 * 100_000


def test_ids_do_not_depend_on_other_files(run):
    write_rows("in/b.jsonl", TEN)
    alone = run(kind="files", files=["in/*"])
    write_rows("in/a.jsonl", TEN)
    assert run(kind="files", files=["in/*"])[10:] == alone


def test_a_play_is_split_into_scenes_that_begin_with_all_their_headings(run):
    scenes = "# Hamlet\n\n## ACT I\n\n### SCENE I. A wall.\n\n**BERNARDO**  \nWho's there?\n\n### SCENE II.\n\nEnd.\n"
    write("plays/hamlet.md", "\ufeff" + scenes.replace("\n", "\r\n"))
    rows = run(kind="files", files=["plays/*.md"], documents={"split_at": "^#{1,6} "})
    assert [(row["id"], row["group"], row["text"], row["source"]) for row in rows] == [
        (
            "plays/hamlet.md#1",
            "hamlet",
            "Hamlet\n\nACT I\n\nSCENE I. A wall.\n\nBERNARDO\nWho's there?",
            "plays/hamlet.md part 1: Hamlet / ACT I / SCENE I. A wall.",
        ),
        ("plays/hamlet.md#2", "hamlet", "SCENE II.\n\nEnd.", "plays/hamlet.md part 2: SCENE II."),
    ]


def test_what_stands_before_the_first_split_is_a_document_too(run):
    write("a.txt", "before\rCHAPTER 1\rone")
    rows = run(kind="files", files=["a.txt"], documents={"split_at": "^CHAPTER"})
    assert [row["text"] for row in rows] == ["before\n", "CHAPTER 1\none"]


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


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.jsonl.gz"])
def test_a_line_of_50_mb_is_a_document(run, name):
    line = "x" * 50_000_000
    content = {".txt": line, ".jsonl": json.dumps({"text": line}), ".csv": f"text\n{line}"}
    data = content["." + name.split(".")[1]].encode()
    write(name, gzip.compress(data, 1) if name.endswith(".gz") else data)
    rows = run(kind="files", files=[name])
    assert len(rows) == 1
    assert rows[0]["text"] == line


def test_a_document_that_is_too_long_is_told_with_its_place(run, monkeypatch):
    monkeypatch.setattr("tasks.ingest.source.LONGEST", 100)
    fits, more = "é" * 50, "é" * 50 + "x"
    rows = [{"text": fits, "other": fits}, {"text": "a", "other": more}]
    write("a.txt.gz", gzip.compress(fits.encode()))
    write("b.md.gz", gzip.compress(more.encode()))
    write_rows("c.jsonl", rows)
    write("d.csv", f"text\n{fits}\n{more}\n")
    write_rows("e.parquet", rows)
    write("f.txt", f"# 1\n# 2\n{more}\n# 3\n")
    write("g.txt", b"\xff" * 40)  # 40 bytes become 120
    for name, wanted, place in [
        ("b.md.gz", {}, "b.md.gz: text"),
        ("c.jsonl", {"text_column": "other"}, "c.jsonl line 2: text"),
        ("c.jsonl", {"target_column": "other"}, "c.jsonl line 2: target"),
        ("d.csv", {}, "d.csv row 2: text"),
        ("e.parquet", {"text_column": "other"}, "e.parquet row 2: text"),
        ("f.txt", {}, "f.txt: text"),
        ("f.txt", {"split_at": "^# [23]"}, "f.txt part 2: # 2: text"),
        ("g.txt", {}, "g.txt: text"),
    ]:
        with pytest.raises(DataError) as raised:
            run(kind="files", files=[name], documents=wanted)
        assert str(raised.value) == (
            f"{place} exceeds 100 bytes, the maximum of a document; split it (text files: documents.split_at)"
        )
    assert [row["text"] for row in run(kind="files", files=["a.txt.gz", "c.jsonl"])] == [fits, fits, "a"]
    write("h.txt", f"# 1\n{fits[:40]}\n# 2\n{fits[:40]}")
    assert len(run(kind="files", files=["h.txt"], documents={"split_at": "^#"})) == 2


def test_a_text_file_of_3_gb_is_told_by_its_size(run):
    write("a.txt", "first")
    with Path("b.txt").open("wb") as file:
        file.truncate(3 << 30)  # sparse: takes no disk space
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"^b\.txt: text exceeds 2,147,483,647 bytes"):
        run(kind="files", files=["?.txt"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_the_longest_document_is_the_longest_that_the_rules_take():
    assert source.LONGEST == judge.LONGEST


def test_bytes_order_marks_go_and_line_ends_are_newlines(run):
    write("a.csv", '\ufefftext\r\n"a\r\nb"\r\n')
    write("b.jsonl", '\ufeff{"text": "a\\r\\nb\\rc"}\r\n\r\n')
    assert [row["text"] for row in run(kind="files", files=["a.csv", "b.jsonl"])] == ["a\nb", "a\nb\nc"]


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
    with pytest.raises(DataError, match=r"^a\.csv: one column, 'gr.+;text'; if ';' separates columns, set ingest"):
        run(kind="files", files=["a.csv"])
    (row,) = run(kind="files", files=["a.csv"], documents={"delimiter": ";", "encoding": "cp1252"})
    assert row["text"] == "naïve, “x”"
    rows = run(kind="files", files=["b.csv"], documents={"delimiter": ";", "encoding": "cp1252"})
    assert [(row["text"], row["problem"]) for row in rows] == [("\ufffdð", "not cp1252 in b.csv"), ("fine", None)]
    write("c.txt", "# 1\nä\n# 2\nö".encode("utf-16"))
    parts = run(kind="files", files=["c.txt"], documents={"split_at": "^#", "encoding": "utf-16"})
    assert [row["text"] for row in parts] == ["# 1\nä\n", "# 2\nö"]
    write_rows("d.parquet", TEN)
    for name, wanted, sentence in [
        ("d.parquet", {"encoding": "utf-16"}, r"documents\.encoding: d\.parquet is a Parquet file"),
        ("c.txt", {"delimiter": ";"}, r"documents\.delimiter: c\.txt is not a CSV file"),
        ("c.txt", {"encoding": "klingon"}, r"documents\.encoding: unknown encoding 'klingon'"),
        ("c.txt", {"encoding": "base64"}, r"documents\.encoding: unknown encoding 'base64'"),
    ]:
        with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: ingest\.{sentence}"):
            run(kind="files", files=[name], documents=wanted)


def test_a_damaged_file_is_named_with_the_row(run):
    for name, (content, message) in damaged().items():
        write(name, content)
        with pytest.raises(DataError, match="^" + message):
            run(kind="files", files=[name])


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
        ({"files": ["../*"]}, r"recipes/x\.yaml: ingest\.files\.0: must be relative, without \.\."),
        ({"files": ["empty.txt"]}, r"recipes/x\.yaml: ingest\.kind: the corpus is empty: 1 documents, none with text"),
        ({"files": ["n.jsonl"]}, r"recipes/x\.yaml: ingest\.kind: the corpus is empty"),
        ({"files": ["t.csv"], "documents": {"split_at": "x"}}, r".*ingest\.documents\.split_at: t\.csv is a table"),
        (
            {"files": ["empty.txt"], "documents": {"text_column": "x"}},
            r".*ingest\.documents\.text_column: empty\.txt and all others are text files",
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


def test_many_rows_come_out_whole_and_in_order(run):
    with Path("a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        writer.writerows([f'row {i}\n"quoted", and more'] for i in range(20_000))
    rows = run(kind="files", files=["a.csv"])
    assert [row["text"] for row in rows] == [f'row {i}\n"quoted", and more' for i in range(20_000)]
    assert rows[-1]["id"] == "a.csv#20000"


def bombs() -> dict[str, tuple[bytes, dict[str, str], str]]:
    """By file: its bytes, its settings, and what is told, for documents of at most 1 MiB."""
    signs = b"x" * (40 << 20)
    lines = (b"x" * 1000 + b"\n") * (40 << 10)
    return {
        "a.jsonl.gz": (gzip.compress(b'{"text": "' + signs, 1), {}, r"a\.jsonl\.gz line 1 exceeds 2,097,152 bytes"),
        "b.csv.zst": (zstandard.compress(b"text\n" + signs), {}, r"b\.csv\.zst line 2 exceeds"),
        "c.csv.xz": (lzma.compress(b'text\n"' + lines, preset=0), {}, r"c\.csv\.xz: the row at byte 5 exceeds"),
        "d.json.bz2": (bz2.compress(b'[{"text": "' + signs, 1), {}, r"d\.json\.bz2: a JSON value exceeds"),
        "e.txt.gz": (gzip.compress(signs, 1), {"split_at": "#"}, r"e\.txt\.gz line 1 exceeds"),
        "f.txt.gz": (
            gzip.compress(lines, 1),
            {"split_at": "#"},
            r"f\.txt\.gz: a part, split by doc.* exceeds",
        ),
        "g.txt.gz": (gzip.compress(signs, 1), {}, r"g\.txt\.gz: text exceeds 1,048,576 bytes"),
        "h.txt.gz": (gzip.compress(signs, 1), {"encoding": "utf-16-le"}, r"h\.txt\.gz: text exceeds 1,048,576 bytes"),
    }


def test_no_more_of_a_bomb_is_unpacked_than_a_document_may_have(run, monkeypatch):
    monkeypatch.setattr("tasks.ingest.source.LONGEST", 1 << 20)
    for name, (content, wanted, sentence) in bombs().items():
        write(name, content)
        tracemalloc.start()
        with pytest.raises(DataError, match=f"^{sentence}"):
            run(kind="files", files=[name], documents=wanted)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 28 << 20, name


def test_a_file_of_kilobytes_that_unpacks_to_a_disk_is_refused(run, monkeypatch):
    monkeypatch.setattr("tasks.fetch.compressed.FREE", 1 << 20)
    many, few = b"some words\n" * 1_000_000, b"some words\n" * 90_000
    for name, packed in {"a.txt.gz": gzip.compress, "b.txt.zst": zstandard.compress, "c.txt.xz": lzma.compress}.items():
        write(name, packed(many))
        size = len(packed(many))
        most = (1 << 20) + 200 * size
        sentence = (
            f"{name}: refused, its {size:,} bytes unpack to more than {most:,}; if you trust it, unpack it yourself"
        )
        with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
            run(kind="files", files=[name], documents={"split_at": "never"})
        write(name, packed(few))
        assert len(run(kind="files", files=[name])[0]["text"]) == len(few)
