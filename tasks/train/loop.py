"""The training loop: batches, losses, gradients, an update; every few steps a history row, an evaluation, a checkpoint.

A step reads nothing from the device, so a GPU never waits for Python: `Log` leaves losses and norms there until a row,
an evaluation or a checkpoint needs them. It raises at the first non-finite value, before any of these is written.
`accelerate` handles device and precision.
"""

import math
from typing import TYPE_CHECKING

from tasks.stage.errors import GristmillError
from tasks.stage.progress import progress
from tasks.stage.runtime import last_step
from tasks.train import checkpoints
from tasks.train.batches import count_items
from tasks.train.history import CURVE, History
from tasks.train.log import Log
from tasks.train.optimizers import make_optimizer
from tasks.train.plan import Plan
from tasks.train.precision import Machine
from tasks.train.schedule import share

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from tasks.tracking.record import LiveRecord


def fit(model: "PreTrainedModel", plan: Plan, record: "LiveRecord") -> History:
    """Train `model` in place, from the last complete checkpoint or from the start.

    Raises GristmillError if a loss or gradient is not finite, and after the step in GRISTMILL_STOP_AFTER.
    """
    from accelerate.utils import set_seed

    settings, steps, accumulation = plan.settings, plan.steps, plan.settings.accumulation
    accelerator = make_accelerator(plan.machine)
    device = accelerator.device
    net, optimizer = accelerator.prepare(model, make_optimizer(model, settings.optimizer))
    rates = [group["lr"] for group in optimizer.param_groups]

    set_seed(settings.seed)
    checkpoint = checkpoints.last_whole(plan.folder)
    done = checkpoints.step_of(checkpoint)
    batches = plan.data.training.loader(range(done * accumulation, steps * accumulation), device)
    history = History() if checkpoint is None else checkpoints.load(checkpoint, model, optimizer, device)
    log, stop = Log(plan, history, record), last_step() or math.inf

    net.train()
    with progress("train", steps, "steps") as bar:
        if done:
            bar.advance(done, note="resumed")
        for step in range(done + 1, steps + 1):
            factor = share(step - 1, steps, settings.schedule)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

            micro_batches = [next(batches) for _ in range(accumulation)]
            items = sum(map(count_items, micro_batches))
            losses = []
            for batch in micro_batches:
                loss = plan.loss(net, batch) / max(items, 1)
                accelerator.backward(loss)
                losses.append(loss.detach())
            norm = accelerator.clip_grad_norm_(net.parameters(), settings.clip_norm or math.inf)
            optimizer.step()
            optimizer.zero_grad()
            log.step(step, items, losses, norm)

            last = step == steps
            evaluating = last or step % settings.evaluate_every == 0
            if evaluating or step % settings.log_every == 0:
                log.row(step, settings.optimizer.learning_rate * factor)
            if evaluating:
                best = log.validation(step, *evaluate(net, plan, device))
                if best and settings.keep == "best":
                    history.best_sha256 = checkpoints.save_best(plan.folder, model)
            bar.advance(1, note=log.note)
            if step >= stop and not last:
                raise _stopped(plan, history, step)
            if last or plan.exhausted(history):
                break
            if step % settings.checkpoint_every == 0:
                log.read()
                checkpoints.save(plan.folder, step, model, optimizer, device, history)
    if settings.keep == "best":
        checkpoints.load_best(plan.folder, model, history)
    return history


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
