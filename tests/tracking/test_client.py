import pytest

from tasks.stage.errors import GristmillError, TransientError
from tasks.tracking.client import connect


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
