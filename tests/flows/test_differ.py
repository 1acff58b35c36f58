"""The first difference between two outputs, in words, and how much it counts."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from flows.reproduce.differ import find_difference
from flows.reproduce.environment import differing
from flows.reproduce.judge import DIFFERENT, WITHIN, Judge, Verdict
from flows.reproduce.store import hash_path
from flows.reproduce.work import in_order
from tasks.register.reproduction import Entry, Item
from tasks.stage.errors import GristmillError

Pair = tuple[Path, Path]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    for name in ("recorded", "made"):
        (tmp_path / name).mkdir()
    return tmp_path / "recorded", tmp_path / "made"


def table(path: Path, **columns: list) -> None:
    pq.write_table(pa.table(columns), path)


def test_documents_are_named_by_id_and_column(pair: Pair) -> None:
    for folder, texts in zip(pair, (["one", "a word", "three"], ["one", "a sword", "tree"]), strict=True):
        table(folder / "part-00000.parquet", id=["a", "b", "c"], text=texts)
        (folder / "report.json").write_text(json.dumps(texts))
    found = find_difference(*pair)
    told = 'part-00000.parquet: document b, text: "a word" became "a sword" (character 2) (2 differ); also report.json'
    assert (found.sentence, found.largest) == (told, math.inf)


@pytest.mark.parametrize(
    ("ids", "told"),
    [(["a", "b"], "document c is missing"), (["a", "b", "d"], "document c is missing and document d is new"),
     (["a", "b", "c", "d"], "document d is new"), (["b", "a", "c"], "the documents are in another order")],
)  # fmt: skip
def test_documents_that_come_and_go_are_named(pair: Pair, ids: list[str], told: str) -> None:
    for folder, names in zip(pair, (["a", "b", "c"], ids), strict=True):
        table(folder / "x.parquet", id=names, text=names)
    assert told in find_difference(*pair).sentence


def test_numbers_count_relative_to_themselves(pair: Pair) -> None:
    for folder, score in zip(pair, (200.0, 200.1), strict=True):
        table(folder / "scores.parquet", id=["a", "b"], loss=[1.0, score])
        (folder / "metrics.json").write_text(json.dumps({"of": {"all": [0, score / 100]}, "signature": "x"}))
        (folder / "history.csv").write_text(f"step,loss\n10,{score}\n")
        (folder / "curves.png").write_bytes(str(score).encode())
    found = find_difference(*pair)
    assert found.largest == pytest.approx(0.1 / 200.1)
    assert "document b, loss: 200.0 became 200.1 (5.0e-04 of it)" in found.sentence
    one = find_difference(pair[0] / "metrics.json", pair[1] / "metrics.json")
    assert one.sentence.startswith("of.all[1]: 2.0 became 2.001 (5.0e-04")
    assert find_difference(*(folder / "history.csv" for folder in pair)).sentence.startswith(
        "step 10, loss: 200.0 became"
    )


def test_the_tensor_that_differs_most_is_named(pair: Pair) -> None:
    for folder, value in zip(pair, (0.0, 0.25), strict=True):
        head = np.zeros((2, 4), np.float32)
        head[1, 2] = value
        save_file({"head": head, "norm": np.full(3, value / 100, np.float32)}, folder / "model.safetensors")
    found = find_difference(*pair)
    assert "tensor head: 12.5% of its values differ, by at most 0.25 (2 differ)" in found.sentence
    assert found.largest == math.inf
    assert find_difference(*pair, weights=0.0).largest == 0.0


def test_bfloat16_is_read(pair: Pair) -> None:
    for folder, bits in zip(pair, (0x3F80, 0x4000), strict=True):  # 1.0 and 2.0
        header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
        content = len(header).to_bytes(8, "little") + header + bits.to_bytes(2, "little")
        (folder / "model.safetensors").write_bytes(content)
    assert "tensor w: 100.0% of its values differ, by at most 1" in find_difference(*pair).sentence


def test_a_damaged_table_names_the_documents_of_the_damage(pair: Pair) -> None:
    for folder in pair:
        table(folder / "x.parquet", id=["a", "b", "c"], text=["one " * 50, "two " * 50, "three " * 50])
    path = pair[0] / "x.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 20] = bytes(20)
    path.write_bytes(content)
    found = find_difference(*pair)
    assert "documents a to c, text: from byte" in find_difference(*reversed(pair)).sentence
    assert "documents a to c, text: from byte" in found.sentence and "cannot be read" in found.sentence


def test_other_files_differ_from_a_byte_on(pair: Pair) -> None:
    (pair[0] / "x.bin").write_bytes(b"abcdef")
    (pair[1] / "x.bin").write_bytes(b"abXdefg")
    assert find_difference(*pair).sentence == "x.bin: from byte 2 on, 6 bytes became 7"
    (pair[1] / "y").write_text("")
    assert find_difference(*pair).sentence.endswith("also y")


@pytest.mark.parametrize(
    ("tolerance", "size", "verdict"),
    [(None, 1e-5, DIFFERENT), (1e-3, 1e-5, WITHIN), (1e-3, 1e-2, DIFFERENT), (1e-3, math.inf, DIFFERENT)],
)
def test_only_a_tolerance_that_was_asked_for_counts(tolerance: float | None, size: float, verdict: str) -> None:
    found = Verdict("train", "")
    judge = Judge(None, None, Path(), tolerance)  # type: ignore[arg-type]
    judge._settle(found, [("history.csv: step 2, loss: 1.0 became 1.1", size)])
    assert found.verdict == verdict
    assert ("which another kind of processor explains" in found.sentence) == (size == 1e-5)


def test_the_hash_of_a_path_is_that_of_dvc(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    (folder / "b").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "b/c").write_text("2")
    assert hash_path(folder / "a") == "c4ca4238a0b923820dcc509a6f75849b"
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import localfs

    _, _, tree = build(HashFileDB(localfs, str(tmp_path / "db")), str(folder), localfs, "md5", dry_run=True)
    assert hash_path(folder) == tree.hash_info.value


def test_stages_run_after_those_that_they_read() -> None:
    entries = [
        Entry("evaluate@x", "", (Item("data/x/model", ""), Item("data/x/clean/test", "")), ()),
        Entry("train@x", "", (Item("data/x/clean/train", ""),), (Item("data/x/model", ""),)),
        Entry("clean@x", "", (), (Item("data/x/clean", ""),)),
    ]
    assert [entry.stage for entry in in_order(entries)] == ["clean", "train", "evaluate"]
    loop = Entry("clean@x", "", (Item("data/x/model", ""),), (Item("data/x/clean", ""),))
    with pytest.raises(GristmillError, match="circle"):
        in_order([*entries[:2], loop])


def test_the_packages_that_are_not_installed_as_locked() -> None:
    lock = f"numpy=={np.__version__} \\\n    --hash=sha256:0\nno-such==1.0\nother==2 ; sys_platform == 'plan9' \\\n"
    assert list(differing(lock)) == ["no-such 1.0 locked, not installed"]
    assert list(differing("numpy==0.1\n")) == [f"numpy 0.1 locked, {np.__version__} installed"]
