"""What a training tells of itself: its report, its timing, how its model is to be used, what its checkpoints cost."""

import platform
import time
from typing import Any

from tasks.formats.tokens import Index
from tasks.formats.usage import Usage
from tasks.stage.run import Report
from tasks.train.buckets import Sides
from tasks.train.distributed import World
from tasks.train.history import History
from tasks.train.log import bits_per_byte
from tasks.train.order import Order
from tasks.train.plan import Plan
from tasks.train.precision import Machine
from tasks.train.settings import BucketTraining, ChatTraining, PairTraining, PreferenceTraining


def usage_of(order: Order, index: Index) -> Usage:
    """What the trained model is for, and how its inputs are made."""
    if isinstance(order.train, ChatTraining | PreferenceTraining):
        return Usage(order.task, source_length=order.train.context_length, control=index.control)
    if not isinstance(order.train, BucketTraining):
        return Usage(order.task, control=index.control)
    target = order.train.target_length if isinstance(order.train, PairTraining) else None
    closing = index.eos_token_id if index.closed else None
    return Usage(order.task, index.prefix, order.train.source_length, target, closing, index.control)


def cost_of(history: History) -> str:
    """What the checkpoints cost, in words."""
    each, part = history.checkpoint_seconds / history.checkpoints, history.checkpoint_waited / history.seconds
    many = "1 checkpoint" if history.checkpoints == 1 else f"{history.checkpoints:,} checkpoints"
    return (
        f"{many}, {each:.2f} s each to write; the training waited {history.checkpoint_waited:.2f} s for "
        f"{'it' if history.checkpoints == 1 else 'them'}, {part:.1%} of its time"
    )


def timing_of(history: History, machine: Machine, world: World) -> dict[str, object]:
    """`timing.json`, beside the checkpoints: what differs between two runs of one training."""
    import torch
    import transformers

    on_gpu = machine.device == "cuda"
    return {
        "seconds": round(history.seconds, 3),
        "tokens_per_second": round(history.tokens / max(history.seconds, 1e-9), 1),
        "resumed_at": history.resumed_at,
        **({} if history.continued_from is None else {"continued_from": history.continued_from}),
        "checkpoints": history.checkpoints,
        "checkpoint_seconds": round(history.checkpoint_seconds, 3),
        "checkpoint_waited": round(history.checkpoint_waited, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": torch.cuda.get_device_name() if on_gpu else machine.device,
        "processor": torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        **({"processes": world.size} if world.size > 1 else {}),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def seen_of(plan: Plan, steps: int) -> dict[str, Any]:
    """Mixtures with weights: how often each source was read."""
    seen = plan.data.training.seen(steps * plan.settings.accumulation)
    return {"sources": seen} if seen else {}


def report_of(order: Order, plan: Plan, history: History, facts: dict[str, Any], splits: dict[str, Sides]) -> Report:
    """`report.json`; `facts`: sizes, precision and architecture of the model."""
    last = history.rows[-1]
    kept = last.step if plan.settings.keep == "last" else history.best_step
    loss = last.validation_loss if plan.settings.keep == "last" else history.best_loss
    assert loss is not None
    per_byte = {} if plan.text is None else {"validation_bits_per_byte": round(bits_per_byte(plan.text, loss), 6)}
    return Report(
        received={
            f"{name}_{side}": len(tokens)
            for name, sides in splits.items()
            for side, tokens in (("tokens", sides.text), ("target_tokens", sides.target))
            if tokens is not None
        },
        produced={"parameters": facts["parameters"]},
        details={
            "identity": plan.identity.hash,
            "settings": order.resolved(),
            **plan.machine.facts(),
            **facts,
            "data": plan.data.facts,
            **seen_of(plan, last.step),
            "steps": last.step,
            "tokens_seen": history.tokens,
            "epochs": round(last.step * plan.settings.accumulation / plan.data.training.count, 3),
            "kept_step": kept,
            "best_step": history.best_step,
            "last_step": last.step,
            "loss": round(last.loss, 6),
            "validation_loss": round(loss, 6),
            **per_byte,
        },
    )
