"""The stage `train`: inputs and settings → model, learning curve and report."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.formats.mixture import Weighted, read_weights
from tasks.formats.tokenizer import load_tokenizer
from tasks.formats.tokens import REJECTED, TARGET, Answers, Index, Labels, Tokens, read_parts
from tasks.formats.usage import Usage
from tasks.stage.code import read_code
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.identity import hash_tree
from tasks.stage.run import Job, Report, checkpoints_of
from tasks.stage.runtime import workers
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import CHATS, FAMILIES, read_task
from tasks.train import checkpoints
from tasks.train.batches import Data
from tasks.train.buckets import Layout, Sides, bucket_data
from tasks.train.compiled import CannotCompile, wanted
from tasks.train.conversations import ConversationBatches, chat_data
from tasks.train.distributed import NoRecord, World, join, require_same
from tasks.train.earlier import find_start
from tasks.train.history import History
from tasks.train.identity import Identity
from tasks.train.log import bits_per_byte
from tasks.train.loop import Training as Fitting
from tasks.train.loop import within_memory
from tasks.train.lora import ADAPTER, add_lora, merged, save_adapter
from tasks.train.mixture import Source, sources_of
from tasks.train.model import Design, build_model, check_runs, checkpoint_activations, save_model
from tasks.train.packed import causal_data, masked_data, of_each_source
from tasks.train.plan import Plan
from tasks.train.precision import Machine, resolve
from tasks.train.preferences import preference_data
from tasks.train.reference import add_reference
from tasks.train.sentences import sentence_data
from tasks.train.settings import (
    SETTINGS,
    BucketTraining,
    ChatTraining,
    MaskedTraining,
    ModelSettings,
    PackedTraining,
    PairTraining,
    PreferenceTraining,
    problems,
)
from tasks.train.vocabulary import Vocabulary, read_vocabulary, require_template
from tasks.workers.system import MODELS, prepare

if TYPE_CHECKING:
    from transformers import PretrainedConfig

INPUTS = ("base", "tokenizer", "tokens/train", "tokens/validation")
OUTPUTS = ("model", "training/history.csv", "training/report.json")
SAME = ("vocab_size", "eos_token_id", "tokenizer", "template")
"""Fields of an index that are the same for all splits."""

Training = PackedTraining | BucketTraining | ChatTraining | PreferenceTraining


@dataclass(frozen=True)
class Order:
    """The validated sections of the recipe."""

    where: str
    task: str
    model: ModelSettings
    train: Training
    weights: dict[str, Weighted]
    """The sources of a mixture; empty for one source."""

    def resolved(self) -> dict[str, Any]:
        """As JSON values, defaults included; the weights of a mixture's sources if it has some."""
        model, train = self.model.model_dump(mode="json"), self.train.model_dump(mode="json")
        sources = [source.model_dump(mode="json", exclude_none=True) for source in self.weights.values()]
        mixture = {"sources": sources} if any(len(source) > 1 for source in sources) else {}
        return {"task": self.task, "model": model, "train": train, **mixture}


def train(job: Job) -> Report:
    """Run the stage `train`."""
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
    text = _counted(job, order, splits["validation"], data)
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
    if unread := [name for name, found in _mixture(plan, plan.steps).get("sources", {}).items() if not found["epochs"]]:
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
        job.say(_cost(history))
    report = _report(order, plan, history, {**facts, "architecture": model.config.model_type}, splits)
    if not world.first:
        return report
    usage = _usage(order, splits["train"].text.index)
    model = model.cpu()
    if lora is not None:
        if lora.keep_adapter:
            save_adapter(model, job.output("model") / ADAPTER)
        model = merged(model)
    save_model(model, design, usage, job.input("tokenizer"), job.output("model"))
    job.output("training/history.csv").write_text(history.to_csv(), encoding="utf-8")
    checkpoints.write(plan.folder / checkpoints.TIMING, _timing(history, plan.machine, world))
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


def read_order(recipe: str) -> Order:
    """Read the recipe's sections. Raises RecipeError if one is invalid or does not fit the task."""
    where, task = str(recipe_path(recipe)), read_task(recipe)
    model = read_section(recipe, "model", ModelSettings)
    settings = read_section(recipe, "train", SETTINGS[task])
    if found := list(problems(task, model, settings)):
        raise RecipeError("\n".join(f"{where}: {problem}" for problem in found))
    return Order(where, task, model, settings, read_weights(recipe))


def open_splits(job: Job, order: Order) -> dict[str, Sides]:
    """Open the tokenized splits. Raises DataError if a split is too short or the tokenizers differ."""
    needs = FAMILIES[order.task].needs
    splits = {}
    for name in ("train", "validation"):
        path = job.input(f"tokens/{name}")
        tokens = Tokens.open(path)
        target = Tokens.open(path / needs) if needs in (TARGET, REJECTED) else None
        labels = Labels.open(path) if needs == "label" else None
        answers = Answers.open(path, tokens) if order.task in CHATS else None
        splits[name] = Sides(tokens, target, labels, answers, read_parts(path, tokens))
        if isinstance(order.train, PackedTraining) and len(tokens) < order.train.context_length:
            raise DataError(
                f"{path}: {len(tokens):,} tokens, fewer than one block of {order.train.context_length} tokens "
                f"({order.where}: train.context_length)"
            )
    one, other = (sides.text.index for sides in splits.values())
    if any(getattr(one, name) != getattr(other, name) for name in SAME):
        raise DataError(f"{job.input('tokens/validation')}/index.json: made by a different tokenizer than tokens/train")
    return splits


def read_sources(order: Order, train: Sides) -> list[Source]:
    """The sources of a mixture with weights; empty without."""
    sides = [side.starts for side in (train.text, train.target) if side is not None]
    tokens = [sum(int(starts[own.stop] - starts[own.start]) for starts in sides) for _, own in train.parts]
    return sources_of(train.parts, tokens, order.weights, order.where)


def make_data(
    job: Job,
    order: Order,
    splits: dict[str, Sides],
    vocabulary: Vocabulary,
    config: "PretrainedConfig",
    sources: Sequence[Source] = (),
) -> Data:
    """The batches for a task and model config; `sources`: those of a mixture with weights."""
    train, validation, settings = splits["train"], splits["validation"], order.train
    if isinstance(settings, PreferenceTraining):
        folders = {name: job.input(f"tokens/{name}") for name in splits}
        return preference_data(folders, settings, vocabulary.padding, order.where, sources, mixed=bool(train.parts))
    if isinstance(settings, BucketTraining):
        layout = Layout.of(order.task, config, vocabulary.padding)
        return bucket_data(train, validation, settings, order.task != "translation", layout, order.where, sources)
    if isinstance(settings, ChatTraining):
        return chat_data(train, validation, settings, vocabulary.padding, order.where, sources)
    assert isinstance(settings, PackedTraining)
    stream = of_each_source(validation, settings.evaluation_tokens)
    if isinstance(settings, MaskedTraining):
        if settings.next_sentence:
            return sentence_data(train.text, validation.text, settings, vocabulary)
        return masked_data(train.text, stream, settings, vocabulary, order.where, sources)
    return causal_data(train.text, stream, settings, vocabulary.opening, order.where, sources)


def _counted(job: Job, order: Order, validation: Sides, data: Data) -> Index | None:
    """The tokens and bytes that the validation loss is on: of the split, or of a chat model's answers; else None."""
    if order.task == "causal-lm":
        return validation.text.index
    if isinstance(order.train, ChatTraining) and order.train.loss_on != "all":
        assert isinstance(data.validation, ConversationBatches)
        return data.validation.conversations.counted(load_tokenizer(job.input("tokenizer")))
    return None


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


def _usage(order: Order, index: Index) -> Usage:
    if isinstance(order.train, ChatTraining | PreferenceTraining):
        return Usage(order.task, source_length=order.train.context_length, control=index.control)
    if not isinstance(order.train, BucketTraining):
        return Usage(order.task, control=index.control)
    target = order.train.target_length if isinstance(order.train, PairTraining) else None
    closing = index.eos_token_id if index.closed else None
    return Usage(order.task, index.prefix, order.train.source_length, target, closing, index.control)


def make_deterministic(seed: int, machine: Machine, beside: int = 1) -> None:
    """Same machine and thread count, same numbers; threads matter because they change the order of summation. `beside`:
    the processes that share the cores."""
    import torch
    from accelerate.utils import set_seed  # the one of transformers imports PEFT and bitsandbytes, which takes seconds

    set_seed(seed)
    torch.set_num_threads(max(workers() // beside, 1))
    if machine.device == "cuda":  # CPU kernels are deterministic, and the call imports a compiler, which takes seconds
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)  # with `warn_only`, the backward pass of attention would not be
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _cost(history: History) -> str:
    """What the checkpoints cost, in words."""
    each, part = history.checkpoint_seconds / history.checkpoints, history.checkpoint_waited / history.seconds
    many = "1 checkpoint" if history.checkpoints == 1 else f"{history.checkpoints:,} checkpoints"
    return (
        f"{many}, {each:.2f} s each to write; the training waited {history.checkpoint_waited:.2f} s for "
        f"{'it' if history.checkpoints == 1 else 'them'}, {part:.1%} of its time"
    )


def _timing(history: History, machine: Machine, world: World) -> dict[str, object]:
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


def _mixture(plan: Plan, steps: int) -> dict[str, Any]:
    """Mixtures with weights: how often each source was read."""
    seen = plan.data.training.seen(steps * plan.settings.accumulation)
    return {"sources": seen} if seen else {}


def _report(order: Order, plan: Plan, history: History, facts: dict[str, Any], splits: dict[str, Sides]) -> Report:
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
            **_mixture(plan, last.step),
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
