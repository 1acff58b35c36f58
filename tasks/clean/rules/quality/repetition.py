"""Repeated n-grams of a document: kernels on word numbers; exact, with no risk of hash collisions.

Every n-gram that occurs twice gets a number, derived from the numbers of its two (n-1)-grams as Karp, Miller and
Rosenberg (1972) name repeated patterns: two pairs are equal if and only if the n-grams are. An n-gram that occurs once
has no number (ONCE), nor does any longer n-gram around it, so little is left to do after n = 3.

In:  the number of each word (equal words, equal numbers), and the characters before it.
Out: characters of the most frequent n-gram, and of the duplicate ones.
"""

from typing import Any

import numpy as np

from tasks.clean.compiled import helper
from tasks.clean.rules.quality.word_bytes import ZERO, cleared, slot_of

ONCE = -1


@helper
def first_numbers(words: Any, counts: Any, size: int, numbers: Any, places: Any) -> int:
    """Number the 1-grams: fill `numbers` [size + 1], ONCE for words that `counts` has once, and `places`, the others.

    Returns the number of such places.
    """
    there = ZERO
    for at in range(size):
        numbers[at] = ONCE
        if counts[words[at]] > 1:
            numbers[at] = words[at]
            places[there] = at
            there += 1
    numbers[size] = ONCE
    return there


@helper
def next_numbers(
    numbers: Any, places: Any, there: int, size: int, counts: Any, firsts: Any, keys: Any, slots: Any
) -> tuple[int, int]:
    """Turn (n-1)-grams into n-grams in place; `size` is the number of n-grams.

    `counts` and `firsts` receive each number's count and first place, in the order of first places and including
    n-grams that occur once; `keys` and `slots` are a hash table with twice as many slots as words. Returns the number
    of places that keep a number, and of numbers assigned.
    """
    mask = cleared(slots, there)
    given, kept = ZERO, ZERO
    for k in range(there):
        at = places[k]
        left, right = numbers[at], numbers[at + 1]
        numbers[at] = ONCE
        if right < 0 or at >= size:
            continue
        key = np.uint64(left) << np.uint64(32) | np.uint64(right)
        slot = slot_of(key, mask)
        while slots[slot] >= 0 and keys[slot] != key:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            keys[slot], slots[slot] = key, given
            counts[given], firsts[given] = 0, at
            given += 1
        number = slots[slot]
        counts[number] += 1
        numbers[at], places[kept] = number, at
        kept += 1
    left_over = ZERO
    for k in range(kept):
        at = places[k]
        if counts[numbers[at]] == 1:
            numbers[at] = ONCE
        else:
            places[left_over] = at
            left_over += 1
    return left_over, given


@helper
def top_characters(n: int, words: int, counts: Any, firsts: Any, given: int, before: Any) -> int:
    """Characters of the most frequent n-gram, with a space between its words, times its count.

    Ties go to the first; if every n-gram occurs once, that is the document's first.
    """
    if words < n:
        return 0
    first, most = 0, 1
    for number in range(given):
        if counts[number] > most:
            first, most = firsts[number], counts[number]
    return (before[first + n] - before[first] + n - 1) * most


@helper
def duplicate_characters(n: int, numbers: Any, places: Any, there: int, given: int, before: Any, seen: Any) -> int:
    """Characters of n-grams that occurred before, from left to right, each character counted once.

    An n-gram that begins within a duplicate is neither counted nor remembered. `seen` is scratch.
    """
    seen[:given] = 0
    total, free = 0, 0
    for k in range(there):
        at = places[k]
        if at < free:
            continue
        if seen[numbers[at]]:
            total += before[at + n] - before[at]
            free = at + n
        else:
            seen[numbers[at]] = 1
    return total
