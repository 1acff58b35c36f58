"""A separate project for each test: `run` writes a recipe, runs the stage and returns its rows. `server`: loopback."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
BODY = "".join(f"line {i} of a text that takes its time\n" for i in range(50_000)).encode()


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
        section = {"licence": "CC0", **section}
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


class Server(ThreadingHTTPServer):
    """Serves `body`; the first `breaks` responses are cut off after `sends` bytes."""

    body, status, ranges, breaks, sends = BODY, 200, True, 0, 700_000
    asked: list[str | None]
    daemon_threads = True

    def url(self, name: str = "text.txt") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if start >= len(server.body) and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        end = start + server.sends if server.breaks else None
        server.breaks = max(server.breaks - 1, 0)
        self.wfile.write(server.body[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield server
        server.shutdown()
