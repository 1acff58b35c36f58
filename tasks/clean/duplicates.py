"""Exact duplicates, by the hash of the cleaned text: the first one in corpus order stays.

Targets and labels make no difference: a text that is there twice, with two translations, is not on both sides of a
split, and no source text of the test split was trained on.

Only hashes are kept: about 100 bytes a document that stays.
"""

from collections.abc import Sequence


class FirstSeen:
    """Remembers the hashes that it was shown."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def duplicates(self, digests: Sequence[bytes], staying: Sequence[bool]) -> list[bool]:
        """For each document in corpus order: does it stay by all other rules, and was its text there before?"""
        found = []
        for digest, stays in zip(digests, staying, strict=True):
            found.append(stays and digest in self._seen)
            if stays:
                self._seen.add(digest)
        return found
