"""Personal data, secrets and blocked words: speed and accuracy against peers.

MB are millions of bytes of text; `a core` is CPU time of one thread, which is less sensitive to other load. All figures
are the best of several, after compilation. Precision, recall and F1 are on the tests' synthetic labelled texts; a span
counts as found if it overlaps one of its kind. Peers that are not installed are reported.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics

import pyarrow as pa

from benchmarks.privacy_peers import FINDERS, Finder, aho_corasick, datatrove_formatter, surest
from benchmarks.targets import Target
from benchmarks.timing import best, megabytes
from tasks.clean.rules.blocked.count import count
from tasks.clean.rules.blocked.settings import BlockedWords
from tasks.clean.rules.privacy.mask import mask
from tasks.clean.rules.privacy.settings import PrivacySettings
from tests.clean.rules.privacy.labelled import Labelled, Span, labelled
from tests.clean.rules.privacy.scores import Score, score
from tests.clean.rules.privacy.test_search import find

TO_REACH = 40
"""MB/s a core."""
SIZE, SLOW_SIZE = 16_000_000, 100_000
"""Bytes of text for fast tools, and for those that take minutes per MB."""
LABELLED, SEED = 1000, 11
LISTS, SOME = (10, 1_000, 100_000), 1_000
"""Numbers of blocked words, and the maximum for a regular expression, which takes minutes beyond it."""


def measure(folder: Path) -> Iterator[str | Target]:
    """Measure speed on English text, accuracy by kind against peers, and blocked words."""
    prose, dense = english(SIZE), [one.text for one in labelled(SEED, 3000)]
    ours = speed(masking(prose), prose)
    yield Target("privacy, English text", ours, "MB/s a core", TO_REACH)
    yield Target("privacy, text dense in personal data", speed(masking(dense), dense), "MB/s a core", TO_REACH)
    yield beside("datatrove's formatter, 2 kinds", datatrove_formatter, prose[: len(prose) // 8], ours, 2)
    few = prose[: max(1, len(prose) * SLOW_SIZE // SIZE)]
    yield beside("Presidio's patterns, 6 kinds", FINDERS["Presidio"], few, ours, 1)
    yield from surety(list(labelled(SEED, LABELLED)))
    yield from blocked_words(prose)


def english(size: int) -> list[str]:
    """About `size` bytes of Python's help texts in documents of up to 4000 characters."""
    texts = [text[start : start + 4000] for text in topics.values() for start in range(0, len(text), 4000)]
    return texts * (int(size / 1e6 / megabytes(texts)) + 1)


def masking(texts: Sequence[str]) -> Callable[[], object]:
    """A call that masks all kinds in one column."""
    return partial(mask, pa.array(texts, pa.large_string()), PrivacySettings())


def speed(call: Callable[[], object], texts: Sequence[str], times: int = 5) -> float:
    """MB/s a core of a call over these texts, the best of several after one that compiles."""
    call()
    return megabytes(texts) / best(call, times)


def beside(
    peer: str, make: Callable[[], Callable[[str], object]], texts: Sequence[str], ours: float, times: int
) -> str:
    """A peer's speed on these texts, one at a time, and our speedup."""
    try:
        work = make()
    except ImportError as missing:
        return f"  {peer}: not installed ({missing.name}); make bench-peers"
    theirs = speed(lambda: [work(text) for text in texts], texts, times)
    return f"  {peer:<37} {theirs:8.3f} MB/s a core; ours is {ours / theirs:.1f} times as fast"


def surety(texts: Sequence[Labelled]) -> Iterator[str | Target]:
    """Precision, recall and F1 by kind, ours and each peer's at its best threshold for that kind."""
    ours = score(texts, find)
    lines = {kind: f"  {kind:14s} {numbers(one)}" for kind, one in sorted(ours.items())}
    targets = []
    for peer, make in FINDERS.items():
        try:
            there = best_scores(make(), texts)
        except ImportError:  # said in `beside`
            continue
        for kind, (one, least) in there.items():
            lines[kind] += f"; {peer} {numbers(one)} at threshold {least:.2f}"
            targets.append(Target(f"privacy, {kind} vs {peer}", ours[kind].f1, "F1", one.f1))
    yield from lines.values()
    yield from targets


def best_scores(peer: Finder, texts: Sequence[Labelled]) -> dict[str, tuple[Score, float]]:
    """Kind → the highest F1 and the lowest threshold that reaches it."""
    found = {one.text: peer(one.text) for one in texts}

    def spans_above(least: float, text: str) -> list[Span]:
        return surest(found[text], least)

    reached: dict[str, tuple[Score, float]] = {}
    for least in sorted({sure for spans in found.values() for sure, _ in spans}):
        for kind, one in score(texts, partial(spans_above, least)).items():
            if one.right and (kind not in reached or one.f1 > reached[kind][0].f1):
                reached[kind] = one, least
    return reached


def numbers(one: Score) -> str:
    """Precision, recall and F1 as text."""
    return f"P {one.precision:.3f} R {one.recall:.3f} F1 {one.f1:.3f}"


def blocked_words(prose: Sequence[str]) -> Iterator[str | Target]:
    """Lists of several lengths, against the regular expression of C4's and datatrove's filters."""
    column = pa.array(prose, pa.large_string())
    some = prose[: len(prose) // 40]
    for length in LISTS:
        words = tuple(f"no such {number:x}" if number % 3 else f"unheard{number:x}of" for number in range(length))
        ours = speed(partial(count, column, BlockedWords(words=words)), prose)
        yield Target(f"privacy, {length:,} blocked words", ours, "MB/s a core", TO_REACH)
        if length <= SOME:
            pattern = re.compile(rf"(?:\W|^)({'|'.join(map(re.escape, words))})(?:\W|$)", re.IGNORECASE)
            yield beside("a regular expression", partial(getattr, pattern, "search"), some, ours, 1)
        yield beside("ahocorasick_rs, also within words", partial(aho_corasick, words), prose, ours, 2)
