from collections import Counter
from pathlib import Path

import numpy as np

from tasks.formats.tokens import Tokens, TokenWriter
from tasks.train.blocks import Cut, TrainingBlocks, ValidationBlocks


def tokens_of(folder: Path, count: int) -> Tokens:
    writer = TokenWriter(folder, 60_000, 0, "hash")
    writer.write(np.arange(count, dtype=np.uint16), np.array([count], np.int64), count)
    writer.close()
    return Tokens.open(folder)


def test_order_is_a_function_of_seed_and_position(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path / "t", 1000)
    forwards = [tuple(TrainingBlocks(tokens, Cut(16), 7).block(p)) for p in range(300)]
    jumping = TrainingBlocks(tokens, Cut(16), 7)
    assert [tuple(jumping.block(p)) for p in reversed(range(300))] == forwards[::-1]
    assert [tuple(TrainingBlocks(tokens, Cut(16), 8).block(p)) for p in range(300)] != forwards


def test_a_pass_predicts_no_token_twice_and_passes_differ(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path / "t", 1000)
    blocks = TrainingBlocks(tokens, Cut(16), 7)
    passes = []
    for number in range(2):
        found = [blocks.block(number * blocks.per_pass + place) for place in range(blocks.per_pass)]
        assert all(np.array_equal(block, np.arange(block[0], block[0] + 16)) for block in found)
        predicted = Counter(int(token) for block in found for token in block[1:])
        assert max(predicted.values()) == 1 and len(predicted) == blocks.per_pass * 15 > 950
        passes.append([int(block[0]) for block in found])
    assert sorted(passes[0]) != sorted(passes[1])


def test_as_few_tokens_as_one_block_will_do(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path / "t", 16)
    assert Cut(16).per_pass(16) == 1
    assert [block.tolist() for block in (TrainingBlocks(tokens, Cut(16), 0).block(p) for p in range(2))] == [
        list(range(16))
    ] * 2


def test_validation_goes_through_the_split_once(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path / "t", 100)
    blocks = ValidationBlocks(tokens, Cut(10), None)
    assert [int(t) for n in range(len(blocks)) for t in blocks.block(n)[1:]] == list(range(1, 100))
    assert len(ValidationBlocks(tokens, Cut(10), 27)) == 3
    assert len(ValidationBlocks(tokens, Cut(10), 1)) == 1
