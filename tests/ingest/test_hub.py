"""A Hugging Face data set, here a folder in its layout."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contract.errors import DataError, GristmillError, RecipeError, TransientError

CARD = """---
configs:
- config_name: plays
  data_files:
  - {split: train, path: "plays/train-*.parquet"}
  - {split: test, path: "plays/test.parquet"}
- config_name: poems
  data_files:
  - {split: train, path: "poems.parquet"}
---
"""


@pytest.fixture
def folder(project, monkeypatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(project.parent / "hf"))
    root = project / "sets/mine"
    (root / "plays").mkdir(parents=True)
    (root / "README.md").write_text(CARD)
    for shard in range(2):
        numbers = range(10 * shard, 10 * shard + 10)
        table = {"text": [f"line {n}" for n in numbers], "play": [f"p{n % 3}" for n in numbers], "n": list(numbers)}
        pq.write_table(pa.table(table), root / f"plays/train-{shard}.parquet")
    pq.write_table(pa.table({"text": ["a\r\nb"], "play": ["p"], "n": [1]}), root / "plays/test.parquet")
    pq.write_table(pa.table({"verse": ["roses"]}), root / "poems.parquet")
    return root


def test_a_split_of_a_folder_is_read_in_order(run, folder):
    wanted = {"group_column": "play", "id_column": "n"}
    rows = run(kind="hub", dataset="sets/mine", config="plays", split="train", documents=wanted)
    assert [(row["id"], row["group"], row["text"]) for row in rows] == [
        (str(n), f"p{n % 3}", f"line {n}") for n in range(20)
    ]
    rows = run(kind="hub", dataset="sets/mine", config="plays", split="test")
    assert [(row["id"], row["group"], row["text"], row["source"]) for row in rows] == [
        ("plays/test#1", "plays/test#1", "a\nb", "plays/test row 1")
    ]
    rows = run(kind="hub", dataset="sets/mine", config="poems", split="train", documents={"text_column": "verse"})
    assert [row["text"] for row in rows] == ["roses"]


def test_what_is_not_there_is_told(run, folder):
    with pytest.raises(DataError, match=r"^sets/mine poems/train: no column 'text' \(there are: verse\)$"):
        run(kind="hub", dataset="sets/mine", config="poems", split="train")
    with pytest.raises(GristmillError, match=r"^recipes/x\.yaml: ingest: sets/mine: .*nothing"):
        run(kind="hub", dataset="sets/mine", config="plays", split="nothing")
    with pytest.raises(GristmillError, match=r"^recipes/x\.yaml: ingest: sets/mine: .*nothing"):
        run(kind="hub", dataset="sets/mine", config="nothing", split="train")
    with pytest.raises(RecipeError, match=r"ingest\.revision: missing; sets/none is no folder here"):
        run(kind="hub", dataset="sets/none", split="train")


def test_a_damaged_shard_is_told(run, folder):
    shard = folder / "plays/train-1.parquet"
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"^sets/mine plays/train: damaged after row 10: "):
        run(kind="hub", dataset="sets/mine", config="plays", split="train")


def test_a_hub_out_of_reach_may_be_back_later(run, project, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TransientError, match=r"ingest\.dataset: owner/name: "):
        run(kind="hub", dataset="owner/name", revision="main", split="train")
