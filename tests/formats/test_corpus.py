from pathlib import Path

import pyarrow as pa
import pytest

from tasks.formats import corpus
from tasks.stage.errors import DataError
from tasks.stage.identity import hash_tree

NONE = {"target": None, "label": None}
ROWS = [{"id": str(n), "group": "g", "text": "é" * (n * 37 % 60), **NONE, "source": "s"} for n in range(200)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BATCH_BYTES", 200)
    monkeypatch.setattr(corpus, "SHARD_BYTES", 2000)


def write(folder: Path, sizes: list[int], rows: list[dict] = ROWS) -> Path:
    with corpus.CorpusWriter(folder, corpus.corpus_schema()) as writer:
        start = 0
        for size in sizes:
            writer.write(pa.RecordBatch.from_pylist(rows[start : start + size], corpus.corpus_schema()))
            start += size
    return folder


def test_documents_come_back_in_order(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", [200])
    assert len(corpus.shards(folder)) > 2
    assert [row for batch in corpus.read_batches(folder) for row in batch.to_pylist()] == ROWS
    places = corpus.row_groups(folder)
    assert len(places) > len(corpus.shards(folder))
    found = [name for path, group, _ in places for name in corpus.read_row_group(path, group, ["id"])["id"].to_pylist()]
    assert found == [row["id"] for row in ROWS]
    assert corpus.count_documents(folder) == 200


def test_shards_do_not_depend_on_how_documents_arrive(tmp_path: Path) -> None:
    expected = hash_tree(write(tmp_path / "a", [200]))
    assert hash_tree(write(tmp_path / "b", [1] * 200)) == expected
    assert hash_tree(write(tmp_path / "c", [7, 0, 3, 150, 40])) == expected


def test_a_document_between_others_changes_the_row_groups_around_it_only(tmp_path: Path) -> None:
    def hashes(name: str, rows: list[dict]) -> list[str]:
        folder = write(tmp_path / name, [len(rows)], rows)
        return [corpus.hash_row_group(path, group) for path, group, _ in corpus.row_groups(folder)]

    rows = [ROWS[0] | {"id": f"a{n}", "text": "word " * (n % 7)} for n in range(3000)]
    before = hashes("before", rows)
    after = hashes("after", [*rows[:800], ROWS[5] | {"id": "new"}, *rows[800:]])
    assert len(before) > 200 and len(set(before)) == len(before)
    assert len(set(after) - set(before)) <= 8


def test_row_groups_have_no_more_text_than_is_said_and_not_less_than_a_quarter(tmp_path: Path) -> None:
    sizes = [corpus.text_bytes(batch).sum() for batch in corpus.read_batches(write(tmp_path / "c", [200]))]
    assert max(sizes) < corpus.BATCH_BYTES + 60 * 2
    assert min(sizes[:-1]) >= corpus.BATCH_BYTES / 4


def test_an_empty_corpus_still_has_its_columns(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", [])
    assert corpus.count_documents(folder) == 0
    assert corpus.shards(folder)[0].name == "part-00000.parquet"


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", [200])
    shard = corpus.shards(folder)[1]
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"part-00001\.parquet: not a valid Parquet file"):
        list(corpus.read_batches(folder))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", [5])
    with pytest.raises(
        DataError,
        match=r"part-00000\.parquet: no column language \(available: id, group, text, target, label, source\)",
    ):
        list(corpus.read_batches(folder, ["text", "language"]))


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no part-"):
        corpus.shards(tmp_path)
