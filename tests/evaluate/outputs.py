"""What an evaluation wrote."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from tasks.evaluate.__main__ import STAGE
from tests.evaluate.texts import FOLDER


def output_bytes(folder: Path = FOLDER) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in STAGE.outputs}


def read_output(name: str, folder: Path = FOLDER):
    return json.loads((folder / "evaluation" / name).read_text())


def read_signature(folder: Path = FOLDER) -> dict[str, str]:
    return dict(part.split(":") for part in read_output("metrics.json", folder)["signature"].split("|"))


def read_scores(folder: Path = FOLDER) -> list[dict]:
    return pq.read_table(folder / "evaluation" / "scores.parquet").to_pylist()
