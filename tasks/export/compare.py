"""How far files for other runtimes are from PyTorch on the same rows of text, and how fast they run, in turns."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.export.gguf_run import LlamaCpp
from tasks.export.onnx_run import OnnxModel
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import torch

    Row = dict[str, torch.Tensor]

TURNS = 3


@dataclass(frozen=True)
class Outcome:
    """What a runtime says about the rows."""

    difference: float
    """The largest from PyTorch: of logits, or of log-probabilities (nats) for GGUF."""
    agreement: float
    """Share of choices (tokens, classes) that are the same."""
    times_as_fast: float
    """As PyTorch in float32, the median of turns."""

    def to_json(self, path: Path, rows: int) -> dict[str, Any]:
        """For the report, without the speed, which depends on the machine."""
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        return {
            "bytes": sum(each.stat().st_size for each in files),
            "rows": rows,
            "largest_difference": float(f"{self.difference:.2g}"),
            "agreement": round(self.agreement, 6),
        }


def compare_onnx(files: OnnxModel, model: Any, rows: "Sequence[Row]") -> Outcome:
    """Compare the logits of all positions."""

    def theirs(row: "Row") -> NDArray[Any]:
        shifted = model.prepare_decoder_input_ids_from_labels(labels=row["labels"]) if "labels" in row else None
        return files.logits(row, shifted)

    def ours(row: "Row") -> NDArray[Any]:
        return _logits(model, row)

    pairs = [(theirs(row), ours(row)) for row in rows]
    same = [(one.argmax(-1) == other.argmax(-1)).flatten() for one, other in pairs]
    return Outcome(
        max(float(np.abs(one - other).max()) for one, other in pairs), float(np.concatenate(same).mean()),
        _paces(ours, theirs, rows),
    )  # fmt: skip


def compare_gguf(runner: LlamaCpp, model: Any, rows: "Sequence[Row]", where: str) -> Outcome:
    """Compare the log-probabilities of the token that follows each row. Raises DataError if llama.cpp ends.

    Rows are cut to one token less than the model's positions: llama.cpp keeps room for the next one.
    """
    room = model.config.max_position_embeddings - 1
    rows = [{"input_ids": row["input_ids"][:, :room]} for row in rows]

    def theirs(row: "Row") -> tuple[int, Mapping[int, float]]:
        try:
            return runner.next_token(row["input_ids"][0].tolist())
        except EOFError as error:
            raise DataError(f"{where}: {error}; the file cannot be read, or memory is short") from error

    def ours(row: "Row") -> NDArray[Any]:
        last = _logits(model, row, logits_to_keep=1)[0, -1].astype(np.float64)
        found: NDArray[Any] = last - np.logaddexp.reduce(last)
        return found

    pairs = [(theirs(row), ours(row)) for row in rows]
    off = [abs(float(own[token]) - value) for (_, top), own in pairs for token, value in top.items()]
    same = [token == int(own.argmax()) for (token, _), own in pairs]
    return Outcome(max(off), sum(same) / len(same), _paces(ours, theirs, rows))


def _logits(model: Any, row: "Row", **more: Any) -> NDArray[Any]:
    import torch

    with torch.no_grad():
        found: NDArray[Any] = model(**row, **more).logits.numpy()
    return found


def _paces(ours: Callable[["Row"], Any], theirs: Callable[["Row"], Any], rows: "Sequence[Row]") -> float:
    """How many times as fast theirs runs all rows, the median of turns."""
    ratios = []
    for _ in range(TURNS):
        times = []
        for run in (ours, theirs):
            began = time.perf_counter()
            for row in rows:
                run(row)
            times.append(time.perf_counter() - began)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)
