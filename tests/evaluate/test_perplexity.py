import math

import numpy as np
import pytest

from tasks.evaluate.perplexity import signature, token_losses, windows_of
from tasks.evaluate.settings import CausalEvaluateSettings
from tests.evaluate.projects import SCORING, make_model

EOS = 0


@pytest.fixture(scope="module")
def documents():
    random = np.random.default_rng(0)
    return [random.integers(1, 300, size) for size in (60, 1, 24, 25, 0, 33, 5)]


def reference_losses(model, document, window: int, stride: int, opening=()) -> list[float]:
    """Reference losses, one token at a time, without batches or padding, following the module's docstring."""
    import torch

    sequence, losses = [EOS, *document.tolist()], []
    for target in range(1, len(sequence)):
        # End of the window that scores it: the first window ends at `window`, later ones every `stride` tokens.
        end = window if target <= window else window + stride * math.ceil((target - window) / stride)
        end = min(end, len(document))
        seen = sequence[max(0, end - window) : target]
        if opening:
            seen = [*opening, *seen[1:]]
        with torch.no_grad():
            logits = model(torch.tensor([seen])).logits[0, -1].double()
        losses.append(float(-torch.log_softmax(logits, 0)[sequence[target]]))
    return losses


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(("window", "stride", "batch_size"), [(24, 8, 1), (24, 8, 4), (16, 16, 64), (7, 1, 8)])
def test_batched_losses_equal_a_plain_loop(kind, window, stride, batch_size, documents):
    model = make_model(kind)
    settings = CausalEvaluateSettings(window=window, stride=stride, batch_size=batch_size)
    found = token_losses(model, documents, EOS, settings)
    for document, losses in zip(documents, found, strict=True):
        np.testing.assert_allclose(losses, reference_losses(model, document, window, stride), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("opening", "window", "stride"), [([7], 24, 8), ([7], 16, 16), ([8, 7], 24, 8), ([7], 64, 1)])
def test_each_window_begins_as_the_base_begins_a_text(opening, window, stride, documents):
    model = make_model("llama")
    settings = CausalEvaluateSettings(window=window, stride=stride, batch_size=4)
    found = token_losses(model, documents, EOS, settings, opening=opening)
    room = window - len(opening[1:])
    for document, losses in zip(documents, found, strict=True):
        expected = reference_losses(model, document, room, stride, opening)
        np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)


def test_every_token_is_scored_once_with_enough_context():
    for tokens in (0, 1, 2, 7, 8, 9, 15, 16, 17, 40, 41):
        for window in (1, 2, 7, 8, 40):
            for stride in range(1, window + 1):
                seen = []
                for part in windows_of(0, tokens, window, stride):
                    assert part.length <= window
                    assert part.start == 0 or part.length == window
                    assert part.start == 0 or part.context >= window - stride
                    seen += range(part.first, part.stop)
                assert seen == list(range(tokens)), (tokens, window, stride)


def test_number_of_workers_changes_nothing(llama, documents):
    import torch

    threads = torch.get_num_threads()
    one = token_losses(llama, documents, EOS, SCORING, workers=1)
    three = token_losses(llama, documents, EOS, SCORING, workers=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))
    assert torch.get_num_threads() == threads


def test_bf16_is_close_and_is_really_used(llama, documents):
    exact = np.concatenate(token_losses(llama, documents, EOS, SCORING))
    fast = np.concatenate(token_losses(llama, documents, EOS, SCORING.model_copy(update={"precision": "bf16"})))
    assert 0 < abs(fast.mean() - exact.mean()) < 0.05


def test_progress_counts_every_token(llama, documents):
    told: list[int] = []
    token_losses(llama, documents, EOS, SCORING, scored=told.append)
    assert sum(told) == sum(map(len, documents))
    assert len(told) > 1


def test_signature_holds_what_a_score_depends_on():
    parts = (
        "task:causal-lm|window:24|stride:8|context:eos|scored:text|norm:utf8-bytes|precision:fp32"
        "|tok:aaaaaaaaaaaa|data:bbbbbbbbbbbb|version:gristmill-1"
    )
    assert signature(SCORING, "a" * 64, "b" * 64, unknown=0) == parts
    assert signature(SCORING, "a" * 64, "b" * 64, unknown=3) == f"{parts}|unknown:3"
    begun = parts.replace("context:eos", "context:bos-of-each-window")
    assert signature(SCORING, "a" * 64, "b" * 64, unknown=0, opening=[7]) == begun
