"""Projects with small corpora for the tests of this package."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.clean.__main__ import STAGE
from tasks.formats.corpus import CorpusWriter, corpus_schema
from tasks.stage.run import run
from tests.scratch import write_code

ROW = {"id": "", "group": "", "text": "", "source": "made up"}


def project(root: Path, clean: str, rows: Iterable[tuple[str | None, ...]], row_group: int = 1000) -> Path:
    """A recipe `small` with this section `clean`, and valid documents; returns data/small.

    Rows are (id, group, text), optionally followed by target and label.
    """
    (root / "recipes").mkdir(parents=True, exist_ok=True)
    write_code(root)
    (root / "recipes" / "small.yaml").write_text(f"task: causal-lm\nclean:\n{clean}", encoding="utf-8")
    rows = [ROW | dict(zip(("id", "group", "text", "target", "label"), row, strict=False)) for row in rows]
    with CorpusWriter(root / "data" / "small" / "valid", corpus_schema()) as writer:
        for start in range(0, len(rows), row_group):
            writer.write(pa.RecordBatch.from_pylist(rows[start : start + row_group], schema=corpus_schema()))
    return root / "data" / "small"


def clean(root: Path, section: str, documents: Iterable[tuple[str | None, ...]], row_group: int = 1000) -> Path:
    """Run the stage in such a project; returns data/small/clean."""
    data = project(root, section, documents, row_group)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run(STAGE, "small")
    return data / "clean"


def rejected(cleaned: Path) -> dict[str, tuple[str, str, str]]:
    """Reason, value and threshold of every dropped document, by id."""
    return {row["id"]: (row["reason"], row["value"], row["threshold"]) for row in rows(cleaned / "rejected.parquet")}


def ids(path: Path) -> list[str]:
    """The ids of all rows."""
    return [row["id"] for row in rows(path)]


def texts(path: Path) -> dict[str, str]:
    """The text of every row, by id."""
    return {row["id"]: row["text"] for row in rows(path)}


def report(cleaned: Path) -> dict[str, Any]:
    """What the stage reports."""
    return json.loads((cleaned / "report.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    """All rows of a Parquet file, or of all shards in a folder."""
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file in a folder, recursively."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
