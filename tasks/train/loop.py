"""The training loop: batches, losses, gradients, an update; every few steps a history row, an evaluation, a checkpoint.

A step reads nothing from the device, so a GPU never waits for Python: `Log` leaves losses and norms there until a row,
an evaluation or a checkpoint needs them. It raises at the first non-finite value, before any of these is written.
`accelerate` handles device and precision.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from tasks.stage.errors import GristmillError
from tasks.stage.progress import progress
from tasks.stage.runtime import last_step
from tasks.train import checkpoints
from tasks.train.average import Average
from tasks.train.batches import count_items
from tasks.train.head import find_tail
from tasks.train.history import CURVE, History
from tasks.train.log import Log
from tasks.train.memory import out_of_memory
from tasks.train.optimizers import make_optimizer
from tasks.train.plan import Plan
from tasks.train.precision import Machine
from tasks.train.schedule import share
from tasks.train.state import State
from tasks.train.weights import trained_weights
from tasks.train.writer import Writer

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from tasks.tracking.record import LiveRecord


def fit(model: "PreTrainedModel", plan: Plan, record: "LiveRecord") -> History:
    """Train `model` in place, from the last complete checkpoint or from the start.

    Raises GristmillError if a loss or gradient is not finite, if a GPU has too little memory, and after the step in
    GRISTMILL_STOP_AFTER.
    """
    import torch

    try:
        return Training(model, plan, record).run()
    except torch.OutOfMemoryError:
        full = True  # not explained here, where the error holds on to the step's memory
    assert full
    raise GristmillError(out_of_memory(model, plan))


class Training:
    """One training run: a model, its optimizer, its batches and its log, from the last checkpoint to the last step."""

    def __init__(self, model: "PreTrainedModel", plan: Plan, record: "LiveRecord") -> None:
        from accelerate.utils import set_seed

        settings = plan.settings
        self.model, self.plan, self.settings, self.steps = model, plan, settings, plan.steps
        find_tail(model, plan.data.training.batch(0))
        self.accelerator = make_accelerator(plan.machine)
        self.net, self.optimizer = self.accelerator.prepare(model, make_optimizer(model, settings.optimizer))
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

        set_seed(settings.seed)
        average = settings.average
        self.average = None if average is None else Average(model, average, self.steps)
        checkpoint = checkpoints.last_whole(plan.folder, plan.identity) or plan.shared
        self.done = checkpoints.step_of(checkpoint)
        positions = range(self.done * settings.accumulation, self.steps * settings.accumulation)
        self.batches = plan.data.training.loader(positions, self.device)
        self.state = State(model, self.optimizer, self.device, History(), self.average)
        if checkpoint is not None:
            checkpoints.load(checkpoint, self.state, plan.folder)
        if checkpoint is not None and checkpoint == plan.shared:
            origin = {"identity": checkpoint.parent.name, "step": self.done}
            self.state.history.continued_from = origin
        self.log = Log(plan, self.history, record)
        self.writer = Writer(plan, self.state)

    @property
    def device(self) -> "torch.device":
        """Where the model is."""
        return self.accelerator.device

    @property
    def history(self) -> History:
        """The rows so far."""
        return self.state.history

    def run(self) -> History:
        """Train to the last step; see `fit`."""
        stop = last_step() or math.inf
        self.net.train()
        with self.writer, progress("train", self.steps, "steps") as bar:
            if self.done:
                bar.advance(self.done, note="resumed")
            for step in range(self.done + 1, self.steps + 1):
                self._step(step)
                last = step == self.steps
                self._measure(step, last)
                bar.advance(1, note=self.log.note)
                if step >= stop and not last:
                    raise _stopped(self.plan, self.history, step)
                if last or self.plan.exhausted(self.history):
                    break
                if self.writer.due(step):
                    self.log.read()
                    self.writer.save(step)
        if self.settings.keep == "best":
            checkpoints.load_best(self.plan.folder, self.model, self.history)
        elif self.average is not None:
            self.average.swap()
        return self.history

    def _step(self, step: int) -> None:
        """One update of all trained weights, from `accumulation` micro-batches."""
        factor = self._factor(step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        items, losses = self._gradients()
        norm = self.accelerator.clip_grad_norm_(self.net.parameters(), self.settings.clip_norm or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(step)
        self.log.step(step, items, losses, norm)

    def _factor(self, step: int) -> float:
        """The learning rates of a step, counted from 1, as a fraction of their peaks."""
        return share(step - 1, self.steps, self.settings.schedule)

    def _gradients(self) -> "tuple[int, list[torch.Tensor]]":
        """Gradients of the mean loss per item of the next micro-batches; their items, and their parts of the loss."""
        micro_batches = [next(self.batches) for _ in range(self.settings.accumulation)]
        items = sum(map(count_items, micro_batches))
        losses = []
        for batch in micro_batches:
            loss = self.plan.loss(self.net, batch) / max(items, 1)
            self.accelerator.backward(loss)
            losses.append(loss.detach())
        return items, losses

    def _measure(self, step: int, last: bool) -> None:
        """Every few steps, a row of the history and an evaluation."""
        evaluating = last or step % self.settings.evaluate_every == 0
        if evaluating or step % self.settings.log_every == 0:
            self.log.row(step, self.settings.optimizer.learning_rate * self._factor(step))
        if evaluating:
            with self._kept_weights():
                best = self.log.validation(step, *evaluate(self.net, self.plan, self.device))
                if best and self.settings.keep == "best":
                    weights = trained_weights(self.model)
                    self.history.best_sha256 = checkpoints.save_best(self.plan.folder, weights)

    def _kept_weights(self) -> AbstractContextManager[None]:
        """Within, the model is the one that would be kept if the training ended now."""
        return nullcontext() if self.average is None else self.average.in_place()


def _stopped(plan: Plan, history: History, step: int) -> GristmillError:
    """The end of a training that GRISTMILL_STOP_AFTER cuts off: its rows so far are kept, its model is not."""
    path = plan.folder / CURVE
    path.write_text(history.to_csv(), encoding="utf-8")
    return GristmillError(
        f"{plan.where}: train: stopped after step {step} of {plan.steps} (GRISTMILL_STOP_AFTER); {path} has its "
        "history, and there is no model; unset it to train to the end"
    )


def evaluate(model: "PreTrainedModel", plan: Plan, device: "torch.device") -> tuple[float, dict[str, float]]:
    """The validation loss in nats per item, and the plan's other measures; all items have equal weight."""
    import torch

    batches, sums, items = plan.data.validation, [], 0
    model.eval()
    with torch.no_grad():
        for batch in batches.loader(range(batches.count), device):
            sums.append(torch.stack(plan.measure(model, batch)))
            items += count_items(batch)
    model.train()
    loss, *more = (math.fsum(values) / max(items, 1) for values in zip(*torch.stack(sums).tolist(), strict=True))
    return loss, dict(zip(plan.measures, more, strict=True))


def make_accelerator(machine: Machine) -> "Accelerator":
    """The accelerator for a device, with autocast to its precision."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Accelerate's state is global: without a reset, a second training in this process could not change precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    mixed = "bf16" if machine.precision == "bf16" else "no"
    return Accelerator(mixed_precision=mixed, cpu=machine.device == "cpu")
