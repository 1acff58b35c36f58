"""A model of pairs at work: what it writes for a text, and how likely it finds the reference.

An encoder-decoder takes a text and writes; a causal model goes on with a text, which the token that closes it ends.
A text is given as in training: the model's prefix before it, the tokenizer's special tokens around it, cut off where it
is longer than the model takes. An output is found by beam search, without sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.evaluate.batches import LOGITS
from tasks.evaluate.encoding import encode, input_length
from tasks.evaluate.loading import Loaded, check_usage, load_model
from tasks.evaluate.settings import BeamSettings
from tasks.formats.rows import IGNORED, joined, padded, shifted
from tasks.formats.tokenizer import hash_tokenizer, load_tokenizer
from tasks.formats.tokens import TARGET
from tasks.formats.usage import TOKEN_SETTINGS, Usage
from tasks.stage.errors import DataError

BEGINNING = {"decoder_start_token_id": "with which an output begins"}
PROMISED = {
    "eos_token_id": "with which an output ends",
    "pad_token_id": "with which short ones are filled up",
}


@dataclass(frozen=True)
class PairModel:
    """A model with the tokenizers of both sides."""

    loaded: Loaded
    target: Any
    """The tokenizer of the other side; it may be the same."""
    target_hash: str
    usage: Usage
    tokens: dict[str, Any]
    """The TOKEN_SETTINGS that it has."""

    @property
    def causal(self) -> bool:
        """Whether it is no encoder-decoder, and reads text and output as one row."""
        return not self.loaded.model.config.is_encoder_decoder

    @property
    def source_length(self) -> int | None:
        """Tokens of an input, special ones included; None where there is no limit."""
        return input_length(self.usage, self.loaded.positions)

    @property
    def output_length(self) -> int | None:
        """Tokens of an output for the longest input, the one that begins it included; None where there is no limit."""
        if self.loaded.positions is None or not self.causal:
            return self.loaded.positions
        return self.loaded.positions - (self.source_length or 0)


@dataclass(frozen=True)
class Encoded:
    """A text and its reference as ids, special tokens included."""

    source: list[int]
    reference: list[int]
    truncated: bool
    """The source was longer than the model takes."""
    reference_truncated: bool
    """So was the reference, whose loss is that of its beginning then."""


@dataclass(frozen=True)
class Written:
    """What became of one text."""

    ids: list[int]
    """Of the output, without the tokens that begin and end it."""
    finished: bool
    """It ended by itself, not at `max_new_tokens`."""
    loss: float
    """Of the reference, summed, in nats."""


def load_pair_model(folder: Path, task: str, precision: str) -> PairModel:
    """Raises DataError where the folder is not a whole model of pairs."""
    from transformers import GenerationConfig

    loaded, usage = load_model(folder, task, precision), check_usage(folder, task)
    own = folder / TARGET
    target = load_tokenizer(own) if own.is_dir() else loaded.tokenizer
    config, said = loaded.model.config, loaded.model.generation_config
    vocabulary = getattr(config, "decoder_vocab_size", None) or config.vocab_size
    if len(target) > vocabulary:
        raise DataError(f"{own}: the tokenizer has {len(target):,} tokens, the model writes {vocabulary:,}")
    tokens = {name: getattr(said, name, None) for name in TOKEN_SETTINGS}
    for name, purpose in (PROMISED | (BEGINNING if config.is_encoder_decoder else {})).items():
        if tokens[name] is None:
            raise DataError(f"{folder}/generation_config.json: no {name}, {purpose}")
    tokens = {name: value for name, value in tokens.items() if value is not None}
    loaded.model.generation_config = GenerationConfig(**tokens)  # else what a search leaves open would come from there
    target_hash = hash_tokenizer(own) if own.is_dir() else loaded.tokenizer_hash
    return PairModel(loaded, target, target_hash, usage, tokens)


def encode_pairs(model: PairModel, texts: Sequence[str], references: Sequence[str]) -> list[Encoded]:
    """Texts and references as ids; what is longer than the model takes is cut off."""
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
    """What the model writes for a batch of texts, and the losses of their references."""
    import torch

    device = next(model.loaded.model.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        outputs = _generate(model, batch, settings)
        losses = _reference_losses(model, batch)
    ends = model.tokens["eos_token_id"]
    ends = set(ends) if isinstance(ends, list) else {ends}
    written = []
    for row, loss in zip(outputs, losses, strict=True):
        stop = next((place for place, token in enumerate(row) if token in ends), None)
        written.append(Written(row[:stop], stop is not None, loss))
    return written


def _generate(model: PairModel, batch: Sequence[Encoded], settings: BeamSettings) -> list[list[int]]:
    """Ids [texts, up to max_new_tokens], what stands before an output left out."""
    import torch
    from transformers import GenerationConfig

    chosen = settings.model_dump()
    if settings.num_beams == 1:
        del chosen["early_stopping"], chosen["length_penalty"]  # nothing to choose from
    repetition = {name: chosen.pop(name) for name in ("repetition_penalty", "no_repeat_ngram_size")}
    config = GenerationConfig(do_sample=False, **chosen, **model.tokens)
    arrays = padded([each.source for each in batch], model.tokens["pad_token_id"], left=model.causal)
    ids, mask = _on_device(model, arrays)
    before = ids.shape[1] if model.causal else 1
    found = model.loaded.model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=config,
        logits_processor=_of_the_output(before, **repetition),
    )
    rows: list[list[int]] = torch.as_tensor(found)[:, before:].tolist()
    return rows


def _reference_losses(model: PairModel, batch: Sequence[Encoded]) -> list[float]:
    """-ln p of each reference given its source, summed over its tokens, each after those before it."""
    import torch

    longest = max(len(each.reference) + model.causal * len(each.source) for each in batch)
    config = model.loaded.model.config
    vocabulary = getattr(config, "decoder_vocab_size", None) or config.vocab_size
    size = max(1, LOGITS // (max(1, longest) * vocabulary))
    losses: list[float] = []
    for at in range(0, len(batch), size):
        inputs = _inputs(model, batch[at : at + size])
        labels = inputs.pop("labels")
        logits = model.loaded.model(**inputs, use_cache=False).logits
        flat = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORED
        )
        losses += flat.view(labels.shape).double().sum(1).tolist()
    return losses


def _of_the_output(before: int, repetition_penalty: float, no_repeat_ngram_size: int) -> Any:
    """What keeps an output from repeating itself. It sees nothing but the output, which begins at `before`: a causal
    model's row begins with the text, which an output may well repeat."""
    from transformers import (
        LogitsProcessor,
        LogitsProcessorList,
        NoRepeatNGramLogitsProcessor,
        RepetitionPenaltyLogitsProcessor,
    )

    inside = LogitsProcessorList()
    if repetition_penalty != 1:
        inside.append(RepetitionPenaltyLogitsProcessor(repetition_penalty))
    if no_repeat_ngram_size:
        inside.append(NoRepeatNGramLogitsProcessor(no_repeat_ngram_size))

    class OfTheOutput(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            return inside(input_ids[:, before:], scores)

    return LogitsProcessorList([OfTheOutput()] if inside else [])


def _inputs(model: PairModel, batch: Sequence[Encoded]) -> dict[str, Any]:
    """A batch as in training: what the model is given, and `labels`."""
    padding = model.tokens["pad_token_id"]
    sources, references = [each.source for each in batch], [each.reference for each in batch]
    if model.causal:
        arrays = joined(sources, references, padding)
    else:
        ids, mask = padded(sources, padding)
        arrays = {"input_ids": ids, "attention_mask": mask}
        arrays |= shifted(references, padding, model.tokens["decoder_start_token_id"])
    return dict(zip(arrays, _on_device(model, list(arrays.values())), strict=True))


def _on_device(model: PairModel, arrays: Sequence[np.ndarray]) -> list[Any]:
    import torch

    device = next(model.loaded.model.parameters()).device
    return [torch.from_numpy(array).to(device) for array in arrays]
