import math

import numpy as np
import pytest

from tasks.evaluate.perplexity import Scoring, token_losses, windows_of
from tests.evaluate.conftest import make_model

EOS = 0


@pytest.fixture(scope="module")
def documents():
    random = np.random.default_rng(0)
    return [random.integers(1, 300, size) for size in (60, 1, 24, 25, 0, 33, 5)]


def reference_losses(model, document, window: int, stride: int) -> list[float]:
    """Reference losses, one token at a time, without batches or padding, following the module's docstring."""
    import torch

    sequence, losses = [EOS, *document.tolist()], []
    for target in range(1, len(sequence)):
        # End of the window that scores it: the first window ends at `window`, later ones every `stride` tokens.
        end = window if target <= window else window + stride * math.ceil((target - window) / stride)
        end = min(end, len(document))
        seen = sequence[max(0, end - window) : target]
        with torch.no_grad():
            logits = model(torch.tensor([seen])).logits[0, -1].double()
        losses.append(float(-torch.log_softmax(logits, 0)[sequence[target]]))
    return losses


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(("window", "stride"), [(24, 8), (16, 16), (7, 1)])
def test_batched_losses_equal_a_plain_loop(kind, window, stride, documents):
    model = make_model(kind)
    found = token_losses(model, documents, EOS, Scoring(window, stride, "fp32", 4))
    for document, losses in zip(documents, found, strict=True):
        np.testing.assert_allclose(losses, reference_losses(model, document, window, stride), rtol=1e-5, atol=1e-5)


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


@pytest.mark.parametrize("stride", [0, 9])
def test_a_stride_that_would_lose_or_never_reach_tokens_is_refused(stride):
    with pytest.raises(ValueError, match="stride"):
        list(windows_of(0, 5, 8, stride))


def test_a_model_that_knows_nothing_scores_the_logarithm_of_its_vocabulary(documents):
    import torch

    model = make_model("gpt2")
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.zero_()
    found = token_losses(model, documents, EOS, Scoring(24, 8, "fp32"))
    assert all(len(losses) == len(document) for losses, document in zip(found, documents, strict=True))
    np.testing.assert_allclose(np.concatenate(found), math.log(300), rtol=1e-6)


def test_batch_size_changes_rounding_errors_only(llama, documents):
    one = np.concatenate(token_losses(llama, documents, EOS, Scoring(24, 8, "fp32", 1)))
    many = np.concatenate(token_losses(llama, documents, EOS, Scoring(24, 8, "fp32", 64)))
    np.testing.assert_allclose(one, many, rtol=1e-5, atol=1e-5)


def test_number_of_workers_changes_nothing(llama, documents):
    import torch

    threads = torch.get_num_threads()
    one = token_losses(llama, documents, EOS, Scoring(24, 8, "fp32", 2), workers=1)
    three = token_losses(llama, documents, EOS, Scoring(24, 8, "fp32", 2), workers=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))
    assert torch.get_num_threads() == threads


def test_bf16_is_close_and_is_really_used(llama, documents):
    exact = np.concatenate(token_losses(llama, documents, EOS, Scoring(24, 8, "fp32")))
    fast = np.concatenate(token_losses(llama, documents, EOS, Scoring(24, 8, "bf16")))
    assert 0 < abs(fast.mean() - exact.mean()) < 0.05


def test_progress_counts_every_token(llama, documents):
    told: list[int] = []
    token_losses(llama, documents, EOS, Scoring(24, 8, "fp32", 4), scored=told.append)
    assert sum(told) == sum(map(len, documents))
    assert len(told) > 1


def test_a_document_does_not_feel_its_neighbours(llama, documents):
    together = token_losses(llama, documents, EOS, Scoring(24, 8, "fp32", 8))
    for document, losses in zip(documents, together, strict=True):
        alone = token_losses(llama, [document], EOS, Scoring(24, 8, "fp32", 8))[0]
        np.testing.assert_allclose(losses, alone, rtol=1e-5, atol=1e-5)


def test_signature_holds_what_a_score_depends_on():
    signature = Scoring(256, 128, "fp32").signature("a" * 64, "b" * 64, 0)
    pairs = dict(part.split(":") for part in signature.split("|"))
    assert pairs == {
        "task": "causal-lm", "window": "256", "stride": "128", "context": "eos", "scored": "text",
        "norm": "utf8-bytes", "precision": "fp32", "tok": "a" * 12, "data": "b" * 12, "version": "gristmill-1",
    }  # fmt: skip
