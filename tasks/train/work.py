"""The stage `train`: inputs and settings → model, learning curve and report."""

import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.stage.code import read_code
from tasks.stage.identity import hash_tree
from tasks.stage.run import Job, Report, checkpoints_of
from tasks.stage.runtime import check_training, workers
from tasks.stage.task import CHATS
from tasks.train import checkpoints
from tasks.train.compiled import CannotCompile, wanted
from tasks.train.data import counted, make_data, open_splits, read_sources
from tasks.train.distributed import NoRecord, join, require_same
from tasks.train.earlier import find_start
from tasks.train.identity import Identity
from tasks.train.loop import Training as Fitting
from tasks.train.loop import within_memory
from tasks.train.lora import ADAPTER, add_lora, merged, save_adapter
from tasks.train.model import Design, build_model, check_runs, checkpoint_activations, save_model
from tasks.train.order import Order, read_order
from tasks.train.plan import Plan
from tasks.train.precision import Machine, require_deterministic, resolve
from tasks.train.reference import add_reference
from tasks.train.report import cost_of, report_of, seen_of, timing_of, usage_of
from tasks.train.settings import ModelSettings, PreferenceTraining
from tasks.train.vocabulary import read_vocabulary, require_template
from tasks.workers.system import MODELS, prepare

INPUTS = ("base", "tokenizer", "tokens/train", "tokens/validation")
OUTPUTS = ("model", "training/history.csv", "training/report.json")


def train(job: Job) -> Report:
    """Run the stage `train`."""
    check_training()
    order = read_order(job.recipe)
    splits = open_splits(job, order)

    prepare(*MODELS)
    import torch
    import transformers

    from tasks.tracking.record import LiveRecord

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    machine = resolve(order.train, order.where)
    world = join(machine.device)
    vocabulary = read_vocabulary(
        job.input("tokenizer"), {job.input(f"tokens/{name}"): sides.text.index for name, sides in splits.items()}
    )
    if order.task in CHATS:
        require_template(job.input("tokenizer"), job.input("tokens/train"), splits["train"].text.index)
    make_deterministic(order.train.seed, machine, world.beside)
    labels = splits["train"].labels
    free = order.train.attention == "auto" and machine.attention == "sdpa"
    design = Design(
        order.where, order.task, order.model, order.train, vocabulary, None if labels is None else labels.names,
        None if free else machine.attention, job.input("base"),
    )  # fmt: skip
    model, drawn = build_model(design)
    asked, machine = machine, replace(machine, attention=model.config._attn_implementation)
    data = make_data(job, order, splits, vocabulary, model.config, read_sources(order, splits["train"]))
    check_runs(model, data.training, design)
    parameters = sum(p.numel() for p in model.parameters())
    if order.train.gradient_checkpointing:
        checkpoint_activations(model, design)
    lora = order.model.lora
    if lora is not None:
        model = add_lora(model, drawn, lora, design, machine)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    text = counted(job, order, splits["validation"], data)
    plan = Plan(order.where, order.train, machine, data, Path(), text, world)
    if wanted(plan, parameters):
        plan = replace(plan, machine=replace(machine, compiled=True))
    job.say(
        f"{model.config.model_type}, {parameters:,} parameters"
        + (f" plus {trained:,} trained" if lora is not None else "")
        + f", {plan.steps:,} steps, {machine.precision} on {machine.device} with "
        + (f"{world.size} processes of " if world.size > 1 else "")
        + f"{torch.get_num_threads()} threads"
        + (", compiled" if plan.machine.compiled else "")
    )
    if unread := [name for name, found in seen_of(plan, plan.steps).get("sources", {}).items() if not found["epochs"]]:
        job.say(f"{order.where}: ingest.sources: {plan.steps:,} steps are too few to read {', '.join(unread)}")
    plan, begun = _begin(job, order, asked, model, plan)
    facts = {"parameters": parameters, "trained_parameters": trained, "precision": machine.precision}
    record: LiveRecord | NoRecord = NoRecord()
    if world.first:
        compiled = {"compiled": True} if plan.machine.compiled else {}
        record = LiveRecord.open(job.recipe, plan.identity.hash, order.resolved() | facts | compiled)
    finished = False
    try:
        history = within_memory(model, plan, lambda: begun.pop().run(record))
        finished = True
    except KeyboardInterrupt as stop:
        if world.first:
            last = checkpoints.last_whole(plan.folder, plan.identity) or plan.shared
            stop.add_note(f"`gristmill run {job.recipe}` goes on from step {checkpoints.step_of(last)}")
        raise
    finally:
        record.close(failed=not finished)

    if history.checkpoints:
        job.say(cost_of(history))
    report = report_of(order, plan, history, {**facts, "architecture": model.config.model_type}, splits)
    if not world.first:
        return report
    usage = usage_of(order, splits["train"].text.index)
    model = model.cpu()
    if lora is not None:
        if lora.keep_adapter:
            save_adapter(model, job.output("model") / ADAPTER)
        model = merged(model)
    save_model(model, design, usage, job.input("tokenizer"), job.output("model"))
    job.output("training/history.csv").write_text(history.to_csv(), encoding="utf-8")
    checkpoints.write(plan.folder / checkpoints.TIMING, timing_of(history, plan.machine, world))
    checkpoints.clear(plan.folder, plan.shared_steps)
    checkpoints.clear_others(plan.folder, keep=0)
    return report


def _begin(job: Job, order: Order, asked: Machine, model: Any, plan: Plan) -> tuple[Plan, list[Fitting]]:
    """The plan with its identity and checkpoint folder, and the training, ready to run; eager if compiling fails.

    `asked`: the machine before the model was built, which its identity names. The training is in a list: who runs it
    takes it out, so that its memory can be freed when there is too little.
    """
    from accelerate.utils import extract_model_from_parallel

    identity = Identity(identity_values(job, order, replace(asked, compiled=plan.machine.compiled)), plan.steps)
    require_same(plan.world, identity.values, order.where)
    plan = replace(plan, identity=identity, folder=checkpoints_of(job.recipe, identity.hash))
    if plan.world.first:
        plan.folder.mkdir(parents=True, exist_ok=True)
        plan = replace(plan, shared=find_start(plan))
        start = plan.shared.parent if plan.shared else None
        checkpoints.clear_others(plan.folder, keep=1, also=start)  # the last one: an edit may be taken back
    plan = replace(plan, shared=plan.world.of_first(plan.shared))
    if isinstance(order.train, PreferenceTraining) and order.train.has_reference:
        add_reference(model, plan, identity.hash)
    try:
        return plan, [within_memory(model, plan, lambda: Fitting(model, plan))]
    except CannotCompile as reason:
        job.say(f"cannot compile: {reason}; goes on without (GRISTMILL_COMPILE=off saves the attempt)")
        if plan.world.first:
            checkpoints.clear(plan.folder)
            if not any(plan.folder.iterdir()):
                plan.folder.rmdir()
        extract_model_from_parallel(model, keep_fp32_wrapper=False)  # without the autocast of the first attempt
        return _begin(job, order, asked, model, replace(plan, machine=replace(plan.machine, compiled=False)))


def identity_values(job: Job, order: Order, machine: Machine) -> dict[str, Any]:
    """Everything that the result of a training run depends on; its identity is the hash of them."""
    import torch
    import transformers

    return {
        **order.resolved(),
        "inputs": {name: hash_tree(job.input(name)) for name in job.stage.inputs},
        "code": read_code("train"),
        "machine": machine.facts(),
        "libraries": {"torch": torch.__version__, "transformers": transformers.__version__, **_bits(order.model)},
    }  # fmt: skip


def _bits(model: ModelSettings) -> dict[str, str]:
    """The version of the library that quantizes, for recipes that do."""
    return {} if model.lora is None or model.lora.quantize is None else {"bitsandbytes": version("bitsandbytes")}


def make_deterministic(seed: int, machine: Machine, beside: int = 1) -> None:
    """Same machine and thread count, same numbers; threads matter because they change the order of summation. `beside`:
    the processes that share the cores."""
    import torch
    from accelerate.utils import set_seed  # the one of transformers imports PEFT and bitsandbytes, which takes seconds

    set_seed(seed)
    torch.set_num_threads(max(workers() // beside, 1))
    if (
        machine.device == "cuda"
    ):  # eager CPU kernels are deterministic, and the call imports a compiler, which takes seconds
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        require_deterministic(True)
