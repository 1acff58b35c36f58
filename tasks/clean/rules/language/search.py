"""Language prediction: averages the rows of words and character n-grams and descends the softmax tree.

In:  the UTF-8 bytes and offsets of a column, and the model's tables. `find_pieces` selects the pieces of each text to
judge; a short text is one piece. Out: the most likely label of each text, its probability, and the probability of one
given label, as by fastText's `predict`; linear in the size of the pieces.
"""

from typing import Any, NamedTuple

import numpy as np

from tasks.clean.compiled import array_kernel, helper, int64, kernel
from tasks.clean.rules.language.model import BUCKET, MAXN, MINN, WIDTH
from tasks.clean.rules.text_bytes import same

FNV, PRIME = np.uint32(2166136261), np.uint32(16777619)
SIGN = np.uint32(0xFFFFFF00)
MOST, SHORT = 0.8, 5
"""Texts with a larger fraction of capitals among their letters are lower-cased, unless they are this short."""
LABEL = np.frombuffer(b"__label__", np.uint8)
LONGEST_WORD = 100
"""Maximum number of bytes to search for a blank to start a piece after."""
REMEMBERED = 1 << 12
"""Size of the word cache, a power of two: most words of a text have occurred before."""
LITTLE = 1e-5
"""fastText's epsilon inside the logarithm."""


class Memory(NamedTuple):
    """Word cache: offset and size in bytes, number of rows, and their sum."""

    starts: Any
    sizes: Any
    counts: Any
    sums: Any


@kernel
def find_pieces(data: Any, offsets: Any, limit: int, starts: Any, stops: Any) -> None:
    """Fill in `starts` and `stops` [documents, pieces]; the pieces of longer texts are evenly spaced.

    Joined by blanks, they have at most `limit` characters. Takes constant time per text.
    """
    pieces = starts.shape[1]
    each = (limit + 1) // pieces - 1
    for d in range(len(starts)):
        start, stop = offsets[d], offsets[d + 1]
        starts[d], stops[d] = stop, stop
        if _end_of(data, start, stop, limit) == stop:
            starts[d, 0] = start
            continue
        at = start
        for p in range(pieces):
            end = _border(data, start + (stop - start) * (p + 1) // pieces, stop)
            starts[d, p] = _behind_blank(data, at, end) if p else at
            stops[d, p] = _end_of(data, starts[d, p], end, each)
            at = end


@array_kernel
def identify_texts(
    data: Any, starts: Any, stops: Any, valid: Any, tables: Any, way: Any, labels: Any, scores: Any, wanted: Any
) -> None:
    """Fill in `labels` and `scores` [documents] from the pieces of each valid text; the label is -1 for others.

    Also fills in `wanted` [documents], the probability of the label at the end of `way`; 0 if `way` is empty.
    """
    hidden, word = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    memory = Memory(
        np.zeros(REMEMBERED, np.int64),
        np.zeros(REMEMBERED, np.int64),
        np.zeros(REMEMBERED, np.int64),
        np.empty((REMEMBERED, WIDTH), np.float32),
    )
    waiting, reached = np.empty(len(tables.children) + 2, np.int32), np.empty(len(tables.children) + 2, np.float64)
    for d in range(len(labels)):
        labels[d], scores[d], wanted[d] = -1, 0, 0
        if not valid[d]:
            continue
        hidden[:] = 0
        count = 0
        for p in range(starts.shape[1]):
            count += _add_words(data, starts[d, p], stops[d, p], tables, memory, word, hidden)
        if tables.end_of_line >= 0:
            _add_row(hidden, tables.rows, tables.end_of_line)
            count += 1
        if count:
            for k in range(WIDTH):
                hidden[k] /= count
            labels[d], scores[d] = _likeliest(tables, hidden, waiting, reached)
            if len(way):
                wanted[d] = _score(tables, hidden, way)


@kernel
def find_capitals(data: Any, starts: Any, stops: Any, found: Any) -> None:
    """Fill in `found` [documents]: 1 if most ASCII letters are capitals, else -1 if none is lower-case, else 0."""
    for d in range(len(found)):
        characters = capitals = small = 0
        for p in range(starts.shape[1]):
            for at in range(starts[d, p], stops[d, p]):
                characters += data[at] & 0xC0 != 0x80
                capitals += 0x41 <= data[at] <= 0x5A
                small += 0x61 <= data[at] <= 0x7A
        found[d] = 1 if characters > SHORT and capitals > MOST * (capitals + small) else 0 if small else -1


@helper
def _end_of(data: Any, at: int, stop: int, limit: int) -> int:
    """The position `limit` characters ahead."""
    while at < stop:
        if data[at] & 0xC0 != 0x80:
            if limit == 0:
                return at
            limit -= 1
        at += 1
    return stop


@helper
def _border(data: Any, at: int, stop: int) -> int:
    """The start of the next character."""
    while at < stop and data[at] & 0xC0 == 0x80:
        at += 1
    return at


@helper
def _behind_blank(data: Any, at: int, stop: int) -> int:
    """The position after the next blank, or `at` if no blank is near, as in scripts without spaces."""
    for place in range(at, min(at + LONGEST_WORD, stop)):
        if _is_blank(data[place]):
            return int64(place + 1)
    return at


@helper
def _is_blank(byte: int) -> bool:
    """Whether fastText splits words at this byte."""
    return byte == 0x20 or 0x09 <= byte <= 0x0D or byte == 0


@helper
def _hashed(number: Any, byte: Any) -> Any:
    signed = np.uint32(byte) if byte < 0x80 else np.uint32(byte) | SIGN
    return np.uint32((number ^ signed) * PRIME)


@helper
def _add_row(hidden: Any, rows: Any, row: int) -> None:
    for k in range(WIDTH):
        hidden[k] += rows[row, k]


@helper
def _add_words(data: Any, at: int, stop: int, tables: Any, memory: Any, word: Any, hidden: Any) -> int:
    """Adds the rows of the words between two positions and of their n-grams; returns the number of rows."""
    count = 0
    while at < stop:
        if _is_blank(data[at]):
            at += 1
            continue
        start, number = at, FNV
        while at < stop and not _is_blank(data[at]):
            number = _hashed(number, data[at])
            at += 1
        slot = np.int64(number ^ (number >> np.uint32(15))) & (REMEMBERED - 1)
        if not _is_remembered(data, start, at, memory, slot):
            known = _word_at(data, start, at, number, tables)
            if known >= 0 and known == tables.end_of_line:  # literally `</s>`: fastText stops reading here
                break
            memory.starts[slot], memory.sizes[slot] = start, at - start
            memory.counts[slot] = _sum_word(data, start, at, known, tables, word)
            for k in range(WIDTH):
                memory.sums[slot, k] = word[k]
        count += memory.counts[slot]
        _add_row(hidden, memory.sums, slot)
    return count


@helper
def _is_remembered(data: Any, start: int, stop: int, memory: Any, slot: int) -> bool:
    """Whether a cache slot holds this word."""
    size = memory.sizes[slot]
    return size == stop - start and same(data, start, data, memory.starts[slot], size)


@helper
def _sum_word(data: Any, start: int, stop: int, known: int, tables: Any, word: Any) -> int:
    """Sums the rows of a word (if known) and of its n-grams; returns the number of rows."""
    for k in range(WIDTH):
        word[k] = 0
    if known >= 0:
        _add_row(word, tables.rows, known)
    elif _is_label(data, start, stop):
        return 0
    return (known >= 0) + _add_grams(data, start, stop, tables, word)


@helper
def _word_at(data: Any, start: int, stop: int, number: Any, tables: Any) -> Any:
    """The index of this word, or -1."""
    last = len(tables.word_slots) - 1
    slot = np.int64(number) & last
    while tables.word_slots[slot] >= 0:
        word = np.int64(tables.word_slots[slot])
        if tables.word_hashes[word] == number:
            begin = tables.word_ends[word - 1] if word else np.int64(0)
            size = tables.word_ends[word] - begin
            if size == stop - start and same(data, start, tables.word_bytes, begin, size):
                return word
        slot = (slot + 1) & last
    return -1


@helper
def _is_label(data: Any, start: int, stop: int) -> bool:
    """fastText does not count `__label__…` as a word."""
    return stop - start >= len(LABEL) and same(data, start, LABEL, 0, len(LABEL))


@helper
def _byte(data: Any, start: int, stop: int, at: int) -> Any:
    """A byte of a word padded with `<` and `>`."""
    return np.uint8(0x3C) if at < start else np.uint8(0x3E) if at >= stop else data[at]


@helper
def _add_grams(data: Any, start: int, stop: int, tables: Any, hidden: Any) -> int:
    """Adds the rows of the n-grams of a word; returns how many the model kept."""
    count, last = 0, len(tables.gram_slots) - 1
    for begin in range(start - 1, stop + 1):
        if _byte(data, start, stop, begin) & 0xC0 == 0x80:
            continue
        at, number = begin, FNV
        for n in range(1, MAXN + 1):
            if at > stop:
                break
            number = _hashed(number, _byte(data, start, stop, at))
            at += 1
            while at < stop and data[at] & 0xC0 == 0x80:
                number = _hashed(number, data[at])
                at += 1
            if n < MINN or (n == 1 and (begin < start or at > stop)):
                continue
            gram = np.int64(number) % BUCKET
            if not (tables.kept[gram >> 6] >> np.uint64(gram & 63)) & np.uint64(1):
                continue
            slot = gram & last
            while tables.gram_slots[slot] != gram:
                slot = (slot + 1) & last
            _add_row(hidden, tables.rows, np.int64(tables.gram_rows[slot]))
            count += 1
    return count


@helper
def _likeliest(tables: Any, hidden: Any, waiting: Any, reached: Any) -> Any:
    """The label with the highest probability along its path."""
    labels = len(tables.children) + 1
    best, found, depth = -np.inf, np.int64(-1), 1
    waiting[0], reached[0] = 2 * labels - 2, 0.0
    while depth:
        depth -= 1
        node, score = np.int64(waiting[depth]), reached[depth]
        if score < best:
            continue
        if node < labels:
            best, found = score, node
            continue
        right = _right(tables, hidden, node - labels)
        first = np.int64(right >= 0.5)  # the likelier branch first; the other can usually be pruned
        for way in (1 - first, first):
            chance = right if way else 1 - right
            waiting[depth], reached[depth] = tables.children[node - labels, way], score + np.log(chance + LITTLE)
            depth += 1
    return found, np.exp(best)


@helper
def _score(tables: Any, hidden: Any, way: Any) -> Any:
    """The product of the probabilities along a path."""
    score = 0.0
    for step in range(len(way)):
        right = _right(tables, hidden, np.int64(way[step, 0]))
        score += np.log((right if way[step, 1] else 1 - right) + LITTLE)
    return np.exp(score)


@helper
def _right(tables: Any, hidden: Any, node: int) -> Any:
    """The probability of the right branch at an inner node."""
    product = np.float32(0)
    for k in range(WIDTH):
        product += tables.nodes[node, k] * hidden[k]
    return 1 / (1 + np.exp(-np.float64(product)))
