"""The training loop: when it reads from the device, what it writes, and where it resumes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.errors import GristmillError
from tasks.stage.run import run
from tasks.train import checkpoints
from tasks.train.__main__ import STAGE
from tasks.train.batches import Batch, Batches, Data
from tasks.train.history import History
from tasks.train.loop import fit
from tasks.train.plan import Plan
from tasks.train.precision import Machine
from tasks.train.settings import PackedTraining
from tests.train.conftest import CONFIGS
from tests.train.test_training import outputs

WORDS = 20


class Copies(Batches):
    """The target of each position is its own word, for the first four words of 3 rows of 8."""

    count, width = 2, 8

    def batch(self, position: int) -> Batch:
        import torch

        ids = torch.randint(0, WORDS, (3, self.width), generator=torch.Generator().manual_seed(position))
        labels = torch.where(torch.arange(self.width) < 4, ids, -100)
        return {"input_ids": ids, "labels": labels}


class Record:
    """Stands in for LiveRecord."""

    def __init__(self, events: list[str] | None = None) -> None:
        self.events = [] if events is None else events

    def log(self, step: int, metrics: dict[str, float]) -> None:
        self.events.append(f"{step}: {', '.join(metrics)}")


def bigrams() -> Any:
    """A minimal model with a head."""
    import torch
    from transformers.modeling_outputs import CausalLMOutput

    class Bigrams(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = torch.nn.Embedding(WORDS, 8), torch.nn.Linear(8, WORDS)

        def get_output_embeddings(self) -> torch.nn.Module:
            return self.head

        def forward(self, input_ids: Any) -> Any:
            return CausalLMOutput(logits=self.head(self.embedding(input_ids)))

    torch.manual_seed(0)
    return Bigrams()


def plan_of(folder: Path, **train: Any) -> Plan:
    optimizer = {"name": "adamw", "learning_rate": 0.01}
    settings = PackedTraining(**{"steps": 12, "accumulation": 2, "optimizer": optimizer, **train})
    return Plan("recipes/tiny.yaml", settings, Machine("cpu", "fp32", "sdpa"), Data(Copies(), Copies()), folder, None)


def test_nothing_is_read_from_the_device_between_two_rows(tmp_path: Path) -> None:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    events: list[str] = []

    class Reads(TorchDispatchMode):
        """Records reads of any tensor by `item`, `bool`, `int` or `float`."""

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is torch.ops.aten._local_scalar_dense.default:
                events.append("read")
            return function(*args, **(kwargs or {}))

    with Reads():
        fit(bigrams(), plan_of(tmp_path, log_every=4, evaluate_every=12), Record(events))  # type: ignore[arg-type]
    row = "loss, learning_rate, grad_norm, tokens_per_second"
    assert events == [f"4: {row}", f"8: {row}", f"12: {row}", "12: validation_loss"]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_the_first_value_that_is_not_finite_is_named_and_nothing_is_written_after_it(tmp_path: Path, what: str) -> None:
    import torch

    model, seen = bigrams(), 0

    def count(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if what == "loss" and seen == 10:
            with torch.no_grad():
                model.head.bias[0] = math.inf

    model.register_forward_pre_hook(count)
    if what == "gradient":
        model.head.bias.register_hook(lambda gradient: gradient * (math.inf if seen == 10 else 1))
    plan = plan_of(tmp_path, log_every=100, evaluate_every=100, checkpoint_every=3, keep="best")
    with pytest.raises(GristmillError, match=rf"^recipes/tiny.yaml: train: the {what} is (nan|inf) at step 5 of 12; "):
        fit(model, plan, Record())  # type: ignore[arg-type]
    assert seen == 12, "it was not read at the next checkpoint"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


def test_every_group_learns_at_its_share_of_its_rate_after_a_resume_too(tmp_path: Path) -> None:
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    from tasks.train.schedule import share

    rates = {"name": "adamw", "learning_rate": 0.01, "embedding_learning_rate": 0.05}
    schedule = {"name": "cosine", "warmup_steps": 3}
    plan = plan_of(tmp_path, optimizer=rates, schedule=schedule, checkpoint_every=8)
    used: list[list[float]] = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: used.append([group["lr"] for group in optimizer.param_groups])
    )
    try:
        for _ in range(2):
            fit(bigrams(), plan, Record())  # type: ignore[arg-type]
    finally:
        hook.remove()
    steps = [*range(12), *range(8, 12)]
    assert used == [[rate * share(s, 12, plan.settings.schedule) for rate in (0.05, 0.01, 0.01)] for s in steps]


def test_history_goes_through_a_checkpoint_unchanged(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, log_every=5, evaluate_every=4, checkpoint_every=3)
    whole = fit(bigrams(), plan, Record())  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-6", "checkpoint-9"]
    resumed = fit(bigrams(), plan, Record())  # type: ignore[arg-type]
    assert resumed.resumed_at == 9 and resumed.to_csv() == whole.to_csv()
    assert (resumed.best_step, resumed.best_loss) == (whole.best_step, whole.best_loss)
    assert resumed.tokens == 12 * 2 * 3 * 4


def test_a_training_stopped_at_every_checkpoint_ends_with_the_same_bytes(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dropout = {**CONFIGS["gpt_neox"], "hidden_dropout": 0.1, "attention_dropout": 0.1}
    folder = project(config=dropout, accumulation=3, checkpoint_every=5, log_every=2, evaluate_every=4, keep="best")
    run(STAGE, "tiny")
    whole = outputs(folder)

    class Stopped(BaseException):
        pass

    def save_and_stop(*args: Any) -> None:
        save(*args)
        raise Stopped

    save, stops, finished = checkpoints.save, 0, False
    monkeypatch.setattr(checkpoints, "save", save_and_stop)
    while not finished:
        try:
            run(STAGE, "tiny")
            finished = True
        except Stopped:
            stops += 1
    assert stops == 3 and outputs(folder) == whole  # after 5, after 10, and before the decay


def test_a_second_training_in_a_process_may_have_another_precision(tmp_path: Path) -> None:
    from dataclasses import replace

    plan = plan_of(tmp_path / "fp32", steps=2)
    losses: list[History] = []
    for precision in ("fp32", "bf16"):
        (tmp_path / precision).mkdir()
        wanted = replace(plan, machine=Machine("cpu", precision, "sdpa"), folder=tmp_path / precision)
        losses.append(fit(bigrams(), wanted, Record()))  # type: ignore[arg-type]
    one, two = (history.rows[-1].loss for history in losses)
    assert one != two and one == pytest.approx(two, rel=1e-2)


def test_a_training_that_is_cut_off_has_the_rows_of_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = {"log_every": 2, "evaluate_every": 4, "checkpoint_every": 100}
    for name in ("whole", "cut", "end"):
        (tmp_path / name).mkdir()
    whole = fit(bigrams(), plan_of(tmp_path / "whole", **often), Record())
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "8")
    with pytest.raises(GristmillError, match=r"stopped after step 8 of 12 \(GRISTMILL_STOP_AFTER\)"):
        fit(bigrams(), plan_of(tmp_path / "cut", **often), Record())
    lines = (tmp_path / "cut/history.csv").read_text().splitlines()
    assert len(lines) == 5 and lines == whole.to_csv().splitlines()[:5]
    monkeypatch.setenv("GRISTMILL_STOP_AFTER", "12")
    assert fit(bigrams(), plan_of(tmp_path / "end", **often), Record()).rows == whole.rows
