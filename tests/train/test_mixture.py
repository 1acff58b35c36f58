"""The order of a mixture's blocks and batches."""

from fractions import Fraction

import numpy as np
import pytest

from tasks.formats.mixture import Weighted, shares
from tasks.stage.errors import RecipeError
from tasks.train.blocks import Cut, Documents, MixedBlocks, TrainingBlocks
from tasks.train.mixture import EqualTurns, SizedTurns, Source, sources_of


def weigh(**weights: float) -> dict[str, Weighted]:
    return {name: Weighted(name=name, weight=weight) for name, weight in weights.items()}


AWKWARD = [(0.7, 0.3), (1, 1, 1), (1e-3, 1, 0.2), (3, 1), (5, 2, 2, 1, 1, 0.01), (1,), (0.1,) * 10]


@pytest.mark.parametrize("weights", AWKWARD)
def test_each_source_has_its_share_of_any_first_blocks_to_within_one(weights: tuple[float, ...]) -> None:
    total = sum(map(Fraction, weights))
    wanted = [Fraction(weight) / total for weight in weights]
    turns = EqualTurns(wanted)
    counts = [0] * len(weights)
    for position in range(3000):
        source, number = turns.at(position)
        assert number == counts[source]
        counts[source] += 1
        worst = max(abs(share * (position + 1) - count) for share, count in zip(wanted, counts, strict=True))
        assert worst < 1
    assert turns.counts(3000) == counts


def test_the_order_is_a_function_of_the_position() -> None:
    wanted = [Fraction(2, 3), Fraction(1, 3)]
    one, other = EqualTurns(wanted), EqualTurns(wanted)
    assert [one.at(n) for n in range(100)] == [other.at(n) for n in reversed(range(100))][::-1]


@pytest.mark.parametrize("weights", AWKWARD)
def test_batches_of_any_size_keep_the_shares_of_tokens_to_within_one_batch(weights: tuple[float, ...]) -> None:
    generator = np.random.default_rng(1)
    sizes = generator.integers(1, 500, (len(weights), 4000)).tolist()
    total = sum(map(Fraction, weights))
    wanted = [Fraction(weight) / total for weight in weights]
    turns = SizedTurns(wanted, [own.__getitem__ for own in sizes])
    tokens = [0] * len(weights)
    for position in range(3000):
        source, number = turns.at(position)
        tokens[source] += sizes[source][number]
        for share, own in zip(wanted, tokens, strict=True):
            assert own - share * sum(tokens) < 500
    for share, own in zip(wanted, tokens, strict=True):
        assert abs(own - float(share) * sum(tokens)) < 500 * len(weights)


class Words:
    """Tokens of documents: document n is the number n, n + 1 times."""

    def __init__(self, documents: int) -> None:
        self.ids = np.concatenate([np.full(n + 1, n) for n in range(documents)])
        self.starts = np.concatenate([[0], np.cumsum(np.arange(1, documents + 1))])

    def slice(self, start: int, stop: int) -> np.ndarray:
        return self.ids[start:stop]


def test_documents_in_another_order_are_the_same_documents() -> None:
    words = Words(20)
    stream = Documents.of(words, np.arange(5, 15)).shuffled(np.random.default_rng(3))  # type: ignore[arg-type]
    whole = stream.slice(0, len(stream))
    assert len(whole) == len(stream) == sum(range(6, 16))
    assert [np.count_nonzero(whole == n) for n in range(20)] == [n + 1 if 5 <= n < 15 else 0 for n in range(20)]
    assert (np.flatnonzero(np.diff(whole)).size) == 9  # each document in one piece
    for start in range(0, len(stream), 7):
        assert (stream.slice(start, start + 11) == whole[start : start + 11]).all()


def test_each_source_goes_through_its_own_documents() -> None:
    words = Words(60)
    parts = [Source("a", range(0, 40), Fraction(3, 4), None), Source("b", range(40, 60), Fraction(1, 4), None)]
    blocks = [
        TrainingBlocks(Documents.of(words, np.arange(own.documents.start, own.documents.stop)), Cut(10), seed)  # type: ignore[arg-type]
        for seed, own in enumerate(parts)
    ]
    mixed = MixedBlocks(parts, blocks)
    found = [mixed.block(position) for position in range(400)]
    assert [int(block.max() >= 40) for block in found] == [mixed.turns.at(n)[0] for n in range(400)]
    assert sum(block.max() < 40 for block in found) == 300
    seen = mixed.seen(400)
    assert seen["a"] == {"share": 0.75, "epochs": round(300 / blocks[0].per_pass, 3)}


def test_epochs_are_shares_of_the_size() -> None:
    weights = {name: Weighted(name=name, epochs=epochs) for name, epochs in (("a", 2), ("b", None))}
    assert shares(weights, {"a": 100, "b": 200}) == {"a": Fraction(1, 2), "b": Fraction(1, 2)}


def test_one_pass_reads_each_source_exactly_as_often_as_its_epochs_say() -> None:
    words, named = Words(60), {"a": (range(0, 40), 2), "b": (range(40, 60), 1)}
    weights = {name: Weighted(name=name, epochs=epochs) for name, (_, epochs) in named.items()}
    tokens = [int(words.starts[own.stop] - words.starts[own.start]) for own, _ in named.values()]
    parts = sources_of([(name, own) for name, (own, _) in named.items()], tokens, weights, "x.yaml")
    blocks = [
        TrainingBlocks(Documents.of(words, np.arange(own.start, own.stop)), Cut(100), 0)  # type: ignore[arg-type]
        for own, _ in named.values()
    ]
    mixed = MixedBlocks(parts, blocks)
    assert [own["epochs"] for own in mixed.seen(10 * mixed.per_pass).values()] == [20, 10]


def test_a_weight_on_a_source_without_documents_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"x\.yaml: ingest\.sources\.1\.weight: no document of b is left to train on"):
        sources_of([("a", range(3))], [9], weigh(a=1, b=2), "x.yaml")
