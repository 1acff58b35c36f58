"""Repeated n-grams of a document: kernels on the numbers of its words, exact, without a hash that could deceive.

Every n-gram that is there twice gets a number of its own, made from the numbers of the two (n-1)-grams in it, as
Karp, Miller and Rosenberg (1972) name repeated patterns: two pairs are the same if and only if the n-grams are. What
is there once has none (ONCE), nor has any longer n-gram around it, so that little is left to look at behind n = 3.

In:  the number of each word (equal words, equal numbers), and how many characters stand before it.
Out: characters of the most frequent n-gram, and of the duplicate ones.
"""

from typing import Any

import numpy as np

from tasks.clean.compiled import helper
from tasks.clean.rules.quality.word_bytes import ZERO, slot_of

ONCE = -1


@helper
def first_numbers(words: Any, counts: Any, size: int, numbers: Any, places: Any) -> int:
    """Of 1-grams: `numbers` [size + 1] at each place, ONCE where `counts` says so, and `places` that have another.

    Returns how many such places there are.
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
    """From (n-1)-grams to n-grams, in place; `size` is how many of these there are.

    `counts` and `firsts` take how often each number is there and where first, in the order of their first places,
    those that are there once among them; `keys` and `slots` are a hash table with twice as many slots as there are
    words. Returns how many places with a number are left, and how many numbers were given.
    """
    mask = 2
    while mask < 2 * there:
        mask *= 2
    slots[:mask] = ONCE
    mask -= 1
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
    """Characters of the most frequent n-gram, with a space between its words, times how often it is there.

    Of several as frequent, the first; where each is there once, so the first of all.
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
    """Characters of n-grams that were there before, read from the left, none of them counted twice.

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
