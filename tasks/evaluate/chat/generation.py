"""Answers of a chat model: greedily, by beam search, or by sampling.

A sampled answer depends on the seed, its conversation and its turn, never on the other answers of its batch: each has a
random generator of its own. The most likely token after adding Gumbel noise to the logits is a sample from their
softmax (Gumbel 1954; Maddison et al., NeurIPS 2014), so sampling is greedy search on noisy logits.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.evaluate.batches import inference, on_device
from tasks.evaluate.chat.model import ChatModel
from tasks.evaluate.decoding import generate
from tasks.evaluate.settings import ChatGenerationSettings
from tasks.formats.repetition import of_the_output
from tasks.formats.rows import padded

OF_BEAMS = ("early_stopping", "length_penalty")
OF_SAMPLING = ("temperature", "top_k", "top_p", "seed")


@dataclass(frozen=True)
class Prompt:
    """What an answer is generated from."""

    ids: list[int]
    """The turns before it, and what begins an answer."""
    conversation: int
    """The number of its conversation."""
    place: int
    """The place of the true answer in the conversation."""
    name: str
    """Conversation and place, for the seed and the order of batches."""
    cut: bool
    """Whether not all turns before it fit."""


@dataclass(frozen=True)
class Written:
    """A generated answer."""

    ids: list[int]
    """Without the token that ends it."""
    ended: bool
    """Whether it ended with such a token, not at `max_new_tokens`."""


def write_answers(
    model: ChatModel, batch: Sequence[Prompt], settings: ChatGenerationSettings, precision: str
) -> list[Written]:
    """An answer for each prompt."""
    from transformers import GenerationConfig, LogitsProcessorList

    chosen = settings.model_dump(exclude=set(OF_SAMPLING if settings.num_beams > 1 else (*OF_SAMPLING, *OF_BEAMS)))
    repetition = {name: chosen.pop(name) for name in ("repetition_penalty", "no_repeat_ngram_size")}
    padding = model.template.ends[0]  # masked, and behind an answer that has ended
    config = GenerationConfig(do_sample=False, **chosen, eos_token_id=model.template.ends, pad_token_id=padding)
    with inference(model.model, precision) as device:
        ids, mask = on_device(padded([prompt.ids for prompt in batch], padding, left=True), device)
        before = ids.shape[1]
        processors = of_the_output(before, **repetition)
        if settings.temperature > 0:
            processors = LogitsProcessorList([*processors, *_sampling([prompt.name for prompt in batch], settings)])
        found = generate(
            model.model, input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=processors
        )
        rows: list[list[int]] = found[:, before:].tolist()
    ends = set(model.template.ends)
    written = []
    for row in rows:
        stop = next((place for place, token in enumerate(row) if token in ends), None)
        written.append(Written(row[:stop], stop is not None))
    return written


def _sampling(names: Sequence[str], settings: ChatGenerationSettings) -> list[Any]:
    """The processors that make greedy search draw from the model's distribution."""
    import torch
    from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    class Noise(LogitsProcessor):
        def __init__(self) -> None:
            self.generators = [np.random.default_rng([settings.seed, _number(name)]) for name in names]

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            drawn = [generator.standard_exponential(scores.shape[1], np.float32) for generator in self.generators]
            return scores - torch.from_numpy(np.stack(drawn)).to(scores.device).log()

        def keep(self, rows: Any) -> None:
            """For `tasks.evaluate.decoding`: the rows that are left."""
            self.generators = [self.generators[row] for row in rows.tolist()]

    found: list[Any] = [TemperatureLogitsWarper(settings.temperature)]
    if settings.top_k:
        found.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        found.append(TopPLogitsWarper(settings.top_p))
    return [*found, Noise()]


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8"), digest_size=16).digest(), "little")
