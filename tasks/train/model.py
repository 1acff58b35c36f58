"""Build a model from scratch or from a base, check that it runs, and save it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.formats.chat_ids import ChatTemplate
from tasks.formats.text_ids import LOCAL
from tasks.formats.usage import TOKEN_SETTINGS, Usage
from tasks.formats.weights import positions, unfit
from tasks.stage.errors import DataError, RecipeError, one_line
from tasks.stage.task import CHATS, PAIRS, is_causal, model_class
from tasks.train.activations import fuse_activations
from tasks.train.batches import Batches, find_asked
from tasks.train.loss import summed_loss
from tasks.train.settings import MaskedTraining, ModelSettings, TrainSettings
from tasks.train.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Design:
    """Everything needed to build a model."""

    where: str
    """The recipe's file, for messages."""
    task: str
    settings: ModelSettings
    training: TrainSettings
    vocabulary: Vocabulary
    labels: list[str] | None
    attention: str | None
    """None: sdpa, or eager for an architecture without it."""
    base: Path

    def loader(self, config: "PretrainedConfig") -> Any:
        """The transformers auto class for the task."""
        import transformers

        if isinstance(self.training, MaskedTraining) and self.training.next_sentence:
            return transformers.AutoModelForPreTraining
        return getattr(transformers, model_class(self.task, config.is_encoder_decoder))

    def wrong(self, key: str, sentence: str) -> RecipeError:
        """An error in a key of the recipe."""
        return RecipeError(f"{self.where}: {key}: {sentence}")


def build_model(design: Design) -> "tuple[PreTrainedModel, list[str]]":
    """A float32 model, from scratch or from the base, and the names of newly initialized layers of a base.

    Raises RecipeError for an invalid config, DataError for an unusable base.
    """
    model, drawn = (_fresh(design), []) if design.settings.from_scratch else _of_base(design)
    model.config.use_cache = False
    fuse_activations(model)
    return model.float(), drawn


def _fresh(design: Design) -> "PreTrainedModel":
    from transformers import AutoConfig

    architecture = design.settings.architecture or ""
    try:
        from_data = _from_data(design, AutoConfig.for_model(architecture).is_encoder_decoder)
        config = AutoConfig.for_model(architecture, **from_data, **design.settings.config)
        return design.loader(config).from_config(config, attn_implementation=design.attention)
    except unfit() as error:
        _require_attention(design, error)
        raise design.wrong("model.config", f"{architecture} cannot be built: {one_line(error)}") from error


def _require_attention(design: Design, error: Exception) -> None:
    """Raises RecipeError if the architecture lacks the attention that the recipe asks for."""
    if "attn_implementation=" in str(error):  # in transformers' sentence about it
        sentence = f"this architecture has no {design.attention} attention; use auto"
        raise design.wrong("train.attention", sentence) from error


def _from_data(design: Design, encoder_decoder: bool) -> dict[str, Any]:
    """The config arguments that come from the tokenizer and the corpus."""
    vocabulary, causal = design.vocabulary, is_causal(design.task, encoder_decoder)
    generates = causal or design.task in PAIRS
    begin, end = (vocabulary.eos, vocabulary.eos) if generates else (vocabulary.cls, vocabulary.sep)
    padding = None if design.task == "causal-lm" else vocabulary.pad
    known: dict[str, Any] = {"vocab_size": vocabulary.size, "pad_token_id": padding}
    known |= {"bos_token_id": begin, "eos_token_id": end}
    if encoder_decoder and not causal:
        known["decoder_start_token_id"] = padding
        if design.task in PAIRS:
            known["forced_eos_token_id"] = None
    if vocabulary.target_size is not None and not causal:
        known |= {"decoder_vocab_size": vocabulary.target_size, "share_encoder_decoder_embeddings": False}
        known["tie_word_embeddings"] = False
    return known | _classes(design)


def _classes(design: Design) -> dict[str, Any]:
    if design.labels is None:
        return {}
    return {
        "num_labels": len(design.labels),
        "id2label": dict(enumerate(design.labels)),
        "label2id": {name: number for number, name in enumerate(design.labels)},
        "problem_type": "single_label_classification",
    }


def _of_base(design: Design) -> "tuple[PreTrainedModel, list[str]]":
    import torch
    from transformers import AutoConfig

    if not (design.base / "config.json").is_file():
        raise DataError(f"{design.base}: no model found; run the stage `base` for this model.init first")
    try:
        config = AutoConfig.from_pretrained(design.base, **LOCAL)
        _override(config, design)
        model, info = design.loader(config).from_pretrained(
            design.base, config=config, dtype=torch.float32, attn_implementation=design.attention,
            **LOCAL, output_loading_info=True,
        )  # fmt: skip
    except unfit() as error:
        _require_attention(design, error)
        _require_shapes(design)
        raise DataError(f"{design.base}: cannot be loaded for {design.task}: {one_line(error)}") from error
    if (size := model.get_input_embeddings().num_embeddings) < design.vocabulary.size:
        raise DataError(f"{design.base}: {size:,} embeddings, but its tokenizer has {design.vocabulary.size:,} tokens")
    _require_weights(model, info, design)
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise DataError(f"{design.base}: {name} has NaN or infinite weights")
    return model, sorted({name.rpartition(".")[0] for name in info["missing_keys"]})


def _override(config: "PretrainedConfig", design: Design) -> None:
    """Apply `model.config` and the corpus's classes to the config of a base."""
    from huggingface_hub.errors import StrictDataclassFieldValidationError

    for key, value in design.settings.config.items():
        if not hasattr(config, key):
            raise design.wrong(f"model.config.{key}", f"unknown key for {config.model_type}, the base's architecture")
        try:
            setattr(config, key, value)
        except StrictDataclassFieldValidationError as error:
            raise design.wrong(f"model.config.{key}", one_line(error.__cause__ or error)) from error
    for key, value in _classes(design).items():
        setattr(config, key, value)
    if design.labels is not None:  # decoder classifiers find the last token of a text by the padding id
        config.get_text_config().pad_token_id = design.vocabulary.padding
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = design.vocabulary.padding


def _require_weights(model: "PreTrainedModel", info: dict[str, Any], design: Design) -> None:
    """Only the head may be newly initialized. Raises DataError if other weights are missing."""
    missing = [name for name in sorted(info["missing_keys"]) if name.startswith(f"{model.base_model_prefix}.")]
    if lost := [name for name in missing if design.task != "classification" or "pooler" not in name]:
        _require_shapes(design)
        raise DataError(f"{design.base}: {len(lost)} weights needed for {design.task} are missing, e.g. {lost[0]}")
    if info["mismatched_keys"]:
        raise DataError(f"{design.base}: the shapes of the weights do not match config.json")


def _require_shapes(design: Design) -> None:
    """Raises RecipeError with a line per key of `model.config` that changes the base's shapes or breaks it."""
    import torch
    from transformers import AutoConfig

    def shapes(**changed: Any) -> dict[str, "torch.Size"]:
        config = AutoConfig.from_pretrained(design.base, **LOCAL)
        for key, value in changed.items():
            setattr(config, key, value)
        with torch.device("meta"):
            return {name: weight.shape for name, weight in design.loader(config).from_config(config).named_parameters()}

    problems = []
    try:
        plain = shapes()
    except unfit():  # broken without `model.config` too
        return
    for key, value in design.settings.config.items():
        try:
            if shapes(**{key: value}) != plain:
                problems.append(f"model.config.{key}: changes the shapes of the base's weights; remove it")
        except unfit() as error:
            problems.append(f"model.config.{key}: invalid for the base: {one_line(error)}")
    if problems:
        raise RecipeError("\n".join(f"{design.where}: {problem}" for problem in problems))


def checkpoint_activations(model: "PreTrainedModel", design: Design) -> None:
    """Keep only the inputs of layers for the backward pass, and compute the rest again.

    Raises RecipeError if the architecture does not support it.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        sentence = f"{model.config.model_type} does not support it; remove it"
        raise design.wrong("train.gradient_checkpointing", sentence) from error


def check_runs(model: "PreTrainedModel", batches: Batches, design: Design) -> None:
    """Run one small batch. Raises RecipeError if the config is inconsistent or a causal model sees later tokens."""
    import torch

    key, architecture = "model.config", model.config.model_type
    small = {name: value[:2] for name, value in batches.batch(0).items()}
    longest = positions(model)
    if longest is not None and longest < batches.width:
        alias = model.config.attribute_map.get("max_position_embeddings", "max_position_embeddings")
        length = "context_length" if hasattr(design.training, "context_length") else "source_length or target_length"
        raise design.wrong(
            f"train.{length}", f"{batches.width} exceeds the model's {longest} positions ({key}.{alias})"
        )
    model.eval()
    try:
        with torch.no_grad():
            summed_loss(model, find_asked(small))
            sees = is_causal(design.task, model.config.is_encoder_decoder) and _sees_later_tokens(model)
            mixes = getattr(design.training, "packing", False) and not sees and _mixes_sequences(model)
    except unfit() as error:
        raise design.wrong(key, f"{architecture} fails to run: {one_line(error)}") from error
    model.train()
    if sees:
        raise design.wrong(
            key,
            f"{architecture} attends to later tokens; set is_decoder: true if it has that key, or choose another "
            "architecture",
        )
    if mixes:
        raise design.wrong("train.packing", f"{architecture} mixes the conversations of a row; set it to false")


def _sees_later_tokens(model: "PreTrainedModel") -> bool:
    """Whether attention is not causal: such a model would learn to copy. Some, like bert, need is_decoder: true."""
    import torch

    ids = torch.arange(8)[None] % model.config.get_text_config().vocab_size
    other = ids.clone()
    other[0, -1] = 0 if ids[0, -1] else 1
    one, two = (model(input_ids=given).logits[0, :-1] for given in (ids, other))
    return not torch.allclose(one, two, rtol=1e-3, atol=1e-4)


def _mixes_sequences(model: "PreTrainedModel") -> bool:
    """Whether sequences in one row, with positions that start anew, give other logits than rows of their own, or change
    with what stands before them in the row.

    In a row of the same shape, what is masked adds an exact zero; so little mixing shows, too, as that of a short
    convolution.
    """
    import torch

    size, lengths = model.config.get_text_config().vocab_size, (7, 5, 3)
    ids = torch.arange(sum(lengths)) % size
    other = torch.cat([ids[: lengths[0]].flip(0), ids[lengths[0] :]])
    places = torch.cat([torch.arange(length) for length in lengths])[None]
    one, two = (model(input_ids=row[None], position_ids=places).logits[0, lengths[0] :] for row in (ids, other))
    alone = torch.cat([model(input_ids=part[None]).logits[0] for part in ids.split(lengths)[1:]])
    scale = float(alone.abs().max())
    return float((one - two).abs().max()) > 1e-5 * scale or float((one - alone).abs().max()) > 1e-3 * scale


def save_model(model: Any, design: Design, usage: Usage, tokenizer: Path, folder: Path) -> None:
    """Write weights, config, generation settings, the tokenizer's files and the usage file."""
    from transformers import GenerationConfig

    model.config.use_cache = True
    if is_causal(design.task, model.config.is_encoder_decoder):
        eos: int | list[int] | None = design.vocabulary.eos
        padding = design.vocabulary.padding
        bos = design.vocabulary.opening[-1] if design.vocabulary.opening else design.vocabulary.eos
        if design.task in CHATS:
            eos = ChatTemplate.open(tokenizer).ends
        model.generation_config = GenerationConfig(bos_token_id=bos, eos_token_id=eos, pad_token_id=padding)
    elif design.task in PAIRS:
        said, config = model.generation_config, model.config
        found = {name: getattr(said, name, None) for name in TOKEN_SETTINGS}
        needed = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
        found |= {name: getattr(config, name, None) for name in needed if found[name] is None}
        model.generation_config = GenerationConfig(**found)
    model.save_pretrained(folder)
    shutil.copytree(tokenizer, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    usage.write(folder)
