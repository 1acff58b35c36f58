from pathlib import Path

import pytest

import tasks.changes.manifest as manifests
from tasks.changes.manifest import hash_document, read_manifest, write_manifests
from tasks.stage.errors import DataError
from tests.changes import texts, write_corpus


def test_a_list_holds_each_document_in_order(tmp_path: Path) -> None:
    documents = texts(30)
    write_corpus(tmp_path / "clean" / "test", documents)
    ((name, path),) = write_manifests(tmp_path).items()
    assert name == "documents/test.parquet"
    found = read_manifest(path)
    assert found.documents == 30 and found.table is not None
    assert found.table["id"].to_list() == list(documents)
    assert found.table["hash"].to_list() == [hash_document(text, None, None) for text in documents.values()]


def test_an_unchanged_corpus_is_not_read_again_and_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    write_corpus(tmp_path / "raw", texts(30))
    (path,) = write_manifests(tmp_path).values()
    first, when = path.read_bytes(), path.stat().st_mtime_ns
    write_manifests(tmp_path)
    assert path.stat().st_mtime_ns == when
    (shard,) = (tmp_path / "raw").glob("part-*")
    shard.touch()  # as after `dvc checkout`
    write_manifests(tmp_path)
    assert path.stat().st_mtime_ns != when and path.read_bytes() == first
    shard.unlink()
    (tmp_path / "raw").rmdir()
    write_corpus(tmp_path / "raw", texts(30, word="other"))
    write_manifests(tmp_path)
    assert path.read_bytes() != first


@pytest.mark.parametrize(
    "other", [("a", None, "x"), ("a", "", None), ("ab", None, None), ("", "a", None), ("a", "x", None)]
)
def test_text_target_and_label_are_told_apart(other: tuple[str, str | None, str | None]) -> None:
    assert hash_document("a", None, None) != hash_document(*other)


def test_of_a_huge_corpus_only_the_number_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MOST", 29)
    write_corpus(tmp_path / "raw", texts(30))
    (path,) = write_manifests(tmp_path).values()
    assert read_manifest(path) == manifests.Manifest(30, None)


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    path = tmp_path / "raw.parquet"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"raw\.parquet: not a list of documents"):
        read_manifest(path)
