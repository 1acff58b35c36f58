"""A corpus with planted near-duplicates: random texts, and copies with a few edited words."""

import random
from itertools import accumulate

EDITS = (0, 1, 1, 1, 2, 2, 3, 4, 6, 12)
SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


def planted(documents: int, seed: int, words: tuple[int, int] = (40, 200), share: float = 0.5) -> list[str]:
    """`documents` texts in random order; about `share` of them are edited copies of an earlier one.

    An edit deletes, inserts or replaces a word; each copy also has its own capitals and punctuation. The number of
    edits varies, so copies lie on both sides of the usual thresholds.
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
    """Texts that differ in a few words, like the descriptions of a family of packages."""
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
    """The text with added capitals and punctuation; the words stay the same."""
    parts = []
    for word in text:
        parts += [
            word.capitalize() if chance.random() < 0.1 else word,
            chance.choice([" ", " ", " ", ", ", ". ", "\n"]),
        ]
    return "".join(parts)
