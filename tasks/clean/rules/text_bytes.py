"""Compiled helpers for UTF-8 bytes that several rules share."""

from typing import Any

import numpy as np

from tasks.clean.compiled import helper, int64


@helper
def character_at(text: Any, at: int, end: int) -> tuple[np.int64, int]:
    """The code point at a position of UTF-8 and its width in bytes (RFC 3629, section 3); never reads past the end."""
    byte = int64(text[at])
    if byte < 0x80:
        return byte, 1
    if byte < 0xE0 and at + 1 < end:
        return (byte & 0x1F) << 6 | text[at + 1] & 0x3F, 2
    if 0xE0 <= byte < 0xF0 and at + 2 < end:
        return (byte & 0x0F) << 12 | int64(text[at + 1] & 0x3F) << 6 | text[at + 2] & 0x3F, 3
    if byte < 0xF0 or at + 3 >= end:  # not valid
        return byte, 1
    high = (byte & 0x07) << 18 | int64(text[at + 1] & 0x3F) << 12
    return high | int64(text[at + 2] & 0x3F) << 6 | text[at + 3] & 0x3F, 4


@helper
def same(one: Any, start: int, other: Any, begin: int, length: int) -> bool:
    """Are this many bytes equal?"""
    for k in range(length):  # noqa: SIM110 (numba has no generators within kernels)
        if one[start + k] != other[begin + k]:
            return False
    return True
