"""Which words are blocked, and how many of them a document may have."""

from typing import Annotated

from pydantic import Field

from tasks.stage.settings import Section

LONGEST = 200

Words = Annotated[str, Field(max_length=LONGEST, pattern=r"\S")]


class BlockedWords(Section):
    """Words and phrases of a user's own; a document with more of them than both thresholds allow is dropped.

    They are found whatever their case, as whole words: `ass` is not in `class`. In Chinese, Japanese, Thai and other
    scripts that have no blanks between words they are found anywhere. Any blanks, also line ends, stand for those of a
    phrase. Other characters stand for themselves: `c++`, `@$$`, `🖕`.
    """

    words: Annotated[tuple[Words, ...], Field(min_length=1)]
    """Words and phrases of at most 200 characters."""
    threshold: Annotated[int, Field(ge=0)] = 0
    """So many in a document are still allowed. C4 (Raffel et al. 2020, arXiv 1910.10683, section 2.2) drops at one."""
    threshold_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """So many of the words of a document are still allowed, for documents of very different length."""
