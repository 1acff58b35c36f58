"""A separate project for each test: `run` writes a recipe, runs the stage and returns its rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.formats.corpus import read_batches
from tasks.ingest.__main__ import STAGE
from tasks.stage.run import run as run_stage

Rows = list[dict[str, Any]]
RAW = Path("data/x/raw")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "recipes").mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


@pytest.fixture
def run(project: Path) -> Callable[..., Rows]:
    def ingest(task: str | None = None, **section: Any) -> Rows:
        section = section if "sources" in section else {"licence": "CC0", **section}
        (project / "recipes/x.yaml").write_text(json.dumps({"task": task or task_for(section), "ingest": section}))
        run_stage(STAGE, "x")
        return read_raw()

    return ingest


def task_for(section: dict[str, Any]) -> str:
    """A task that reads what a source gives."""
    keys = {*section.get("documents", {}), section.get("content")}
    if keys & {"target_column", "translations", "synopses"}:
        return "translation"
    return "classification" if keys & {"label_column", "label_pattern", "sections"} else "causal-lm"


def read_raw() -> Rows:
    return [row for batch in read_batches(RAW) for row in batch.to_pylist()]


def read_report() -> dict[str, Any]:
    return json.loads((RAW / "report.json").read_text())


def write_rows(name: str, rows: list[dict[str, Any]]) -> None:
    """A table in JSON Lines, or for a name in .parquet, in Parquet."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), name)
    else:
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def write(name: str, content: bytes | str) -> None:
    """A file, with its folders."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
