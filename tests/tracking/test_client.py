import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tasks.stage.errors import GristmillError, TransientError
from tasks.tracking.client import connect
from tests.register import empty_database


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "ftp://host/runs", "http://host:port"])
def test_an_address_that_mlflow_does_not_take_is_named(uri: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(GristmillError, match=r"^MLFLOW_TRACKING_URI: ") as told:
        connect()
    assert type(told.value) is GristmillError and "\n" not in str(told.value)


def test_a_server_that_is_away_may_come_back(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(TransientError, match=r"^MLflow at http://127\.0\.0\.1:9 does not answer"):
        connect()


def has_schema(version: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))

    return change


def becomes_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.write_bytes(b"x" * 5000), r"damaged, or not MLflow's database; put a copy back, or move"),
        (lambda path: path.write_bytes(path.read_bytes()[:300_000]), r"damaged, or not MLflow's database; .*"),
        (becomes_folder, r"a folder, not MLflow's database; move it away, and `gristmill run` of each recipe makes"),
        (has_schema("ffffffffffff"), r"written by another MLflow, newer than 3\.\S+; use that one, or move it away"),
        (
            has_schema("534353b11cbc"),
            r"written by an older MLflow; make a copy of it, then run: mlflow db upgrade \S+$",
        ),
    ],
)
def test_a_database_that_cannot_be_read_says_why_and_what_to_do(
    change: Callable[[Path], object], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(empty_database())
    change(tmp_path / "mlflow.db")
    with pytest.raises(GristmillError, match=rf"^mlflow\.db: {sentence}") as told:
        connect()
    assert type(told.value) is GristmillError and "sqlalche" not in str(told.value)
