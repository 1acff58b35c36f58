"""Split text into sentences by a fixed rule, without a model, abbreviation list or download.

A sentence ends at a line break; at . ! ? … (and closing quotes or brackets) before white space, unless a lowercase
letter follows; and at 。！？, which need no white space.
"""

import re

ENDS = re.compile(
    r"\s*\n\s*"
    r"|(?:(?<=[.!?…])|(?<=[.!?…][\"'”’»)\]]))\s+"
    r"|(?:(?<=[。！？])|(?<=[。！？][」』”’）]))(?![」』”’）])"
)
PARAGRAPHS = re.compile(r"\n\s*\n")


def split_sentences(text: str) -> list[str]:
    """The non-empty sentences of a text, in order."""
    sentences, start = [], 0
    for end in ENDS.finditer(text):
        following = text[end.end() : end.end() + 1]
        if "\n" not in end.group() and end.group() and following.islower():
            continue
        sentences.append(text[start : end.start()])
        start = end.end()
    sentences.append(text[start:])
    return [sentence.strip() for sentence in sentences if sentence.strip()]


def first_sentence(text: str) -> str:
    """The first sentence of a text's first paragraph, ignoring its line breaks; empty for an empty text."""
    paragraph = PARAGRAPHS.split(text.strip(), maxsplit=1)[0]
    return next(iter(split_sentences(" ".join(paragraph.split()))), "")
