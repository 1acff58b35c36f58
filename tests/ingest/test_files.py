"""Files of every format become documents, in order, with stable ids; errors name their place."""

import bz2
import csv
import gzip
import json
import lzma
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from tasks.ingest.ids import Ids
from tasks.stage.errors import DataError
from tests.ingest.conftest import RAW, read_report, write, write_rows

TEN = [{"n": i, "text": f"text {i}"} for i in range(10)]


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


def test_many_rows_come_out_whole_and_in_order(run):
    with Path("a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        writer.writerows([f'row {i}\n"quoted", and more'] for i in range(20_000))
    rows = run(kind="files", files=["a.csv"])
    assert [row["text"] for row in rows] == [f'row {i}\n"quoted", and more' for i in range(20_000)]
    assert rows[-1]["id"] == "a.csv#20000"
