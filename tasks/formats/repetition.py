"""Penalties for repetition in generated text, the same in evaluation and serving.

Registered models run a copy of this file, so it imports nothing of the project.
"""

from typing import Any


def of_the_output(before: int, repetition_penalty: float, no_repeat_ngram_size: int) -> Any:
    """Repetition penalties that see only the output, from position `before` on: an output may repeat the source, which
    precedes it in a causal model's sequence."""
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
