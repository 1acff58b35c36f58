"""Real processes, killed by SIGKILL at random moments; all tasks and more kills: tests/slow/test_kills.py."""

from collections.abc import Callable
from pathlib import Path

from tests.kills import kill_at_random
from tests.train.chats import chat, chat_tokenizer
from tests.train.conftest import CONFIGS

__all__ = ["chat", "chat_tokenizer"]
WHOLE = "checkpoint-*/whole.json"


def test_a_training_that_is_killed_ends_with_the_same_bytes(project: Callable[..., Path]) -> None:
    dropout = {**CONFIGS["gpt_neox"], "hidden_dropout": 0.1}
    average = {"last": 0.6, "every": 3}
    folder = project(config=dropout, steps=80, checkpoint_every=7, log_every=3, accumulation=2, average=average)
    seen = kill_at_random(folder, kills=2, seed=1, begun=WHOLE)
    assert seen.hit == 2 and max(seen.resumed) > 0, seen


def test_a_chat_that_is_killed_ends_with_the_same_bytes(chat: Callable[..., Path]) -> None:
    best = {"keep": "best", "patience": 3, "evaluate_every": 8}
    folder = chat("gpt2", neftune_alpha=5.0, steps=80, checkpoint_every=7, log_every=3, **best)
    seen = kill_at_random(folder, kills=2, seed=2, begun=WHOLE)
    assert seen.hit == 2 and max(seen.resumed) > 0, seen
