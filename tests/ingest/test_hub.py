"""A Hugging Face dataset, from a local folder."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.ingest.hub import HubSource
from tasks.ingest.source import Bench, Documents
from tasks.stage.errors import DataError, GristmillError, RecipeError, TransientError
from tests.ingest.conftest import read_report

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


@pytest.fixture
def read(run, folder):
    """Run with a configuration of the folder, by default `plays`."""

    def ingest(split, config="plays", **more):
        return run(kind="hub", dataset="sets/mine", config=config, split=split, **more)

    return ingest


def test_a_split_of_a_folder_is_read_in_order(read):
    wanted = {"group_column": "play", "id_column": "n"}
    rows = read("train", documents=wanted)
    assert [(row["id"], row["group"], row["text"]) for row in rows] == [
        (str(n), f"p{n % 3}", f"line {n}") for n in range(20)
    ]
    (row,) = read("test")
    told = (row["id"], row["group"], row["text"], row["source"])
    assert told == ("plays/test#1", "plays/test#1", "a\nb", "plays/test row 1")
    (row,) = read("train", "poems", documents={"text_column": "verse"})
    assert row["text"] == "roses"


def test_splits_are_read_in_the_order_given_and_all_but_the_first_are_groups(read):
    rows = read(["test", "train"])
    assert [(row["id"], row["group"], row["source"]) for row in rows] == [
        ("plays/test#1", "plays/test#1", "plays/test row 1"),
        *((f"plays/train#{n}", "train", f"plays/train row {n}") for n in range(1, 21)),
    ]
    assert read_report()["received"]["rows"] == 21
    (row,) = read(["test"])
    assert (row["id"], row["group"]) == ("plays/test#1", "plays/test#1")


def test_a_dataset_is_a_source_of_a_mixture_with_both_kinds_of_split(run, folder):
    given = {"kind": "hub", "licence": "x", "dataset": "sets/mine", "config": "plays"}
    train, exam = given | {"name": "plays", "dataset_split": "train"}, given | {"name": "exam", "dataset_split": "test"}
    rows = run(sources=[train, exam | {"split": "test"}])
    assert [(row["part"], row["split"]) for row in rows] == 20 * [("plays", None)] + [("exam", "test")]
    assert rows[-1]["id"].startswith("exam:plays/test#")
    with pytest.raises(RecipeError, match=r"ingest\.sources\.0\.dataset_split: duplicate split"):
        run(sources=[train | {"dataset_split": ["train", "train"]}])
    with pytest.raises(RecipeError, match=r"ingest\.sources\.0\.dataset_split: missing"):
        run(sources=[given | {"name": "plays", "split": "train"}])


def test_ids_that_each_split_counts_anew_stay_unique(read):
    rows = read(["train", "test"], documents={"id_column": "n"})
    assert [row["id"] for row in rows] == [*(f"train/{n}" for n in range(20)), "test/1"]


def test_an_id_that_comes_twice_in_a_split_is_told(read):
    wanted = {"id_column": "play"}
    with pytest.raises(DataError, match=r"^plays/train row 4: duplicate id 'p0', already in plays/train row 1; "):
        read("train", documents=wanted)
    with pytest.raises(DataError, match=r"^plays/train row 4: duplicate id 'train/p0', already in plays/train row 1; "):
        read(["test", "train"], documents=wanted)


def test_a_list_of_splits_that_cannot_be_read_so_is_told(read):
    with pytest.raises(RecipeError, match=r"ingest\.documents\.group_column: not allowed with a list of splits"):
        read(["train", "test"], documents={"group_column": "play"})
    with pytest.raises(RecipeError, match=r"ingest\.split: duplicate split"):
        read(["train", "train"])
    with pytest.raises(RecipeError, match=r"ingest\.split: needs at least 1, has 0"):
        read([])


def test_pairs_of_a_folder_are_read_from_inside_a_column(read, folder):
    (folder / "poems.parquet").unlink()
    rows = [{"translation": {"en": "yes", "fr": "oui"}}, {"translation": {"en": "no", "fr": None}}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "poems.parquet")
    rows = read("train", "poems", documents={"text_column": "translation.en", "target_column": "translation.fr"})
    assert [(row["text"], row["target"], row["problem"]) for row in rows] == [
        ("yes", "oui", None),
        ("no", None, "no target in poems/train row 2: nothing in the column 'translation.fr'"),
    ]
    with pytest.raises(DataError, match=r"^sets/mine poems/train: no column 'translation\.de'"):
        read("train", "poems", documents={"text_column": "translation.de"})


CLASSES = """---
dataset_info:
  features:
  - {name: text, dtype: string}
  - name: label
    dtype:
      class_label:
        names: {'0': World, '1': Sports}
configs:
- config_name: default
  data_files: "*.parquet"
---
"""


def test_numbers_of_classes_become_their_names(run, folder):
    root = folder.parent / "classes"
    root.mkdir()
    (root / "README.md").write_text(CLASSES)
    pq.write_table(pa.table({"text": list("abcd"), "label": [1, 0, -1, None]}), root / "train.parquet")
    rows = run(kind="hub", dataset="sets/classes", split="train", documents={"label_column": "label"})
    assert [(row["label"], row["problem"]) for row in rows] == [
        ("Sports", None),
        ("World", None),
        (None, "no label in train row 3: -1 is the number of no class"),
        (None, "no label in train row 4: nothing in the column 'label'"),
    ]


def test_what_is_not_there_is_told(run, read):
    with pytest.raises(DataError, match=r"^sets/mine poems/train: no column 'text' \(available: verse\)$"):
        read("train", "poems")
    with pytest.raises(GristmillError, match=r"^recipes/x\.yaml: ingest: sets/mine: .*nothing"):
        read("nothing")
    with pytest.raises(GristmillError, match=r"^recipes/x\.yaml: ingest: sets/mine: .*nothing"):
        read("train", "nothing")
    with pytest.raises(RecipeError, match=r"ingest\.revision: missing; sets/none is not a local folder"):
        run(kind="hub", dataset="sets/none", split="train")


def test_a_link_to_a_folder_of_shards_is_told(read, folder):
    (folder / "plays").rename(folder.parent / "elsewhere")
    (folder / "plays").symlink_to("../elsewhere")
    with pytest.raises(DataError, match=r"^sets/mine/plays: a link to the folder \.\./elsewhere; "):
        read("train")


def test_before_a_run_the_splits_and_columns_of_a_folder_are_looked_at(folder):
    def look(**more) -> None:
        given = {"kind": "hub", "licence": "x", "dataset": "sets/mine", "config": "plays", "split": "train", **more}
        HubSource(**given).look(Bench(Path("recipes/x.yaml"), Path()))

    look()
    look(dataset="owner/name", revision="main")
    with pytest.raises(GristmillError, match=r"^recipes/x\.yaml: ingest: sets/mine: .*trian"):
        look(split=("train", "trian"))
    with pytest.raises(DataError, match=r"^sets/mine plays/train: no column 'key' \(available: text, play, n\)$"):
        look(documents=Documents(id_column="key"))


def test_a_damaged_shard_is_told(read, folder):
    shard = folder / "plays/train-1.parquet"
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"^sets/mine plays/train: damaged after row 10: "):
        read("train")


def test_a_hub_out_of_reach_may_be_back_later(run, monkeypatch, project):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TransientError, match=r"ingest\.dataset: owner/name: "):
        run(kind="hub", dataset="owner/name", revision="main", split="train")


@pytest.mark.parametrize(
    ("name", "content", "column", "told"),
    [
        ("train.csv", "text,text\na,b\n", "text", "train.csv: two columns are named 'text'"),
        ("train.csv", "id,text,text\n1,a,b\n", "id", None),
        (
            "train.csv",
            "txet,x\na,b\n",
            "text",
            r"train.csv: no column 'text' \(available: txet, x\); did you mean",
        ),
        ("train.csv.gz", "text,text\na,b\n", "text", "train.csv.gz: two columns are named 'text'"),
        (
            "train.csv",
            "text,x\na,b\nc,d,e\n",
            "text",
            "train: damaged after row 0: .*Expected 2 fields in line 3",
        ),
        (
            "train.jsonl",
            '{"text": "a"}\n{"text": "b", "text": "c"}\n',
            "text",
            "train.jsonl row 2: two values for 't",
        ),
        ("train.json", '[{"text": "b", "text": "c"}]', "text", "train.json row 1: two values for 'text'"),
        ("train.jsonl", '{"m": {"k": "a", "k": "b"}}\n', "m.k", "train.jsonl row 1: two values for 'k'"),
    ],
)
def test_what_datasets_reads_in_silence_is_told(run, project, folder, name, content, column, told):
    place = Path("sets/loose", name)
    place.parent.mkdir()
    place.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    given = {"kind": "hub", "dataset": "sets/loose", "split": "train", "documents": {"text_column": column}}
    if told is None:
        assert len(run(**given)) == 1
        return
    with pytest.raises(DataError, match=f"^sets/loose.{told}"):
        run(**given)
    with pytest.raises(DataError, match=f"^sets/loose.{told}"):
        HubSource(licence="x", **{**given, "documents": Documents(text_column=column)}).look(
            Bench(Path("recipes/x.yaml"), Path())
        )


def test_bombs_in_a_dataset_are_refused(run, folder, monkeypatch):
    monkeypatch.setattr("tasks.fetch.compressed.FREE", 1 << 20)
    root = Path("sets/loose")
    root.mkdir()
    wide = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 100_000]))
    pq.write_table(pa.table({"text": wide}), "a.parquet", compression="zstd")
    lines = b"some words\n" * 1_000_000
    for name, content in {
        "train.parquet": Path("a.parquet").read_bytes(),
        "train.csv.gz": gzip.compress(b"text\n" + lines),
        "train.txt.gz": gzip.compress(lines),
        "train.jsonl.gz": gzip.compress(b'{"text": "some words"}\n' * 500_000),
    }.items():
        (root / name).write_bytes(content)
        with pytest.raises(DataError, match=f"^sets/loose/{name}: refused, its .* bytes unpack to more than "):
            run(kind="hub", dataset="sets/loose", split="train")
        (root / name).unlink()
