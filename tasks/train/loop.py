"""The training loop: batches, losses, gradients, an update; every few steps a history row, an evaluation, a checkpoint.

A step reads nothing from the device, so a GPU never waits for Python: `Log` leaves losses and norms there until a row,
an evaluation or a checkpoint needs them. It raises at the first non-finite value, before any of these is written.
`accelerate` handles device and precision.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.stage.errors import GristmillError
from tasks.stage.progress import progress
from tasks.stage.runtime import last_step
from tasks.train import checkpoints
from tasks.train.average import Average
from tasks.train.batches import Batch, count_items
from tasks.train.compiled import CannotCompile, Loss, compiled, settled
from tasks.train.dealt import Dealt, taken_off
from tasks.train.distributed import NoRecord, replicated
from tasks.train.head import find_tail
from tasks.train.history import CURVE, History
from tasks.train.log import Log
from tasks.train.memory import out_of_memory
from tasks.train.optimizers import make_optimizer
from tasks.train.plan import Plan
from tasks.train.precision import Machine
from tasks.train.schedule import share
from tasks.train.sharded import as_plain, gather, shard, unsynced
from tasks.train.sharded import load as load_parts
from tasks.train.state import State
from tasks.train.weights import trained_weights
from tasks.train.writer import Writer

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from tasks.tracking.record import LiveRecord

Result = TypeVar("Result")


def fit(model: "PreTrainedModel", plan: Plan, record: "LiveRecord | NoRecord") -> History:
    """Train `model` in place, from the last complete checkpoint or from the start.

    Raises CannotCompile before anything is written, GristmillError if a loss or gradient is not finite, if a GPU has
    too little memory, and after the step in GRISTMILL_STOP_AFTER.
    """
    return within_memory(model, plan, lambda: Training(model, plan).run(record))


def within_memory(model: "PreTrainedModel", plan: Plan, work: Callable[[], Result]) -> Result:
    """The result of some work of this training. Raises GristmillError if a GPU has too little memory for it."""
    import torch

    try:
        return work()
    except torch.OutOfMemoryError:
        full = True  # not explained here, where the error holds on to the step's memory
    assert full
    raise GristmillError(out_of_memory(model, plan))


class Training:
    """One training run: a model, its optimizer, its batches and its log, from the last checkpoint to the last step.

    Raises CannotCompile if the machine is to compile and cannot.
    """

    log: Log

    def __init__(self, model: "PreTrainedModel", plan: Plan) -> None:
        from accelerate.utils import set_seed

        settings = plan.settings
        self.model, self.plan, self.settings, self.steps = model, plan, settings, plan.steps
        find_tail(model, plan.data.training.batch(0))
        self.accelerator = make_accelerator(plan.machine)
        self.world = plan.world
        net = deepcopy(model) if plan.sharded and self.world.first else model  # `model` gets its weights at the end
        self.net = self.accelerator.prepare_model(net, device_placement=not plan.sharded, evaluation_mode=True)
        if plan.sharded:
            self.net = shard(net, plan.machine.device)
        self.optimizer = self.accelerator.prepare(make_optimizer(self.net, settings.optimizer))
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.loss: Loss = self._compiled() if plan.machine.compiled else plan.loss
        self.synced = self.net
        """Its backward adds up the gradients of all ranks."""
        if self.world.size > 1 and not plan.sharded:
            self.synced = replica = replicated(self.net, self.loss, self.device)
            self.loss = lambda _, batch: replica(batch)

        set_seed(settings.seed)
        average = settings.average
        self.average = None if average is None else Average(model, average, self.steps)
        found = checkpoints.last_whole(plan.folder, plan.identity) if self.world.first else None
        checkpoint = self.world.of_first(found or plan.shared)
        self.done = checkpoints.step_of(checkpoint)
        self.state = State(
            self.net, self.optimizer, self.device, History(), self.average, plan.settings.shard == "full"
        )
        self.batches = self._batches()  # before the random numbers are restored, since it draws one
        if checkpoint is not None:
            self._restore(checkpoint)
        self.writer = Writer(plan, self.state)

    def _restore(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, which other machines than that of rank 0 need not have, unless it is in parts."""
        first = self.world.first
        self.state.restore(self.world.of_first(checkpoints.read(checkpoint) if first else None))  # type: ignore[arg-type]
        if self.state.in_parts:
            load_parts(checkpoint / checkpoints.PARTS, self.net, self.optimizer, alone=self.world.size == 1)
        if first:
            checkpoints.take_best(checkpoint, self.history, self.plan.folder)
        self.history.resumed_at = self.done
        if checkpoint == self.plan.shared:
            self.history.continued_from = {"identity": checkpoint.parent.name, "step": self.done}

    def _compiled(self) -> Loss:
        """The compiled loss; all ranks have one, or none."""
        problem = ""
        try:
            loss = compiled(self.plan, self.net, self.device)
        except CannotCompile as error:
            problem = str(error)
        if problems := [each for each in self.world.told(problem) if each]:
            raise CannotCompile(problems[0])
        return loss

    def _batches(self) -> Iterator[Batch]:
        """The micro-batches to go, or this rank's share of them."""
        each, whole = self.settings.accumulation, self.plan.data.training
        first, last = self.done * each, self.steps * each
        if self.world.size == 1:
            return whole.loader(range(first, last), self.device)
        dealt = Dealt(whole, self.world, each)
        return dealt.loader(dealt.positions(first, last), self.device)

    @property
    def device(self) -> "torch.device":
        """Where the model is."""
        return self.accelerator.device

    @property
    def history(self) -> History:
        """The rows so far."""
        return self.state.history

    def run(self, record: "LiveRecord | NoRecord") -> History:
        """Train to the last step; see `fit`."""
        self.log = Log(self.plan, self.history, record)
        stop = last_step() or math.inf
        self.net.train()
        with settled(self.plan), self.writer, progress("train", self.steps, "steps") as bar:
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
                if self.writer.due(step, self.log.all_read):
                    self.log.read()
                    self.writer.save(step)
        if self.plan.sharded:
            gather(self.net, self.model, self.world.first)
        if self.settings.keep == "best" and self.world.first:
            checkpoints.load_best(self.plan.folder, self.model, self.history)
        elif self.average is not None:
            self.average.swap()
        return self.history

    def _step(self, step: int) -> None:
        """One update of all trained weights, from `accumulation` micro-batches."""
        factor = self._factor(step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.world.seed(self.settings.seed, step)
        items, losses = self._gradients()
        norm = self.accelerator.clip_grad_norm_(self.net.parameters(), self.settings.clip_norm or math.inf)
        norm = as_plain(norm) if self.plan.sharded else norm
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(step)
        self.log.step(step, items, losses, norm)

    def _factor(self, step: int) -> float:
        """The learning rates of a step, counted from 1, as a fraction of their peaks."""
        return share(step - 1, self.steps, self.settings.schedule)

    def _gradients(self) -> "tuple[int, list[torch.Tensor]]":
        """Gradients of the mean loss per item of the next micro-batches of all ranks; how many items these have, and
        the parts of the loss that are of this rank."""
        size, each = self.world.size, self.settings.accumulation
        micro_batches = [next(self.batches) for _ in range(each if each % size else each // size)]
        items = sum(map(taken_off, micro_batches))
        losses = []
        for number, batch in enumerate(micro_batches, 1):
            with self._unsynced() if number < len(micro_batches) else nullcontext():
                loss = self.loss(self.net, batch) / max(items, 1)
                self.accelerator.backward(loss if size == 1 else loss * size)  # the mean over ranks is taken of it
            losses.append(loss.detach())
        return items, losses

    def _unsynced(self) -> AbstractContextManager[Any]:
        """While active, gradients are not yet summed over ranks."""
        if self.plan.sharded:
            return unsynced(self.net)
        return nullcontext() if self.world.size == 1 else self.accelerator.no_sync(self.synced)

    def _measure(self, step: int, last: bool) -> None:
        """Every few steps, a row of the history and an evaluation."""
        evaluating = last or step % self.settings.evaluate_every == 0
        if evaluating or step % self.settings.log_every == 0:
            self.log.row(step, self.settings.optimizer.learning_rate * self._factor(step))
        if evaluating:
            with self._kept_weights():
                best = self.log.validation(step, *evaluate(self.net, self.plan, self.device))
                if best and self.settings.keep == "best":
                    self._save_best()

    def _save_best(self) -> None:
        """Keep the weights as the best so far: rank 0 does."""
        if self.plan.sharded:
            gather(self.net, self.model, self.world.first)
        if self.world.first:
            self.history.best_sha256 = checkpoints.save_best(self.plan.folder, trained_weights(self.model))

    def _kept_weights(self) -> AbstractContextManager[None]:
        """Within, the model is the one that would be kept if the training ended now."""
        return nullcontext() if self.average is None else self.average.in_place()


def _stopped(plan: Plan, history: History, step: int) -> GristmillError:
    """The end of a training that GRISTMILL_STOP_AFTER cuts off: its rows so far are kept, its model is not."""
    path = plan.folder / CURVE
    if plan.world.first:
        path.write_text(history.to_csv(), encoding="utf-8")
    plan.world.wait()
    return GristmillError(
        f"{plan.where}: train: stopped after step {step} of {plan.steps} (GRISTMILL_STOP_AFTER); {path} has its "
        "history, and there is no model; unset it to train to the end"
    )


def evaluate(model: "PreTrainedModel", plan: Plan, device: "torch.device") -> tuple[float, dict[str, float]]:
    """The validation loss in nats per item, and the plan's other measures; all items have equal weight."""
    import torch

    batches, sums, counts, world = plan.data.validation, [], [], plan.world
    turns = range(world.rank, world.size * -(-batches.count // world.size), world.size)
    model.eval()
    with torch.no_grad():
        for batch in batches.loader([min(turn, batches.count - 1) for turn in turns], device):
            sums.append(torch.stack(plan.measure(model, batch)))
            counts.append(count_items(batch))
    model.train()
    own = torch.stack(sums)
    measured = world.gathered(own).transpose(0, 1).flatten(0, 1)[: batches.count].tolist()  # in the order of batches
    items = sum([count for turn in zip(*world.told(counts), strict=True) for count in turn][: batches.count])
    loss, *more = (math.fsum(values) / max(items, 1) for values in zip(*measured, strict=True))
    return loss, dict(zip(plan.measures, more, strict=True))


def make_accelerator(machine: Machine) -> "Accelerator":
    """The accelerator for a device, with autocast to its precision."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Accelerate's state is global: without a reset, a second training in this process could not change precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    mixed = "bf16" if machine.precision == "bf16" else "no"
    return Accelerator(mixed_precision=mixed, cpu=machine.device == "cpu")
