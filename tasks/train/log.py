"""Logging during training: history rows, tracked metrics, an error at the first non-finite value."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.formats.tokens import Index
from tasks.stage.errors import GristmillError
from tasks.train.distributed import NoRecord
from tasks.train.history import History, Row
from tasks.train.plan import Plan

if TYPE_CHECKING:
    import torch

    from tasks.tracking.record import LiveRecord


class Log:
    """Collects the measurements of each step. They stay on the device until `read`, which waits for them."""

    def __init__(self, plan: Plan, history: History, record: "LiveRecord | NoRecord") -> None:
        self.plan, self.history, self.record = plan, history, record
        self.note = ""
        """The last loss read, for the progress bar."""
        self._unread: list[tuple[int, list[torch.Tensor]]] = []
        self._norm = math.nan
        now = time.monotonic()
        self._began = now - history.seconds
        self._told = (now, history.tokens)

    def step(self, step: int, items: int, losses: "list[torch.Tensor]", norm: "torch.Tensor") -> None:
        """Record a step: its items, the losses of its micro-batches (their sum is its loss) and its gradient norm."""
        self.history.tokens += items
        self.history.seconds = time.monotonic() - self._began
        self._unread.append((step, [*losses, norm]))

    @property
    def all_read(self) -> bool:
        """Whether no value is pending."""
        return not self._unread

    def read(self) -> None:
        """Read all pending values from the device; all ranks do it together.

        Raises GristmillError at the first non-finite value.
        """
        import torch

        if not self._unread:
            return
        own = torch.stack([torch.stack(measured) for _, measured in self._unread])
        of_ranks = zip(*self.plan.world.gathered(own).tolist(), strict=True)
        for (step, _), measured in zip(self._unread, of_ranks, strict=True):
            losses, norm = [loss for values in measured for loss in values[:-1]], measured[0][-1]
            for loss in losses:
                self._require_finite("loss", loss, step)
            self._require_finite("gradient", norm, step)
            self.history.waiting.append(math.fsum(losses))
            self._norm = norm
        self._unread.clear()
        self.note = f"loss {self.history.waiting[-1]:.3f}"

    def row(self, step: int, rate: float) -> None:
        """Add a row for the steps since the last one, with the learning rate of this step."""
        self.read()
        history = self.history
        loss = math.fsum(history.waiting) / len(history.waiting)
        history.waiting.clear()
        history.rows.append(Row(step, history.tokens, loss, rate, self._norm))
        now, (then, tokens) = time.monotonic(), self._told
        self._told = (now, history.tokens)
        speed = (history.tokens - tokens) / max(now - then, 1e-9)
        self.record.log(
            step, {"loss": loss, "learning_rate": rate, "grad_norm": self._norm, "tokens_per_second": speed}
        )

    def validation(self, step: int, loss: float, measures: Mapping[str, float]) -> bool:
        """Add a validation loss and more measures to the last row; returns whether the loss is the lowest so far."""
        self._require_finite("validation loss", loss, step)
        history, text = self.history, self.plan.text
        history.rows[-1].validation_loss = loss
        history.rows[-1].measures = {f"validation_{name}": value for name, value in measures.items()}
        per_byte = {} if text is None else {"validation_bits_per_byte": bits_per_byte(text, loss)}
        self.record.log(step, {"validation_loss": loss} | history.rows[-1].measures | per_byte)
        better = history.best_loss is None or loss < history.best_loss
        if better:
            history.best_step, history.best_loss = step, loss
        return better

    def _require_finite(self, what: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            raise GristmillError(
                f"{self.plan.where}: train: the {what} is {value} at step {step} of {self.plan.steps}; stopped; "
                "lower optimizer.learning_rate or matrix_learning_rate, raise schedule.warmup_steps, or set clip_norm"
            )


def bits_per_byte(text: Index, loss: float) -> float:
    """Convert a loss in nats per token, using the tokens and bytes of the whole split."""
    return loss / math.log(2) * text.tokens / text.text_bytes
