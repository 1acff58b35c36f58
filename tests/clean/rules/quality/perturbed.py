"""Synthetic English texts, texts changed so that some just meet and some just miss each rule, and hostile texts."""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

Change = Callable[[str, random.Random], str]

GRAMMAR = "the of and to in a is that for it as with be on not by this are or from at which have an was has we can"
SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er")]
UNITS = {
    "a letter": "a",
    "blanks": " ",
    "line feeds": "\n",
    "carriage returns": "\r",
    "full stops": ".",
    "stops and blanks": ". ",
    "hyphens": "-",
    "letters and hyphens": "a-",
    "quotes": '"',
    "brackets": "[",
    "closing brackets": "]",
    "digits in brackets": "[1",
    "digits before brackets": "1]",
    "hashes": "#",
    "ellipses": "…",
    "at signs": "@",
    "labels": "a.",
    "host and port": "a.b:",
    "schemes": "a://",
    "contractions": "n't",
    "possessives": "'s",
    "commas": "a,",
    "words": "the end ",
    "two words, two lines": "a b\n\n",
    "emoji": "😀",
    "families": "👩\u200d👩\u200d👧",
    "flags": "🇩🇪",
    "combining marks": "\u0301",
    "marked letters": "e\u0301",
    "zero-width spaces": "\u200b",
    "byte order marks": "\ufeff",
    "joiners": "\u200d",
    "Hebrew": "שלום ",
    "Arabic": "مرحبا، ",
    "direction marks": "\u202eabc\u202c",
    "Chinese": "中文。",
    "NUL": "\0",
    "private": "\U0010ffff",
    "phrases half": "lorem ipsu",
    "policies half": "use cookie",
    "citations half": "[citation neede",
}
"""Units that hostile texts repeat up to a million bytes."""
MARKS = [*["."] * 12, "?", "!", ".)", '."', ":"]


def made(documents: int, seed: int) -> list[str]:
    """Texts of paragraphs of sentences: a third of the words are function words, the others follow Zipf's law."""
    chance = random.Random(seed)
    vocabulary = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(8000)]
    grammar = GRAMMAR.split()
    weights = list(accumulate(1 / (rank + 20) for rank in range(len(vocabulary))))

    def sentence() -> str:
        size = chance.randint(4, 24)
        words = chance.choices(vocabulary, cum_weights=weights, k=size)
        for place in range(0, size, 3):
            words[place] = chance.choice(grammar)
        if size > 10:
            words[size // 2] += chance.choice([",", ",", ";", " -", "'s"])
        return " ".join(words).capitalize() + chance.choice(MARKS)

    def paragraph() -> str:
        return " ".join(sentence() for _ in range(chance.randint(1, 6)))

    return ["\n\n".join(paragraph() for _ in range(chance.randint(1, 9))) for _ in range(documents)]


def perturbed(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` of the texts, drawn with replacement, each changed in one to three ways."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        text = chance.choice(texts)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            text = chance.choice(CHANGES)(text, chance)
        found.append(text)
    return found


def _lines_again(text: str, chance: random.Random) -> str:
    lines = text.split("\n")
    line = chance.choice([line for line in lines if line] or ["a line"])
    for _ in range(chance.randint(1, max(2, len(lines) // 2))):
        lines.insert(chance.randrange(len(lines) + 1), line)
    return "\n".join(lines)


def _paragraphs_again(text: str, chance: random.Random) -> str:
    paragraphs = text.split("\n\n")
    for _ in range(chance.randint(1, len(paragraphs))):
        paragraphs.insert(chance.randrange(len(paragraphs) + 1), chance.choice(paragraphs))
    return "\n\n".join(paragraphs)


def _words_again(text: str, chance: random.Random) -> str:
    words = text.split(" ")
    size = chance.randint(2, 12)
    start = chance.randrange(max(1, len(words) - size))
    again = words[start : start + size]
    for _ in range(chance.randint(1, 1 + len(words) // (size * 3))):
        place = chance.randrange(len(words) + 1)
        words[place:place] = again
    return " ".join(words)


def _sprinkled(*marks: str, most: float) -> Change:
    def change(text: str, chance: random.Random) -> str:
        share, mark = chance.uniform(0, most), chance.choice(marks)
        return " ".join(f"{word} {mark}" if chance.random() < share else word for word in text.split(" "))

    return change


def _by_line(change: Callable[[str, random.Random], str], least: float, most: float) -> Change:
    """Put each sentence on a line, and change a share of the lines."""

    def changed(text: str, chance: random.Random) -> str:
        share = chance.uniform(least, most)
        lines = text.replace(". ", ".\n").replace("\n\n", "\n").split("\n")
        return "\n".join(change(line, chance) if line and chance.random() < share else line for line in lines)

    return changed


def _by_word(change: Callable[[str, random.Random], str], most: float) -> Change:
    def changed(text: str, chance: random.Random) -> str:
        share = chance.uniform(0, most)
        return " ".join(change(word, chance) if chance.random() < share else word for word in text.split(" "))

    return changed


def _glued(text: str, chance: random.Random) -> str:
    share = chance.random()
    return "".join(character for character in text if character != " " or chance.random() > share)


def _without_stop_words(text: str, chance: random.Random) -> str:
    gone: Iterable[str] = chance.sample(["the", "be", "to", "of", "and", "that", "have", "with"], 7)
    return " ".join(word for word in text.split(" ") if word not in gone)


def _short_lines(text: str, chance: random.Random) -> str:
    share = chance.choice([0.1, 0.2, 0.4])
    return "".join(word + ("\n" if chance.random() < share else " ") for word in text.split(" ")).strip()


def _cut(text: str, chance: random.Random) -> str:
    return " ".join(text.split(" ")[: chance.randint(40, 60)])


def _in_print(text: str, _: random.Random) -> str:
    return text.translate(str.maketrans({"a": "á", "o": "ö", "e": "е", '"': "“", "'": "’", "-": "—"}))


CHANGES: tuple[Change, ...] = (
    _lines_again,
    _paragraphs_again,
    _words_again,
    _sprinkled("#", most=0.15),
    _sprinkled("...", "…", "....", most=0.2),
    _sprinkled("[1]", "javascript", "lorem ipsum", "{", "use cookies", most=0.02),
    _by_line(lambda line, chance: chance.choice(["- ", "• ", "  - "]) + line, 0.8, 1),
    _by_line(lambda line, chance: line + chance.choice(["...", "…"]), 0.1, 0.6),
    _by_line(lambda line, _: line.rstrip(".!?"), 0.5, 1),
    _by_word(lambda word, chance: str(chance.randrange(10_000)), 0.3),
    _by_word(lambda word, chance: word[: chance.randint(1, 4)], 1),
    _glued,
    _without_stop_words,
    _short_lines,
    _cut,
    _in_print,
)
