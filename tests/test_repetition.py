"""An output may not repeat itself; what stands before it in a causal model's row is not its own."""

import importlib
from typing import Any

import pytest


def rule(module: str) -> Any:
    return importlib.import_module(module).of_the_output


@pytest.mark.parametrize("module", ["tasks.evaluate.generation", "tasks.serve.pairs"])
def test_only_what_was_written_is_not_to_be_repeated(module: str) -> None:
    import torch

    rows = torch.tensor([[7, 8, 9, 5, 7], [7, 8, 5, 6, 5]])  # the last two tokens are the output, then the last three
    allowed = rule(module)(3, repetition_penalty=1.0, no_repeat_ngram_size=2)(rows, torch.zeros(2, 10))
    assert torch.isfinite(allowed).all()  # the text says 7 8, and 5 6, but no output does
    allowed = rule(module)(2, repetition_penalty=1.0, no_repeat_ngram_size=2)(rows, torch.zeros(2, 10))
    assert torch.isinf(allowed).nonzero().tolist() == [[1, 6]]
    scores = rule(module)(3, repetition_penalty=2.0, no_repeat_ngram_size=0)(rows, torch.full((2, 10), 4.0))
    assert (scores == 2).nonzero().tolist() == [[0, 5], [0, 7], [1, 5], [1, 6]]
    assert len(rule(module)(3, repetition_penalty=1.0, no_repeat_ngram_size=0)) == 0
