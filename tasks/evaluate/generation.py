"""Run a translation or summarization model: the output for each text, and the loss of its reference.

The model may be an encoder-decoder, or a causal model that continues the text after its closing token. Inputs are built
as in training: prefix, special tokens, truncation. Outputs come from beam search, without sampling.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.evaluate.batches import LOGITS, inference, on_device
from tasks.evaluate.decoding import generate, share_encoder
from tasks.evaluate.encoding import encode, input_length
from tasks.evaluate.loading import Loaded, check_usage, load_model
from tasks.evaluate.settings import BeamSettings
from tasks.formats.repetition import of_the_output
from tasks.formats.rows import IGNORED, joined, padded, shifted
from tasks.formats.tokenizer import hash_tokenizer, load_tokenizer
from tasks.formats.tokens import TARGET
from tasks.formats.usage import TOKEN_SETTINGS, Usage
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    import torch

NEEDED = {
    "eos_token_id": "to end an output",
    "pad_token_id": "for padding",
    "decoder_start_token_id": "to start an output",
}
"""What TOKEN_SETTINGS are needed for; the last one only for encoder-decoders."""


@dataclass(frozen=True)
class PairModel:
    """A model with the tokenizers of both sides."""

    loaded: Loaded
    target: Any
    """The target tokenizer; may be the source tokenizer."""
    target_hash: str
    usage: Usage
    tokens: dict[str, Any]
    """The TOKEN_SETTINGS that are set."""

    @property
    def causal(self) -> bool:
        """Whether source and target share one sequence, that is, the model is not an encoder-decoder."""
        return not self.loaded.model.config.is_encoder_decoder

    @property
    def source_length(self) -> int | None:
        """Maximum tokens of an input, special tokens included; None if unlimited."""
        return input_length(self.usage, self.loaded.positions)

    @property
    def output_length(self) -> int | None:
        """Maximum tokens of an output for the longest input, start token included; None if unlimited."""
        if self.loaded.positions is None or not self.causal:
            return self.loaded.positions
        return self.loaded.positions - (self.source_length or 0)


@dataclass(frozen=True)
class Encoded:
    """A text and its reference as ids, special tokens included."""

    source: list[int]
    reference: list[int]
    truncated: bool
    """Whether the source was truncated."""
    reference_truncated: bool
    """Whether the reference was truncated; its loss then covers the remaining tokens only."""


@dataclass(frozen=True)
class Written:
    """The output for one text."""

    ids: list[int]
    """Output ids without start and end tokens."""
    finished: bool
    """Whether it ended with an end token, not at `max_new_tokens`."""
    loss: float
    """Summed loss of the reference, in nats."""


def load_pair_model(folder: Path, task: str, precision: str) -> PairModel:
    """Load a translation or summarization model. Raises DataError if the folder is incomplete."""
    from transformers import GenerationConfig

    loaded, usage = load_model(folder, task, precision), check_usage(folder, task)
    own = folder / TARGET
    target = load_tokenizer(own, usage.control) if own.is_dir() else loaded.tokenizer
    config, said = loaded.model.config, loaded.model.generation_config
    vocabulary = getattr(config, "decoder_vocab_size", None) or config.vocab_size
    if len(target) > vocabulary:
        raise DataError(f"{own}: the tokenizer has {len(target):,} tokens, but the model's output only {vocabulary:,}")
    tokens = {name: getattr(said, name, None) for name in TOKEN_SETTINGS}
    for name, purpose in NEEDED.items():
        if tokens[name] is None and (config.is_encoder_decoder or name != "decoder_start_token_id"):
            raise DataError(f"{folder}/generation_config.json: {name} is missing; needed {purpose}")
    tokens = {name: value for name, value in tokens.items() if value is not None}
    loaded.model.generation_config = GenerationConfig(**tokens)  # drop the folder's other defaults
    target_hash = hash_tokenizer(own) if own.is_dir() else loaded.tokenizer_hash
    share_encoder(loaded.model)
    return PairModel(loaded, target, target_hash, usage, tokens)


def encode_pairs(model: PairModel, texts: Sequence[str], references: Sequence[str]) -> list[Encoded]:
    """Tokenize texts and references, truncated to the model's limits."""
    told = [model.usage.prefix + text for text in texts]
    closing = model.usage.closing
    sources, cut = encode(model.loaded.tokenizer, told, model.source_length, closing)
    if model.causal:
        wanted, wanted_cut = encode(
            model.target, references, model.output_length, model.loaded.eos_token_id, specials=False
        )
    else:
        wanted, wanted_cut = encode(model.target, references, model.output_length, closing, as_target=True)
    return [Encoded(*row) for row in zip(sources, wanted, cut, wanted_cut, strict=True)]


def write(model: PairModel, batch: Sequence[Encoded], settings: BeamSettings, precision: str) -> list[Written]:
    """Generate the outputs for a batch, and compute the losses of the references."""
    rows = outputs(model, batch, settings, precision)
    with inference(model.loaded.model, precision) as device:
        losses = _reference_losses(model, batch, device)
    ends = model.tokens["eos_token_id"]
    ends = set(ends) if isinstance(ends, list) else {ends}
    written = []
    for row, loss in zip(rows, losses, strict=True):
        stop = next((place for place, token in enumerate(row) if token in ends), None)
        written.append(Written(row[:stop], stop is not None, loss))
    return written


def outputs(model: PairModel, batch: Sequence[Encoded], settings: BeamSettings, precision: str) -> list[list[int]]:
    """Output ids [texts, up to max_new_tokens], without the input or start token."""
    from transformers import GenerationConfig

    chosen = settings.model_dump()
    if settings.num_beams == 1:
        del chosen["early_stopping"], chosen["length_penalty"]  # beam search only
    repetition = {name: chosen.pop(name) for name in ("repetition_penalty", "no_repeat_ngram_size")}
    config = GenerationConfig(do_sample=False, **chosen, **model.tokens)
    arrays = padded([each.source for each in batch], model.tokens["pad_token_id"], left=model.causal)
    with inference(model.loaded.model, precision) as device:
        ids, mask = on_device(arrays, device)
        before = ids.shape[1] if model.causal else 1
        found = generate(
            model.loaded.model,
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            logits_processor=of_the_output(before, **repetition),
        )
        rows: list[list[int]] = found[:, before:].tolist()
    return rows


def _reference_losses(model: PairModel, batch: Sequence[Encoded], device: "torch.device") -> list[float]:
    """-ln p of each reference given its source, summed over tokens (teacher forcing)."""
    import torch

    causal, known = model.causal, inspect.signature(model.loaded.model.forward).parameters
    # A causal model needs no logits for the tokens of its inputs, but those of the shortest are the most it can skip.
    skipped = min(len(each.source) for each in batch) - 1 if causal and "logits_to_keep" in known else 0
    longest = max(len(each.reference) + causal * len(each.source) for each in batch) - skipped
    config = model.loaded.model.config
    vocabulary = getattr(config, "decoder_vocab_size", None) or config.vocab_size
    size = max(1, LOGITS // (max(1, longest) * vocabulary))
    losses: list[float] = []
    for at in range(0, len(batch), size):
        arrays = _inputs(model, batch[at : at + size])
        inputs = dict(zip(arrays, on_device(arrays.values(), device), strict=True))
        labels = inputs.pop("labels")[:, skipped:]
        kept = {"logits_to_keep": labels.shape[1]} if skipped else {}
        logits = model.loaded.model(**inputs, **kept, use_cache=False).logits
        flat = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORED
        )
        losses += flat.view(labels.shape).double().sum(1).tolist()
    return losses


def _inputs(model: PairModel, batch: Sequence[Encoded]) -> dict[str, np.ndarray]:
    """A batch as in training: model inputs and `labels`."""
    padding = model.tokens["pad_token_id"]
    sources, references = [each.source for each in batch], [each.reference for each in batch]
    if model.causal:
        return joined(sources, references, padding)
    ids, mask = padded(sources, padding)
    decoder = shifted(references, padding, model.tokens["decoder_start_token_id"])
    return {"input_ids": ids, "attention_mask": mask, **decoder}
