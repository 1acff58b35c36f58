"""Text as bytes, for splitting it into words: tables of classes and roles, characters, and the keys of words."""

import string
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.clean.compiled import helper, int64
from tasks.clean.rules.quality.characters import BLOCK, IDEOGRAPH, LETTER, UNSPACED, classes
from tasks.clean.rules.quality.contractions import LONGEST, pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKED = 7
"""Bytes of a word that fit into its key as they are."""
LONG = np.uint64(1 << 63)
"""In the key of a longer word, whose other bits are a hash: there the bytes are compared too."""
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: upper bits of a product with it depend on all bits of a key (Knuth, volume 3, 6.4)."""

OTHER = 1 << 15
"""In the table of the first 256 codes: a byte of a character beyond ASCII."""
ELLIPSIS = 0x2026
STOP, COMMA, MINUS, PLUS, COLON, SLASH, AT, APOSTROPHE = (ord(character) for character in ".,-+:/@'")
RIGHT_QUOTE = 0x2019
BETWEEN_DIGITS, BETWEEN_WORDS, IN_SCHEME, IN_LABEL, SMALL_LETTER, WITHIN_LABEL, AFTER_HOST, POSSESSIVE = (
    1 << bit for bit in range(8)
)
ROLES = {
    BETWEEN_DIGITS: "+-*^",
    BETWEEN_WORDS: ":<>=/",
    IN_SCHEME: string.ascii_letters + string.digits + "+-.",
    IN_LABEL: string.ascii_letters + string.digits,
    SMALL_LETTER: string.ascii_lowercase,
    WITHIN_LABEL: "-_",
    AFTER_HOST: "/?#",
    POSSESSIVE: "sS",
}
"""What a character of ASCII may be within a word."""
U1, U2, U3, U4, U5, U6, U7 = (np.uint64(number) for number in range(1, 8))
U8, U16, U24, U32, U40, U48, U56 = (np.uint64(8 * number) for number in range(1, 8))
SMALL, LOW_BITS, HIGH_BITS, FROM_A, FROM_BRACE = (
    np.uint64(0x0101010101010101 * byte) for byte in (0x20, 0x7F, 0x80, 0x80 - ord("a"), 0x80 - ord("{"))
)
"""The same byte eight times."""
PLACES = np.uint64(0x0001020304050607)
"""Times 256^k, its highest byte is k."""
EIGHT_ONES = np.uint64(0x0101010101010101)
"""Times eight bytes, its highest byte is their sum."""
NO_SPECIAL = -1
ZERO: Any = np.int64(0)
"""Not the literal: numba compiles every function that it is handed to once for each of the two types."""


def key_of_word(raw: bytes) -> int:
    """The key of a word, as the kernels have it (`key_of`)."""
    if len(raw) <= PACKED:
        return len(raw) << 56 | int.from_bytes(raw, "little")
    whole = len(raw) // 8 * 8
    eights = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, whole, 8)]
    key = len(raw)
    for number in (*eights, *raw[whole:]):
        key = (key ^ number) * int(SPREAD) % 2**64
        key ^= key >> 29
    return key | int(LONG)


def table_of_bytes() -> "NDArray[np.uint16]":
    """Classes by first byte [256]: those of ASCII characters, OTHER for all others."""
    first = np.full(256, OTHER, np.uint16)
    first[:BLOCK] = BLOCKS[PAGES[0] * BLOCK :][:BLOCK]
    return first


def table_of_roles() -> "NDArray[np.uint8]":
    """Bits of a byte within a word [256]."""
    found = np.zeros(256, np.uint8)
    for bit, characters in ROLES.items():
        found[list(characters.encode())] |= bit
    return found


def table_of_specials() -> tuple["NDArray[np.uint64]", "NDArray[np.uint8]", "NDArray[np.int64]"]:
    """Contractions and abbreviations by their keys: open addressing in a power of two of slots.

    Keys [slots], 0 for an empty slot; bytes of the words [slots, LONGEST]; how many of them are the first piece, 0
    where the word stays whole.
    """
    listed = pieces()
    slots = 1 << (2 * len(listed)).bit_length()
    keys, words, cuts = np.zeros(slots, np.uint64), np.zeros((slots, LONGEST), np.uint8), np.zeros(slots, np.int64)
    for word, parts in listed.items():
        raw = word.encode()
        key = key_of_word(raw)
        slot = (key * int(SPREAD) % 2**64 >> 32) % slots
        while keys[slot]:
            slot = (slot + 1) % slots
        keys[slot], words[slot, : len(raw)] = key, np.frombuffer(raw, np.uint8)
        cuts[slot] = len(parts[0].encode()) if len(parts) > 1 else 0
    return keys, words, cuts


def lengths_of(words: Iterable[str]) -> int:
    """A bit for each length, in bytes, that one of the words has."""
    return sum({1 << len(word.encode()) for word in words})


# What a kernel looks up is compiled into it: an array that is handed from function to function is counted at each call,
# which took most of the time.
PAGES, BLOCKS = classes()
ASCII = table_of_bytes()
ROLE = table_of_roles()
SPECIAL_KEYS, SPECIAL_WORDS, SPECIAL_CUTS = table_of_specials()
LETTERS_LENGTHS = lengths_of(word for word in pieces() if word.isalpha())
STOPPED_LENGTHS = lengths_of(word for word in pieces() if word[:-1].isalpha() and word.endswith("."))
"""Of the listed words that are letters only, or letters and a full stop."""


@helper
def code_at(text: Any, at: int, stop: int) -> tuple[int, int]:
    """The code point that begins at a byte, and its bytes; what is no UTF-8 is U+FFFD, and one byte."""
    lead = int64(text[at])
    if lead < 0x80:
        return lead, 1
    width = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or lead > 0xF4 or at + width > stop:
        return 0xFFFD, 1
    code = lead & (0x7F >> width)
    for k in range(1, width):
        code = code << 6 | (int64(text[at + k]) & 0x3F)
    return min(code, 0x10FFFF), width


@helper
def bits_of(code: int) -> int:
    """The classes of a code point."""
    return int64(BLOCKS[int64(PAGES[code >> 7]) << 7 | code & 127])


@helper
def bits_at(text: Any, at: int, stop: int) -> tuple[int, int]:
    """Of the character that begins at a byte: its classes, its bytes."""
    bits, width = int64(ASCII[text[at]]), int64(1)
    if bits & OTHER:
        code, width = code_at(text, at, stop)
        bits = bits_of(code)
    return bits, width


@helper
def letters_a_word(bits: int) -> int:
    """How many letters of its script count as a word, 0 if spaces separate its words."""
    return 2 if bits & IDEOGRAPH else 4 if bits & UNSPACED else 0


@helper
def character_before(text: Any, start: int, at: int) -> tuple[int, int, int]:
    """Of the character that ends before a byte: its code, its classes, its bytes. Nothing is 0, 0, 0."""
    if at <= start:
        return ZERO, ZERO, ZERO
    begin = at - 1
    while begin > start and begin > at - 4 and text[begin] & 0xC0 == 0x80:
        begin -= 1
    code, _ = code_at(text, begin, at)
    return code, bits_of(code), at - begin


@helper
def eight(text: Any, start: int) -> Any:
    """Eight bytes as one number, the first the lowest: written so that the compiler makes a single load of it."""
    at = np.uint64(start)
    low = np.uint64(text[at]) | np.uint64(text[at + U1]) << U8 | np.uint64(text[at + U2]) << U16
    low |= np.uint64(text[at + U3]) << U24 | np.uint64(text[at + U4]) << U32 | np.uint64(text[at + U5]) << U40
    return low | np.uint64(text[at + U6]) << U48 | np.uint64(text[at + U7]) << U56


@helper
def equal_bytes(one: Any, other: Any) -> Any:
    """The highest bit of each of eight bytes that are the same in both."""
    differs = one ^ other
    return ~((differs & LOW_BITS) + LOW_BITS | differs | LOW_BITS)


@helper
def first_of(bits: Any) -> int:
    """The place of the first of eight bytes whose highest bit is set; no other bit is, and one is."""
    return int64(((bits & (~bits + U1)) >> U7) * PLACES >> U56)


@helper
def count_of(bits: Any) -> int:
    """Of how many of eight bytes the highest bit is set; no other bit is."""
    return int64((bits >> U7) * EIGHT_ONES >> U56)


@helper
def key_of(text: Any, start: int, stop: int) -> Any:
    """The key of a word: up to seven bytes and how many they are, or LONG and a hash."""
    length = stop - start
    if length > PACKED:
        return hash_of(text, start, stop)
    key = np.uint64(0)
    if start + 8 <= len(text):
        key = eight(text, start) & ((U1 << np.uint64(8 * length)) - U1)
    else:
        for k in range(length):
            key |= np.uint64(text[start + k]) << np.uint64(8 * k)
    return key | np.uint64(length) << U56


@helper
def hash_of(text: Any, start: int, stop: int) -> Any:
    """LONG and 63 bits of a hash of some bytes."""
    key = np.uint64(stop - start)
    while start + 8 <= stop:
        key = (key ^ eight(text, start)) * SPREAD
        key ^= key >> np.uint64(29)
        start += 8
    while start < stop:
        key = (key ^ np.uint64(text[start])) * SPREAD
        key ^= key >> np.uint64(29)
        start += 1
    return key | LONG


@helper
def letters_from(text: Any, start: int) -> int:
    """How many letters of ASCII stand in a row from a place on; eight bytes at a time, as far as there are eight."""
    at = start
    while at + 8 <= len(text):
        bytes_there = eight(text, at)
        lower = (bytes_there | SMALL) & LOW_BITS
        # The highest bit of each byte: set from `a` on, and not set from `{` on; not set beyond ASCII.
        others = ~((lower + FROM_A) & ~(lower + FROM_BRACE) & ~bytes_there) & HIGH_BITS
        if others:
            return at - start + first_of(others)
        at += 8
    while at < len(text) and ASCII[text[at]] & LETTER:
        at += 1
    return at - start


@helper
def slot_of(key: Any, mask: int) -> int:
    """Where a key is sought first, in a table with so many slots and one."""
    return int64((key * SPREAD >> U32) & np.uint64(mask))


@helper
def cleared(slots: Any, count: int) -> int:
    """Empty a hash table for `count` keys; returns the mask of its slots."""
    size = slots_for(count)
    slots[:size] = -1
    return size - 1


@helper
def slots_for(count: int) -> int:
    """A power of two, at least twice the number of keys."""
    size = 2
    while size < 2 * count:
        size *= 2
    return size
