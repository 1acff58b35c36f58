"""The stage: from its inputs and settings to a model, its curve and its report."""

import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract.errors import DataError, RecipeError
from tasks.contract.identity import fingerprint, hash_code, hash_tree
from tasks.contract.runtime import workers
from tasks.contract.settings import read_section, read_yaml, recipe_path
from tasks.contract.stage import Job, Report
from tasks.contract.tokens import Tokens
from tasks.train import checkpoints
from tasks.train.history import History
from tasks.train.model import build_model, check_tokenizer, save_model
from tasks.train.precision import Machine, resolve
from tasks.train.settings import TASKS, ModelSettings, TrainSettings
from tasks.train.system import prepare
from tasks.train.training import Plan, bits_per_byte, count_steps, fit

if TYPE_CHECKING:
    from tasks.contract.record import LiveRecord


def train(job: Job) -> Report:
    """The work of the stage `train`."""
    where = str(recipe_path(job.recipe))
    task = read_task(job.recipe)
    model_settings = read_section(job.recipe, "model", ModelSettings)
    settings = read_section(job.recipe, "train", TrainSettings)
    tokenizer, tokens, validation = open_inputs(job, settings, where)

    prepare()
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    machine = resolve(settings, where)
    check_tokenizer(
        tokenizer, {job.input("tokens/train"): tokens.index, job.input("tokens/validation"): validation.index}
    )
    identity = identify(job, task, model_settings, settings, machine)
    _make_deterministic(settings.seed, machine)
    model = build_model(model_settings, tokens.index, settings.context_length, machine.attention, where)
    plan = Plan(
        where, settings, machine, count_steps(settings, len(tokens)), tokens, validation,
        checkpoints.folder_of(job.recipe, identity),
    )  # fmt: skip
    parameters = sum(p.numel() for p in model.parameters())
    job.say(
        f"{model_settings.architecture} of {parameters:,} parameters, {plan.steps:,} steps of {plan.step_tokens:,} "
        f"tokens, {machine.precision} on {machine.device} with {torch.get_num_threads()} threads"
    )
    resolved = {
        "task": task, "model": model_settings.model_dump(mode="json"), "train": settings.model_dump(mode="json")
    }  # fmt: skip
    facts = {"parameters": parameters, "precision": machine.precision}
    record = _open_record(job.recipe, identity, resolved | facts)
    finished = False
    try:
        history = fit(model, plan, record)
        finished = True
    finally:
        record.close(failed=not finished)

    save_model(model.cpu(), tokenizer, job.output("model"))
    job.output("training/history.csv").write_text(history.to_csv(), encoding="utf-8")
    checkpoints.write_timing(plan.folder, _timing(plan, history))
    checkpoints.clear(plan.folder)
    return _report(plan, history, identity, parameters, resolved)


def read_task(recipe: str) -> str:
    """The key `task` of a recipe. Raises RecipeError where it is missing or not one that this stage knows."""
    path = recipe_path(recipe)
    task = read_yaml(path).get("task")
    if task not in TASKS:
        raise RecipeError(
            f"{path}: task: {'missing' if task is None else repr(task)}; one of {', '.join(TASKS)} wanted"
        )
    return str(task)


def open_inputs(job: Job, settings: TrainSettings, where: str) -> tuple[Path, Tokens, Tokens]:
    """The tokenizer's folder and the tokens of both splits. Raises DataError where they do not do for the settings."""
    splits = {}
    for name in ("tokens/train", "tokens/validation"):
        path = job.input(name)
        splits[name] = tokens = Tokens.open(path)
        if len(tokens) < settings.context_length:
            raise DataError(
                f"{path}: {len(tokens):,} tokens are fewer than one block of {settings.context_length} "
                f"({where}: train.context_length)"
            )
    one, other = (tokens.index for tokens in splits.values())
    if (one.vocab_size, one.eos_token_id, one.tokenizer) != (other.vocab_size, other.eos_token_id, other.tokenizer):
        raise DataError(f"{job.input('tokens/validation')}/index.json: made by another tokenizer than tokens/train")
    return job.input("tokenizer"), splits["tokens/train"], splits["tokens/validation"]


def identify(job: Job, task: str, model: ModelSettings, settings: TrainSettings, machine: Machine) -> str:
    """The identity of a training: a hash of all that its result depends on."""
    import torch
    import transformers

    return fingerprint({
        "task": task,
        "model": model.model_dump(mode="json"),
        "train": settings.model_dump(mode="json"),
        "inputs": {name: hash_tree(job.input(name)) for name in job.stage.inputs},
        "code": hash_code(["tasks.train.__main__"]),
        "machine": {"precision": machine.precision, "attention": machine.attention},
        "libraries": {"torch": torch.__version__, "transformers": transformers.__version__},
    })  # fmt: skip


def _open_record(recipe: str, identity: str, parameters: dict[str, Any]) -> "LiveRecord":
    from tasks.contract.record import LiveRecord

    return LiveRecord.open(recipe, identity, parameters)


def _make_deterministic(seed: int, machine: Machine) -> None:
    """The same numbers on the same machine with the same number of threads: sums depend on how they are divided."""
    import torch
    from transformers import set_seed

    set_seed(seed)
    torch.set_num_threads(workers())
    if machine.device == "cuda":  # a processor's kernels are deterministic, and the call imports seconds of compiler
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _timing(plan: Plan, history: History) -> dict[str, object]:
    import torch
    import transformers

    on_gpu = plan.machine.device == "cuda"
    return {
        "seconds": round(history.seconds, 3),
        "tokens_per_second": round(plan.steps * plan.step_tokens / max(history.seconds, 1e-9), 1),
        "resumed_at": history.resumed_at,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": torch.cuda.get_device_name() if on_gpu else plan.machine.device,
        "processor": torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _report(plan: Plan, history: History, identity: str, parameters: int, settings: dict[str, Any]) -> Report:
    last = history.rows[-1]
    kept = last.step if plan.settings.keep == "last" else history.best_step
    loss = last.validation_loss if plan.settings.keep == "last" else history.best_loss
    assert loss is not None
    return Report(
        received={"tokens": len(plan.tokens), "validation_tokens": len(plan.validation)},
        produced={"parameters": parameters},
        details={
            "identity": identity,
            "settings": settings,
            **{key: value for key, value in asdict(plan.machine).items() if key != "device"},
            "parameters": parameters,
            "steps": plan.steps,
            "tokens_seen": plan.steps * plan.step_tokens,
            "epochs": round(plan.steps * plan.step_tokens / len(plan.tokens), 3),
            "kept_step": kept,
            "best_step": history.best_step,
            "last_step": last.step,
            "loss": round(last.loss, 6),
            "validation_loss": round(loss, 6),
            "validation_bits_per_byte": round(bits_per_byte(plan, loss), 6),
        },
    )
