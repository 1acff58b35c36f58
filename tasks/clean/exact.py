"""Exact duplicates, by the hash of the cleaned text: of the same text, the document with the most right to it stays.

Targets and labels make no difference: a text that is there twice, with two translations, is not on both sides of a
split, and no source text of the test split was trained on.
"""

import numpy as np
from numpy.typing import NDArray

PRIORITY = {"test": 0, "validation": 1, "train": 2}
"""By split: of documents that share text, the one with the least number keeps it."""
GONE = 255
"""The number of a dropped document."""


def exact_duplicates(
    digests: NDArray[np.uint64], priorities: NDArray[np.uint8], stays: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Documents that go, in ascending order, and for each of them the one that stays [duplicates].

    `digests`: 128 bits of each text [documents, 2]. Of the documents that `stays` names, the one with the least
    priority number has the most right to a text, the first of these in corpus order. Takes some 50 bytes a document.
    """
    among = np.flatnonzero(stays)
    among = among[np.argsort(priorities[among], kind="stable")]
    among = among[np.lexsort((digests[among, 1], digests[among, 0]))]  # stable: the one that stays comes first
    new = np.ones(len(among), np.bool_)
    new[1:] = (digests[among[1:]] != digests[among[:-1]]).any(axis=1)
    keepers = among[np.flatnonzero(new)][np.cumsum(new) - 1]
    gone, keepers = among[~new], keepers[~new]
    order = np.argsort(gone)
    return gone[order], keepers[order]
