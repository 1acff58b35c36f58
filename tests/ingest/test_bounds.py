"""What is too long, or unpacks to too much, is refused before it is in memory."""

import bz2
import gzip
import json
import lzma
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
from tasks.stage.errors import DataError
from tests.ingest.conftest import write, write_rows


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


def repeated(value: str, rows: int) -> pa.DictionaryArray:
    """A column that Parquet stores once: `value` in every row."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))


def test_a_parquet_file_of_kilobytes_that_unpacks_to_a_disk_is_refused(run, monkeypatch):
    monkeypatch.setattr("tasks.fetch.compressed.FREE", 1 << 20)
    monkeypatch.setattr("tasks.ingest.parquet.BATCH", 1 << 20)
    long = "x" * 100_000
    nested = pa.StructArray.from_arrays([repeated(long, 10_000)], ["en"])
    tables = {
        "text": pa.table({"text": repeated(long, 10_000)}),
        "m.en": pa.table({"m": nested}),
        "rows": pa.table({"rows": repeated("x", 2_000_000)}),
        "page": pa.table({"page": [long] * 1000}),
    }
    for column, table in tables.items():
        pq.write_table(table, "a.parquet", compression="zstd", use_dictionary=column != "page")
        size = Path("a.parquet").stat().st_size
        sentence = f"a.parquet: refused, its {size:,} bytes unpack to more than {(1 << 20) + 200 * size:,}; if you"
        before = pa.default_memory_pool().max_memory()
        with pytest.raises(DataError, match=f"^{re.escape(sentence)} trust it, save it as .jsonl$"):
            run(kind="files", files=["a.parquet"], documents={"text_column": column})
        assert pa.default_memory_pool().max_memory() - before < 60 << 20, column


def test_long_values_in_a_dictionary_are_read_a_few_rows_at_a_time(run, monkeypatch):
    monkeypatch.setattr("tasks.ingest.parquet.BATCH", 1 << 20)
    long = [f"{number}" * 100_000 for number in range(1, 4)]
    texts = pa.array([*long, None, *long]).dictionary_encode()
    pq.write_table(pa.table({"text": texts, "n": range(7)}), "a.parquet", row_group_size=3)
    rows = run(kind="files", files=["a.parquet"], documents={"id_column": "n"})
    assert [(row["id"], row["text"]) for row in rows] == [(str(n), t) for n, t in enumerate([*long, "", *long])]
