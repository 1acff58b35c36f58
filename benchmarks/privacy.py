"""Personal data, secrets and blocked words: how fast and how surely they are found, beside what others use.

MB are millions of bytes of text; `a core` counts processor seconds of one thread, so that other work on the machine
matters less. All are the best of several, with compiled code. Precision, recall and F1 are on labelled texts that the
tests make; a span is found where it overlaps one of its kind. What is not installed has a line that says so.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics

import pyarrow as pa

from benchmarks.privacy_peers import Finder, aho_corasick, best, datatrove_formatter, finders
from benchmarks.targets import Target
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
"""Bytes of text for what takes seconds for each MB, and for what takes minutes."""
LABELLED, SEED = 1000, 11
LISTS, SOME = (10, 1_000, 100_000), 1_000
"""How many blocked words, and how many at most in a regular expression, which takes minutes for more."""


def measure(folder: Path) -> Iterator[str | Target]:
    """Speed on English text, then every kind beside its peers, then blocked words."""
    prose, dense = english(SIZE), [one.text for one in labelled(SEED, 3000)]
    ours = speed(masking(prose), prose)
    yield Target("privacy, English text", ours, "MB/s a core", TO_REACH)
    yield Target("privacy, text full of it", speed(masking(dense), dense), "MB/s a core", TO_REACH)
    yield from peers_speed(prose, ours)
    yield from surety(list(labelled(SEED, LABELLED)))
    yield from blocked_words(prose)


def english(size: int) -> list[str]:
    """About so many bytes of the help texts of Python, in documents of some thousand bytes."""
    texts = [text[start : start + 4000] for text in topics.values() for start in range(0, len(text), 4000)]
    return texts * (size // sum(len(text.encode()) for text in texts) + 1)


def masking(texts: Sequence[str]) -> Callable[[], object]:
    """All kinds, in one column."""
    return partial(mask, pa.array(texts, pa.large_string()), PrivacySettings())


def each(function: Callable[[str], object], texts: Sequence[str]) -> Callable[[], object]:
    """One text at a time, as the peers take them."""
    return lambda: [function(text) for text in texts]


def speed(call: Callable[[], object], texts: Sequence[str], times: int = 5) -> float:
    """MB/s a core of a call that goes through these texts, the best of several after a first one that compiles."""
    call()
    seconds = []
    for _ in range(times):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return sum(len(text.encode()) for text in texts) / min(seconds) / 1e6


def peers_speed(prose: Sequence[str], ours: float) -> Iterator[str]:
    """On as much of the same text as takes a few seconds."""
    if (replace := datatrove_formatter()) is None:
        yield "  datatrove is not installed: nothing to compare with"
    else:
        some = prose[: len(prose) // 8]
        theirs = speed(each(replace, some), some, times=2)
        yield f"  datatrove's formatter, 2 kinds        {beside(theirs, ours)}"
    if (peer := finders()["Presidio"]) is None:
        yield "  Presidio is not installed: nothing to compare with"
    else:
        few = prose[: max(1, len(prose) * SLOW_SIZE // SIZE)]
        theirs = speed(each(peer, few), few, times=1)
        yield f"  Presidio's patterns, 6 kinds          {beside(theirs, ours)}"


def beside(theirs: float, ours: float) -> str:
    """A peer's speed, and how many times as fast ours is."""
    return f"{theirs:8.3f} MB/s a core; ours is {ours / theirs:.1f} times that"


def surety(texts: Sequence[Labelled]) -> Iterator[str | Target]:
    """Precision, recall and F1 of each kind, of ours and of every peer at its best threshold for that kind."""
    ours = score(texts, find)
    lines = {kind: f"  {kind:14s} {numbers(one)}" for kind, one in sorted(ours.items())}
    targets = []
    for peer, there in finders().items():
        for kind, (one, least) in best_scores(there, texts).items() if there is not None else ():
            lines[kind] += f"; {peer} {numbers(one)} from a score of {least:.2f}"
            targets.append(Target(f"privacy, {kind} beside {peer}", ours[kind].f1, "F1", one.f1))
    yield from lines.values()
    yield from targets


def best_scores(peer: Finder, texts: Sequence[Labelled]) -> dict[str, tuple[Score, float]]:
    """By kind, the highest F1 and the least score from which on it is reached."""
    found = {one.text: peer(one.text) for one in texts}
    reached: dict[str, tuple[Score, float]] = {}
    for least in sorted({sure for spans in found.values() for sure, _ in spans}):
        for kind, one in score(texts, partial(at_least, found, least)).items():
            if one.right and (kind not in reached or one.f1 > reached[kind][0].f1):
                reached[kind] = one, least
    return reached


def at_least(found: Mapping[str, Sequence[tuple[float, Span]]], least: float, text: str) -> list[Span]:
    """What was found in a text and is as sure as that."""
    return best(found[text], least)


def numbers(one: Score) -> str:
    """Precision, recall, F1."""
    return f"P {one.precision:.3f} R {one.recall:.3f} F1 {one.f1:.3f}"


def blocked_words(prose: Sequence[str]) -> Iterator[str | Target]:
    """Lists of several lengths; beside one regular expression, as C4's and datatrove's filters have it."""
    column = pa.array(prose, pa.large_string())
    some = prose[: len(prose) // 40]
    for length in LISTS:
        words = tuple(f"no such {number:x}" if number % 3 else f"unheard{number:x}of" for number in range(length))
        ours = speed(partial(count, column, BlockedWords(words=words)), prose)
        yield Target(f"privacy, {length:,} blocked words", ours, "MB/s a core", TO_REACH)
        if length <= SOME:
            pattern = re.compile(rf"(?:\W|^)({'|'.join(map(re.escape, words))})(?:\W|$)", re.IGNORECASE)
            theirs = speed(each(pattern.search, some), some, times=1)
            yield f"  a regular expression                  {beside(theirs, ours)}"
        if (search := aho_corasick(words)) is None:
            yield "  ahocorasick_rs is not installed: nothing to compare with"
        else:
            theirs = speed(each(search, prose), prose, times=2)
            yield f"  ahocorasick_rs, also within words     {beside(theirs, ours)}"
