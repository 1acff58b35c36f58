"""Two files of scores are about the same documents, or one sentence says why not."""

from pathlib import Path

import pytest

from tasks.compare.documents import Documents, read_documents, require_same
from tasks.compare.verdict import compare
from tasks.stage.errors import DataError
from tests.compare.scores import documents, pair, write

GROUPS = ["a", "a", "b", "c"]


def test_scores_are_read_in_order(tmp_path: Path) -> None:
    new, _ = pair("causal-lm", GROUPS)
    found = read_documents(write(new, tmp_path / "scores.parquet"), "causal-lm")
    assert (found.ids, found.groups, len(found)) == (["d0", "d1", "d2", "d3"], GROUPS, 4)
    assert found.table.equals(new.table)


def test_files_that_are_no_scores_are_told(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    with pytest.raises(DataError, match=r"scores\.parquet: not found; the stage evaluate writes it"):
        read_documents(path, "causal-lm")
    path.write_text("no Parquet")
    with pytest.raises(DataError, match=r"scores\.parquet: not a valid Parquet file"):
        read_documents(path, "causal-lm")
    new, _ = pair("causal-lm", GROUPS)
    write(new, path)
    with pytest.raises(DataError, match=r"no column masked, right; the scores of masked-lm have it, this file has id,"):
        read_documents(path, "masked-lm")
    write(Documents(new.task, new.table.slice(0, 0), path), path)
    with pytest.raises(DataError, match=r"scores\.parquet: no documents"):
        read_documents(path, "causal-lm")
    write(documents("causal-lm", ["a", None], bytes=[1, 2], tokens=[1, 2], loss=[1.0, 2.0]), path)  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"scores\.parquet: document d1: group is missing"):
        read_documents(path, "causal-lm")


def test_other_documents_are_told() -> None:
    new, old = pair("causal-lm", GROUPS)

    def of(table) -> Documents:
        return Documents("causal-lm", table, Path("old/scores.parquet"))

    with pytest.raises(DataError, match=r"old/scores\.parquet: lacks 1 of the 4 documents of model0/.*, such as d3"):
        compare(new, of(old.table.slice(0, 3)), "bits_per_byte", {})
    with pytest.raises(
        DataError, match=r"old/scores\.parquet: has the documents .* in another order: row 1 is d1 inst"
    ):
        compare(new, of(old.table.take([1, 0, 2, 3])), "bits_per_byte", {})
    with pytest.raises(DataError, match=r"has 1 documents that old/scores\.parquet lacks, such as d3; score both"):
        compare(of(new.table.slice(0, 3)), old, "bits_per_byte", {})
    with pytest.raises(DataError, match=r"has 5 rows, but model0/scores\.parquet has 4 with the same ids"):
        compare(new, of(old.table.take([0, 1, 2, 3, 3])), "bits_per_byte", {})


@pytest.mark.parametrize(
    ("task", "metric", "column", "told"),
    [
        ("causal-lm", "bits_per_byte", "bytes", "document d2 has 7 bytes, but 9 in scores.parquet: other text"),
        (
            "causal-lm",
            "perplexity",
            "tokens",
            "document d2 has 7 tokens .tokens., but 9 .* different tokenizers, and per",
        ),
        (
            "masked-lm",
            "masked_accuracy",
            "masked",
            "document d2 has 7 tokens .masked., but 9 .*and masked_accuracy is per",
        ),
        ("translation", "chrf", "reference", "document d2 has another reference than in scores.parquet: other text"),
        ("summarization", "rouge1", "reference", "document d2 has another reference"),
        ("classification", "accuracy", "label", "document d2 has another label than in scores.parquet"),
    ],
)
def test_the_same_ids_with_other_text_are_told(task: str, metric: str, column: str, told: str) -> None:
    scores, _ = pair(task, GROUPS)

    def of(value: int) -> Documents:
        values = scores.table.column(column).to_pylist()
        values[2] = value if isinstance(values[2], int) else str(value)
        columns = {name: scores.table.column(name) for name in scores.table.column_names[2:]}
        return documents(task, GROUPS, **{**columns, column: values})

    require_same(of(9), of(9), metric)
    with pytest.raises(DataError, match=told):
        compare(of(9), of(7), metric, {})


def test_another_task_is_told() -> None:
    with pytest.raises(DataError, match="scores of masked-lm cannot be compared with scores of causal-lm"):
        compare(pair("causal-lm", GROUPS)[0], pair("masked-lm", GROUPS)[0], "bits_per_byte", {})


def test_bits_per_byte_do_not_ask_for_one_tokenizer() -> None:
    new, old = pair("causal-lm", GROUPS)
    place = old.table.column_names.index("tokens")
    other = Documents("causal-lm", old.table.set_column(place, "tokens", [[1, 2, 3, 4]]), old.path)
    assert compare(new, other, "bits_per_byte", {}).documents == 4
