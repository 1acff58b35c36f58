"""The learning curve, history.csv: a row every few steps, without timings."""

import csv
import io
from dataclasses import dataclass, field
from typing import Any, Self

CURVE = "history.csv"
COLUMNS = ("step", "tokens", "loss", "validation_loss", "learning_rate", "grad_norm")


@dataclass
class Row:
    """One row: losses in nats per item (a token, a document for classification, a pair for preferences), `loss` the
    mean since the last row, `tokens` the items since the start."""

    step: int
    tokens: int
    loss: float
    learning_rate: float
    grad_norm: float
    validation_loss: float | None = None
    measures: dict[str, float] = field(default_factory=dict)
    """More of the validation, by column: `validation_accuracy`, … of preferences."""


@dataclass
class History:
    """The rows so far and the other state needed to resume; survives a JSON round trip unchanged."""

    rows: list[Row] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    """Losses of the steps since the last row."""
    tokens: int = 0
    """Items seen so far."""
    best_step: int | None = None
    best_loss: float | None = None
    best_sha256: str | None = None
    """Of the best weights on the disk, with `keep: best`."""
    resumed_at: int = 0
    """The step of the last resume."""
    seconds: float = 0.0
    """Training time so far, across resumes; only for timing.json, as all that follows."""
    checkpoints: int = 0
    checkpoint_seconds: float = 0.0
    """Time to write them, most of it beside the training."""
    checkpoint_waited: float = 0.0
    """Time that the training stood still for them."""
    continued_from: dict[str, Any] | None = None
    """Identity and step of the training of another length whose checkpoint was gone on from."""

    def evaluations_since_best(self) -> int:
        """Number of evaluations since the lowest validation loss."""
        return sum(row.validation_loss is not None and row.step > (self.best_step or 0) for row in self.rows)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**value, "rows": [Row(**row) for row in value["rows"]]})

    def to_csv(self) -> str:
        """The content of history.csv: six significant digits, missing values empty; `measures` as the last columns."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        more = list(dict.fromkeys(name for row in self.rows for name in row.measures))
        writer.writerow([*COLUMNS, *more])
        for row in self.rows:
            values = [*(getattr(row, column) for column in COLUMNS), *(row.measures.get(name) for name in more)]
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])
        return text.getvalue()
