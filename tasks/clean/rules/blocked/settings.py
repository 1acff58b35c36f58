"""The recipe's section `clean.blocked_words`."""

from typing import Annotated

from pydantic import Field

from tasks.stage.settings import Section

LONGEST = 200

Words = Annotated[str, Field(max_length=LONGEST, pattern=r"\S")]


class BlockedWords(Section):
    """Your own blocked words and phrases; a document that exceeds both thresholds is dropped.

    Matching ignores case and finds whole words: `ass` does not match `class`. In scripts without spaces between words,
    such as Chinese, Japanese and Thai, matches can be anywhere. White space in a phrase matches any white space,
    including line breaks. All other characters match literally: `c++`, `@$$`, `🖕`.
    """

    words: Annotated[tuple[Words, ...], Field(min_length=1)]
    """Words and phrases, at most 200 characters each."""
    threshold: Annotated[int, Field(ge=0)] = 0
    """Blocked words allowed per document. C4 allows none (Raffel et al. 2020, arXiv 1910.10683, section 2.2)."""
    threshold_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of a document's words that may be blocked; useful when document lengths vary widely."""
