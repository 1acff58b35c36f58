import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tasks.clean.rules.near.files import SketchFiles
from tasks.clean.rules.near.ngrams import ngrams_of
from tasks.clean.rules.near.settings import NearDuplicateSettings
from tasks.clean.rules.near.sketch import sketch_of
from tasks.stage.errors import DataError
from tests.clean.rules.near import reference
from tests.clean.rules.near.reference import column, sketched, words_in

SMALL = NearDuplicateSettings(ngram=3, bands=4, rows=3, seed=7)


def minima(text: str, chosen: NearDuplicateSettings) -> list[int]:
    """The minimum of each MinHash function over the shingles of a text, one by one."""
    shingles = [int(shingle) & 0xFFFFFFFF for shingle in ngrams_of(words_in([text]), chosen.ngram).hashes]
    found = []
    for place in range(chosen.bands * chosen.rows):
        drawn = hashlib.blake2b(f"{chosen.seed} {place}".encode(), digest_size=8).digest()
        factor, offset = int.from_bytes(drawn[:4], "little") | 1, int.from_bytes(drawn[4:], "little")
        found.append(min((factor * shingle + offset) % 2**32 for shingle in shingles))
    return found


@settings(max_examples=150)
@given(reference.texts)
def test_two_documents_have_the_key_of_a_band_where_all_its_minima_are_equal(texts: list[str]) -> None:
    sketch = sketch_of(column(texts), SMALL)
    assert sketch.sizes.tolist() == [len(set(reference.ngrams(text, SMALL.ngram))) for text in texts]
    assert sketch.counts.tolist() == [len(reference.words(text)) for text in texts]
    with_words = [place for place, text in enumerate(texts) if reference.words(text)]
    signatures = {place: minima(texts[place], SMALL) for place in with_words}
    for one in with_words:
        for other in with_words:
            equal = [
                signatures[one][begin : begin + SMALL.rows] == signatures[other][begin : begin + SMALL.rows]
                for begin in range(0, SMALL.bands * SMALL.rows, SMALL.rows)
            ]
            equal.append(reference.words(texts[one]) == reference.words(texts[other]))
            assert (sketch.keys[:, one] == sketch.keys[:, other]).tolist() == equal


def test_a_document_has_the_same_sketch_in_every_batch() -> None:
    texts = ["a b c d e f", "", "the same", "g " * 3000, None, "ä ö ü ß " * 40, "the same"]
    whole = sketch_of(column(texts), SMALL)
    parts = [sketch_of(part, SMALL) for part in (column(texts)[:2], column(texts)[2:3], column(texts)[3:])]
    assert whole.sizes.tolist() == [size for part in parts for size in part.sizes.tolist()]
    assert np.array_equal(whole.keys, np.concatenate([part.keys for part in parts], axis=1))
    assert np.array_equal(whole.words, np.concatenate([part.words for part in parts]))


def test_the_share_of_equal_minima_is_the_similarity() -> None:
    chosen = NearDuplicateSettings(ngram=1, bands=4000, rows=1)
    words = [str(number) for number in range(300)]
    pairs = {0.5: (words[:200], words[100:]), 0.8: (words[:180], words[20:200]), 0.95: (words[:195], words[5:200])}
    for similarity, (one, other) in pairs.items():
        keys = sketch_of(column([" ".join(one), " ".join(other)]), chosen).keys[:-1]
        expected = len(set(one) & set(other)) / len(set(one) | set(other))
        assert np.mean(keys[:, 0] == keys[:, 1]) == pytest.approx(expected, abs=0.04), similarity


def test_another_seed_draws_other_functions() -> None:
    texts = column(["one two three four", "five six seven eight"])
    one, other = (sketch_of(texts, SMALL.model_copy(update={"seed": seed})) for seed in (0, 1))
    assert not (one.keys[:-1] == other.keys[:-1]).any()
    assert (one.keys[-1] == other.keys[-1]).all()


def files_of(folder: Path, parts: list[list[str | None]]) -> list[Path]:
    return [sketched(folder / f"{number}.sketch", texts, SMALL) for number, texts in enumerate(parts)]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    parts: list[list[str | None]] = [["a b c", None, "d " * 9000, "e f"], [], ["g h i j"], ["k"] * 50 + ["l m"]]
    flat = [text or "" for texts in parts for text in texts]
    files = SketchFiles(files_of(tmp_path, parts), SMALL.bands)
    whole = sketch_of(column(flat), SMALL)
    assert files.documents == len(flat)
    assert np.array_equal(files.sizes, whole.sizes) and np.array_equal(files.counts, whole.counts)
    for row in range(SMALL.bands + 1):
        read = list(files.keys(row))
        assert [first for first, _ in read] == [0, 4, 4, 5]
        assert np.array_equal(np.concatenate([keys for _, keys in read]), whole.keys[row])
    for chosen in ([], [0], [2], [0, 3], [1, 2, 4, 5, 55], list(range(len(flat)))):
        words = files.words(np.array(chosen, np.int64))
        expected = words_in([flat[place] for place in chosen])
        assert np.array_equal(words.hashes, expected.hashes) and np.array_equal(words.counts, expected.counts)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    whole, cut, empty, other = files_of(tmp_path, [["a b c", "d"]] * 4)
    cut.write_bytes(whole.read_bytes()[:-1])
    empty.write_bytes(b"")
    other.write_bytes(b"x" * 400)
    for path in (cut, empty, other):
        with pytest.raises(DataError, match=rf"{path.name}: not a complete sketch file"):
            SketchFiles([whole, path], SMALL.bands)
    with pytest.raises(DataError, match=r"0\.sketch: has 4 bands, expected 5"):
        SketchFiles([whole], 5)


def test_huge_texts_take_memory_and_time_in_proportion() -> None:
    for unit in ("x", "\n", "🙂", "a ", "中", "e\u0301"):
        text = unit * (1_000_000 // len(unit.encode()))
        sketch = sketch_of(column([text]), SMALL)
        assert sketch.sizes[0] == min(1, len(reference.words(text[:100])))
    many = sketch_of(column([" ".join(map(str, range(200_000)))]), SMALL)
    assert many.sizes[0] == 200_000 - SMALL.ngram + 1
