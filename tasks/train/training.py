"""Hugging Face's Trainer, put to work: the plan of a training, its history, its end in a finite loss or an error."""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.formats.tokens import Index
from tasks.stage.errors import GristmillError
from tasks.stage.progress import Progress, progress
from tasks.train import checkpoints
from tasks.train.batches import Data, Positions, only
from tasks.train.history import History, Row
from tasks.train.loss import count_items, summed_loss
from tasks.train.optimizers import make_optimizer
from tasks.train.precision import Machine
from tasks.train.schedule import share
from tasks.train.settings import BucketTraining, TrainSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

    from tasks.tracking.record import LiveRecord


@dataclass(frozen=True)
class Plan:
    """One training, all that it depends on resolved."""

    where: str
    """The recipe's file, for messages."""
    settings: TrainSettings
    machine: Machine
    data: Data
    folder: Path
    """Of its checkpoints."""
    text: Index | None
    """Of the validation split, where its loss is one per token of text and so can be counted per byte."""

    @property
    def steps(self) -> int:
        """Updates: as many as the recipe says, or enough for its passes over the training split."""
        if self.settings.steps is not None:
            return self.settings.steps
        assert self.settings.epochs is not None
        return max(math.ceil(self.data.training.count * self.settings.epochs / self.settings.accumulation), 1)

    def exhausted(self, history: History) -> bool:
        """Whether the patience of early stopping is at its end."""
        patience = self.settings.patience
        return patience is not None and history.evaluations_since_best() >= patience

    @property
    def smoothing(self) -> float:
        """Of the labels."""
        return self.settings.label_smoothing if isinstance(self.settings, BucketTraining) else 0.0


def fit(model: "PreTrainedModel", plan: Plan, record: "LiveRecord") -> History:
    """Train `model` in place from the last whole checkpoint, or from the start.

    Raises GristmillError where a loss or a gradient is not finite.
    """
    import torch

    start = checkpoints.last_whole(plan.folder)
    history = checkpoints.read_history(start) if start is not None else History()
    optimizer = make_optimizer(model, plan.settings.optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: share(step, plan.steps, plan.settings.schedule)
    )
    data = plan.data
    with progress("train", plan.steps, "steps") as bar:
        if start is not None:
            history.resumed_at = int(start.name.rpartition("-")[2])
            bar.advance(history.resumed_at, note="resumed")
        trainer = _trainer_class(plan, history)(
            model=model,
            args=_arguments(plan),
            train_dataset=Positions(data.training, plan.steps * plan.settings.accumulation),
            eval_dataset=Positions(data.validation, data.validation.count),
            data_collator=only,
            optimizers=(optimizer, scheduler),
            callbacks=[_historian(plan, history, record, bar)],
        )
        trainer.loss_is_scaled_for_ga = True
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        if not plan.exhausted(history):  # a checkpoint may be of the very step at which a training ended
            trainer.train(resume_from_checkpoint=None if start is None else os.fspath(start))
    if plan.settings.keep == "best":
        checkpoints.load_weights(model, plan.folder / checkpoints.BEST)
    return history


def _arguments(plan: Plan) -> "TrainingArguments":
    from transformers import TrainingArguments

    settings = plan.settings
    arguments = TrainingArguments(
        output_dir=os.fspath(plan.folder),
        max_steps=plan.steps,
        per_device_train_batch_size=1,  # an item of the data set is a batch
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=settings.accumulation,
        max_grad_norm=settings.clip_norm or 0.0,
        bf16=plan.machine.precision == "bf16",
        use_cpu=plan.machine.device == "cpu",
        seed=settings.seed,
        data_seed=settings.seed,
        train_sampling_strategy="sequential",
        logging_strategy="steps",
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=settings.evaluate_every,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=2,
        dataloader_pin_memory=plan.machine.device == "cuda",
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # with two, Trainer would double the batch by DataParallel
    return arguments


def _trainer_class(plan: Plan, history: History) -> type:
    from transformers import Trainer

    class Watched(Trainer):
        """Trainer that ends at the first loss or gradient that is not finite, and marks its checkpoints as whole."""

        micro_losses: list[float]

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss, items = summed_loss(model, inputs, plan.smoothing)
            history.tokens += items
            return loss / num_items_in_batch

        def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> int:
            return max(sum(map(count_items, batch_samples)), 1)

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            loss = super().training_step(model, inputs, num_items_in_batch)
            value = loss.item()
            if not math.isfinite(value):
                raise _not_finite(plan, "loss", value, self.state.global_step + 1)
            self.micro_losses = [*getattr(self, "micro_losses", []), value]
            if len(self.micro_losses) == plan.settings.accumulation:  # each is its share of the mean already
                history.waiting.append(math.fsum(self.micro_losses))
                self.micro_losses = []
            return loss

        # Trainer's own takes the mean of the means of batches; here every item counts the same.
        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            import torch

            model: Any = self.model
            model.eval()
            losses, items = [], 0
            with torch.no_grad(), self.compute_loss_context_manager():
                for batch in self.get_eval_dataloader():
                    loss, count = summed_loss(model, self._prepare_inputs(batch))
                    losses.append(loss.item())
                    items += count
            metrics = {"eval_loss": math.fsum(losses) / max(items, 1)}
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

        def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
            norm = float(super()._get_grad_norm(model, grad_norm=grad_norm))
            if not math.isfinite(norm):
                raise _not_finite(plan, "gradient", norm, self.state.global_step + 1)
            return norm

        # Trainer would save a checkpoint's weights under the names of the hub, which for some architectures (gpt_neox)
        # are not those of the module, and would load without a word what it finds under the module's: nothing.
        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            assert output_dir is not None
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            checkpoints.save_weights(self.model, Path(output_dir) / checkpoints.WEIGHTS)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            checkpoints.load_weights(self.model, Path(resume_from_checkpoint) / checkpoints.WEIGHTS)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            super()._save_checkpoint(model, trial)
            checkpoints.finish(plan.folder / f"checkpoint-{self.state.global_step}", history)

    return Watched


def _historian(plan: Plan, history: History, record: "LiveRecord", bar: Progress) -> "TrainerCallback":
    from transformers import TrainerCallback

    class Historian(TrainerCallback):
        """Writes the history and sends it to the record; keeps the best weights where the recipe asks for them."""

        began = time.monotonic()
        before = history.seconds
        told = (time.monotonic(), history.tokens)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            bar.advance(1, note=f"loss {history.waiting[-1]:.3f}")
            history.seconds = self.before + time.monotonic() - self.began
            if state.global_step % plan.settings.evaluate_every == 0:
                control.should_log = True  # a row for the validation loss
            if state.global_step >= plan.steps:
                control.should_log = control.should_evaluate = True
                control.should_save = False

        def on_log(  # type: ignore[override]
            self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **kwargs: Any
        ) -> None:
            if not history.waiting or "learning_rate" not in logs:
                return
            loss = math.fsum(history.waiting) / len(history.waiting)
            history.waiting.clear()
            step = state.global_step
            rate = plan.settings.optimizer.learning_rate * share(step - 1, plan.steps, plan.settings.schedule)
            history.rows.append(Row(step, history.tokens, loss, rate, logs.get("grad_norm")))
            now, (then, last) = time.monotonic(), self.told
            self.told = (now, history.tokens)
            speed = (history.tokens - last) / max(now - then, 1e-9)
            known = {"loss": loss, "learning_rate": rate, "grad_norm": logs.get("grad_norm")}
            record.log(step, {k: v for k, v in known.items() if v is not None} | {"tokens_per_second": speed})

        def on_evaluate(  # type: ignore[override]
            self, args: Any, state: Any, control: Any, metrics: Mapping[str, float], **kwargs: Any
        ) -> None:
            loss, step = metrics["eval_loss"], state.global_step
            if not math.isfinite(loss):
                raise _not_finite(plan, "validation loss", loss, step)
            if history.rows and history.rows[-1].step == step:
                history.rows[-1].validation_loss = loss
            per_byte = {} if plan.text is None else {"validation_bits_per_byte": bits_per_byte(plan.text, loss)}
            record.log(step, {"validation_loss": loss} | per_byte)
            if history.best_loss is None or loss < history.best_loss:
                history.best_step, history.best_loss = step, loss
                if plan.settings.keep == "best":
                    checkpoints.save_weights(kwargs["model"], plan.folder / checkpoints.BEST)
            if plan.exhausted(history):
                control.should_training_stop = True

    return Historian()


def bits_per_byte(text: Index, loss: float) -> float:
    """From nats per token of a split, with the bytes per token of the whole split."""
    return loss / math.log(2) * text.tokens / text.text_bytes


def _not_finite(plan: Plan, what: str, value: float, step: int) -> GristmillError:
    return GristmillError(
        f"{plan.where}: train: the {what} is {value} at step {step} of {plan.steps}; the training is stopped; lower "
        "train.optimizer.learning_rate or matrix_learning_rate, lengthen train.schedule.warmup_steps, or set clip_norm"
    )
