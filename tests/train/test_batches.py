"""Batches: their content, one occurrence of each document per pass, and access by position."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import enumerate as enumerate_threads

import numpy as np
import pytest

from tasks.formats.rows import IGNORED
from tasks.formats.text_ids import Frame
from tasks.formats.tokens import Tokens, TokenWriter
from tasks.stage.errors import DataError
from tasks.train.batches import Batch, Batches, ahead
from tasks.train.buckets import BucketBatches, Layout, Sides, choose
from tasks.train.packed import Masking, causal_data, masked_data
from tasks.train.sentences import FOLLOWS, SentenceBatches
from tasks.train.settings import MaskedTraining, PackedTraining, PairTraining
from tasks.train.vocabulary import Vocabulary

END, PAD, MASK, CLS, SEP = 1, 0, 2, 3, 4
VOCABULARY = Vocabulary(100, END, PAD, CLS, SEP, MASK, (0, 1, 2, 3, 4), None, Frame([CLS], [SEP]), [])
SEPARATE, ONE_ROW = Layout(PAD, 2, False), Layout(PAD, None, True)


def write(folder: Path, lengths: list[int], seed: int) -> Tokens:
    """Write documents of random ids ≥ 10, each ending with END; the first id is the document's index + 10."""
    generator, writer = np.random.default_rng(seed), TokenWriter(folder, 100, END, "hash")
    for number, length in enumerate(lengths):
        ids = np.concatenate([[10 + number], generator.integers(10, 100, length - 2), [END]])
        writer.write(ids.astype(np.uint32), np.array([length]), length)
    writer.close()
    return Tokens.open(folder)


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    generator = np.random.default_rng(0)
    texts = write(tmp_path / "text", generator.integers(4, 40, 50).tolist(), 1)
    return Sides(texts, write(tmp_path / "target", generator.integers(3, 12, 50).tolist(), 2))


def settings(**more: int) -> PairTraining:
    return PairTraining.model_validate(
        {"steps": 1, "batch_tokens": 200, "source_length": 20, "target_length": 10, **more}
    )


def arrays(batch: Batch) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in batch.items()}


@pytest.mark.parametrize("layout", [SEPARATE, ONE_ROW], ids=["encoder-decoder", "one row"])
def test_every_document_comes_once_in_a_pass_within_the_tokens_of_a_batch(sides: Sides, layout: Layout) -> None:
    documents, told = choose(sides, settings(), cut=True)
    batches = BucketBatches(documents, settings(), layout, shuffled=True)
    orders = []
    for start in (0, batches.count):
        seen: Counter[int] = Counter()
        for position in range(start, start + batches.count):
            batch = arrays(batches.batch(position))
            parts = [batch["input_ids"], batch.get("decoder_input_ids", batch["input_ids"][:, :0])]
            assert sum(part.size for part in parts) <= 200
            assert parts[0].shape[1] <= batches.width
            seen.update(batch["input_ids"][:, 0].tolist())
        assert seen == Counter((documents.numbers + 10).tolist())
        orders.append(list(seen))
    assert orders[0] != orders[1] and told["left_out"] > 0 < told["cut"]


def test_a_batch_is_the_same_after_a_jump(sides: Sides) -> None:
    documents, _ = choose(sides, settings(), cut=True)
    one, other = (BucketBatches(documents, settings(), SEPARATE, shuffled=True) for _ in range(2))
    wanted = [arrays(one.batch(position)) for position in range(2 * one.count)]
    for position in (2 * one.count - 1, 0, one.count, 3):
        found = arrays(other.batch(position))
        assert all(np.array_equal(found[name], wanted[position][name]) for name in found)


def test_what_is_asked_for_is_the_target_and_a_cut_text_stays_closed(sides: Sides) -> None:
    assert sides.target is not None
    documents, _ = choose(sides, settings(), cut=True)
    places = np.arange(len(documents.numbers))
    one, other = (arrays(layout.tensors(documents, places)) for layout in (SEPARATE, ONE_ROW))
    for place, number in enumerate(documents.numbers.tolist()):
        text, target = sides.text.document(number), sides.target.document(number)
        text = text if len(text) <= 20 else np.concatenate([text[:19], [END]])
        row = one["input_ids"][place][one["attention_mask"][place] == 1]
        assert row.tolist() == text.tolist()
        assert one["labels"][place][: len(target)].tolist() == target.tolist()
        assert one["decoder_input_ids"][place][: len(target)].tolist() == [2, *target[:-1]]
        row = other["input_ids"][place][other["attention_mask"][place] == 1]
        assert row.tolist() == [*text, *target]
        asked = np.flatnonzero(other["labels"][place] != IGNORED)
        assert asked.tolist() == list(range(len(text) - 1, len(text) + len(target) - 1))
        assert np.array_equal(other["labels"][place][asked], other["input_ids"][place][asked + 1])


def masked(**more: object) -> MaskedTraining:
    return MaskedTraining.model_validate({"steps": 1, "context_length": 32, "batch_size": 8, **more})


def test_of_the_tokens_that_are_asked_for_most_become_masks() -> None:
    masking = Masking(masked(mask_probability=0.2), VOCABULARY)
    ids = np.concatenate([[CLS], np.random.default_rng(0).integers(10, 100, 20_000), [SEP]])
    seen, labels = masking.mask(ids, 0)
    asked = np.flatnonzero(labels != IGNORED)
    assert np.array_equal(labels[asked], ids[asked]) and np.array_equal(np.delete(seen, asked), np.delete(ids, asked))
    assert len(asked) == pytest.approx(4000, rel=0.1) and not {0, len(ids) - 1} & set(asked.tolist())
    kinds = [seen[asked] == MASK, seen[asked] == ids[asked]]
    assert [kind.mean() for kind in kinds] == pytest.approx([0.8, 0.1], abs=0.03)
    other = seen[asked][~kinds[0] & ~kinds[1]]
    assert len(other) == pytest.approx(400, rel=0.2) and not set(other.tolist()) & set(VOCABULARY.special)
    assert np.array_equal(masking.mask(ids, 0)[0], seen) and not np.array_equal(masking.mask(ids, 1)[0], seen)


def test_a_second_segment_follows_or_is_of_another_document(tmp_path: Path) -> None:
    tokens = write(tmp_path / "text", [60, 45, 80, 30, 12], 3)
    batches = SentenceBatches(tokens, masked(next_sentence=True, mask_probability=0.01), VOCABULARY, 0, None)
    stream = [tokens.document(number)[:-1].tolist() for number in range(5)]

    def place(segment: list[int]) -> tuple[int, int]:
        return next((n, at) for n, text in enumerate(stream) for at in range(len(text))
                    if text[at : at + len(segment)] == segment)  # fmt: skip

    kinds: Counter[int] = Counter()
    for position in range(4 * batches.count):
        batch = arrays(batches.batch(position))
        whole = np.where(batch["labels"] == IGNORED, batch["input_ids"], batch["labels"])
        for row, types, mask, kind in zip(
            whole, batch["token_type_ids"], batch["attention_mask"], batch["next_sentence_label"], strict=True
        ):
            one, two = (row[(types == side) & (mask == 1)].tolist() for side in (0, 1))
            assert (one[0], one[-1], two[-1]) == (CLS, SEP, SEP) and mask.sum() <= 32
            (first, start), (second, at) = place(one[1:-1]), place(two[:-1])
            assert (first == second and at == start + len(one) - 2) if kind == FOLLOWS else first != second
            kinds[int(kind)] += 1
    assert min(kinds.values()) > sum(kinds.values()) / 4


@pytest.mark.parametrize("opening", [[], [CLS], [CLS, SEP]])
def test_each_block_begins_as_the_base_begins_a_text(tmp_path: Path, opening: list[int]) -> None:
    """A document that begins inside a block is predicted, too; only the replaced beginning of a block is not."""
    writer = TokenWriter(tmp_path / "t", 100, END, "hash")
    for number in range(40):
        ids = [*opening, *range(10, 13 + number % 17), END]
        writer.write(np.array(ids, np.uint32), np.array([len(ids)]), len(ids))
    writer.close()
    tokens, keys = Tokens.open(tmp_path / "t"), PackedTraining(steps=1, context_length=12, batch_size=5)
    data = causal_data(tokens, tokens, keys, opening, "x.yaml")
    size = len(opening)
    for position in range(data.validation.count):
        batch = arrays(data.validation.batch(position))
        for row, (ids, labels) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
            stream = tokens.slice((position * 5 + row) * 11, (position * 5 + row) * 11 + 12)
            assert ids.tolist() == [*opening, *stream[size:]]
            begins = stream[:size].tolist() == opening
            expected = [*stream[1:], IGNORED] if begins else [*[IGNORED] * size, *stream[size + 1 :], IGNORED]
            assert labels.tolist() == expected


@pytest.mark.parametrize("frame", [Frame([CLS], [SEP]), Frame([CLS], []), Frame([], [])])
def test_masked_blocks_stand_in_what_the_tokenizer_adds(tmp_path: Path, frame: Frame) -> None:
    tokens, keys = write(tmp_path / "t", [30] * 20, 3), MaskedTraining(steps=1, context_length=16, batch_size=4)
    data = masked_data(tokens, tokens, keys, replace(VOCABULARY, frame=frame), "x.yaml")
    ids = arrays(data.training.batch(0))["input_ids"]
    assert ids.shape == (4, 16) and data.training.width == 16
    assert (ids[:, : len(frame.before)] == CLS).all() and (ids[:, 16 - len(frame.behind) :] == SEP).all()
    assert (ids == CLS).sum() == 4 * len(frame.before) and (ids == SEP).sum() == 4 * len(frame.behind)


def test_a_loader_draws_one_number_as_a_data_loader_does() -> None:
    import torch
    from torch.utils.data import DataLoader

    class Numbers(Batches):
        count, width = 3, 1

        def batch(self, position: int) -> Batch:
            return {"labels": torch.tensor([position, IGNORED])}

    torch.manual_seed(0)
    found = list(Numbers().loader(range(2, 5), torch.device("cpu")))
    assert [(batch["labels"][0].item(), batch["asked"].tolist()) for batch in found] == [(2, [0]), (3, [0]), (4, [0])]
    after = torch.get_rng_state()
    torch.manual_seed(0)
    list(DataLoader([1, 2]))  # type: ignore[arg-type]
    assert torch.equal(after, torch.get_rng_state())


def test_batches_made_ahead_are_the_same_and_their_thread_ends_with_them() -> None:
    import torch

    asked: list[int] = []

    def some(error: bool) -> Iterator[Batch]:
        for number in range(10):
            asked.append(number)
            yield {"labels": torch.tensor(number)}
        if error:
            raise DataError("the file is damaged")

    assert [batch["labels"].item() for batch in ahead(some(error=False))] == list(range(10))
    with pytest.raises(DataError, match="damaged"):
        list(ahead(some(error=True)))
    asked.clear()
    few = ahead(some(error=False))
    next(few)
    few.close()  # type: ignore[attr-defined]
    assert len(asked) <= 5 and "batches" not in {thread.name for thread in enumerate_threads()}
