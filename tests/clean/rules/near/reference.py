"""Slow, plain references for the kernels, and texts to test them on."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
from hypothesis import strategies as st

from tasks.clean.rules.near.settings import NearDuplicateSettings
from tasks.clean.rules.near.sketch import sketch_of, write_sketch
from tasks.clean.rules.near.words import WITHOUT_BLANKS, Words, words_of


def words(text: str) -> list[str]:
    """Runs of letters, digits and their marks, lower-cased; single letters in scripts without spaces."""
    found: list[str] = []
    open_word = alone = False
    for character in text:
        kind = unicodedata.category(character)[0] if ord(character) < 0x40000 else "C"
        lower = character.lower()[0].replace("ς", "σ")
        if kind == "M" and (open_word or alone):
            found[-1] += character
        elif kind == "L" and any(first <= ord(character) <= last for first, last in WITHOUT_BLANKS):
            found.append(lower)
            open_word, alone = False, True
        elif kind in "LN":
            if open_word:
                found[-1] += lower
            else:
                found.append(lower)
            open_word, alone = True, False
        else:
            open_word = alone = False
    return found


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """All n-grams of words, or one of all words if there are fewer."""
    found = words(text)
    if not found:
        return []
    return [tuple(found[place : place + n]) for place in range(max(1, len(found) - n + 1))]


def jaccard(one: str, other: str, n: int) -> float:
    """Similarity of two texts with at least one word each."""
    a, b = set(ngrams(one, n)), set(ngrams(other, n))
    return len(a & b) / len(a | b)


def near_pairs(texts: Sequence[str], n: int, threshold: float) -> list[tuple[int, int]]:
    """Every pair with at least that similarity, from an inverted index of the shingles."""
    holders: dict[tuple[str, ...], list[int]] = {}
    sizes, pairs = [], []
    for other, text in enumerate(texts):
        shingles = set(ngrams(text, n))
        sizes.append(len(shingles))
        shared = Counter(one for shingle in shingles for one in holders.get(shingle, ()))
        pairs += [
            (one, other) for one, both in shared.items() if both / (sizes[one] + sizes[other] - both) >= threshold
        ]
        for shingle in shingles:
            holders.setdefault(shingle, []).append(other)
    return pairs


def roots(documents: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The first document of each one's set once the pairs are connected."""
    root = list(range(documents))
    for one, other in pairs:
        least, most = sorted((root[one], root[other]))
        root = [least if found == most else found for found in root]
    return root


def column(texts: Iterable[str | None]) -> pa.LargeStringArray:
    """The texts as a column of a corpus."""
    return pa.array(texts, pa.large_string())


def words_in(texts: Iterable[str]) -> Words:
    """Words as computed by the kernel."""
    return words_of(column(texts))


def sketched(path: Path, texts: Iterable[str | None], chosen: NearDuplicateSettings) -> Path:
    """A file with the sketches of these texts."""
    write_sketch(sketch_of(column(texts), chosen), path)
    return path


NASTY = "aAzZ09 _-'.\n\t\x00éÉßẞıİΣςσǅ\u0301\u0323\u200d\u200b\ufeff\ufe0f"
NASTY += "\u0e01\u0e34กะ中文字かなカナ々〇가각한ब्दا\u064bש\u05b8١²½ⅷ🙂👩‍🔬\U000e0100\U000f0000𝐀𠀀"
"""Letters that get longer, marks with and without a letter, scripts with and without spaces, rare code points."""

text = st.text(st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=["Cs"])), max_size=80)
few_words = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), max_size=14).map(" ".join)
"""Texts with a small vocabulary that repeat their own n-grams and each other's."""
texts = st.lists(st.one_of(text, few_words), max_size=12)
