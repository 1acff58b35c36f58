"""A corpus with planted near-duplicates: texts of random words, and copies of them with a few words edited."""

import random
from itertools import accumulate

EDITS = (0, 1, 1, 1, 2, 2, 3, 4, 6, 12)
SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


def planted(documents: int, seed: int, words: tuple[int, int] = (40, 200), share: float = 0.5) -> list[str]:
    """So many texts in random order, of which about a share are edited copies of one before them in the making.

    An edit takes a word away, puts one in, or puts another one in its place; each copy also has its own capitals and
    punctuation. Copies get few edits or many, so that they lie on both sides of the usual thresholds.
    """
    chance = random.Random(seed)
    vocabulary = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(5000)]
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(vocabulary))))
    made: list[list[str]] = []
    for _ in range(documents):
        if made and chance.random() < share:
            text = list(chance.choice(made[-200:]))
            for word in chance.choices(vocabulary, k=chance.choice(EDITS)):
                place = chance.randrange(len(text))
                text[place : place + chance.randint(0, 1)] = [word] * chance.randint(0, 1)
        else:
            text = chance.choices(vocabulary, cum_weights=weights, k=chance.randint(*words))
        made.append(text or ["empty"])
    chance.shuffle(made)
    return [_dressed(text, chance) for text in made]


def from_a_template(documents: int, seed: int, words: int = 100, slots: int = 4) -> list[str]:
    """Texts that are one text but for a few words each, as descriptions of a family of packages are."""
    chance = random.Random(seed)
    template = [f"word{chance.randrange(10_000)}" for _ in range(words)]
    places = [words * slot // slots + words // (2 * slots) for slot in range(slots)]
    found = []
    for _ in range(documents):
        for place in places:
            template[place] = f"word{chance.randrange(1_000_000)}"
        found.append(" ".join(template))
    return found


def _dressed(text: list[str], chance: random.Random) -> str:
    """With capitals and punctuation that are no part of the words."""
    parts = []
    for word in text:
        parts += [
            word.capitalize() if chance.random() < 0.1 else word,
            chance.choice([" ", " ", " ", ", ", ". ", "\n"]),
        ]
    return "".join(parts)
