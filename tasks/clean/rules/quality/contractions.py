"""English words that are not split as their characters say: contractions, and abbreviations with their full stop.

Contractions follow from the grammar of English: every pronoun with every verb that is shortened behind it, and every
auxiliary verb that takes `n't`. Abbreviations are those whose full stop, on the last letter of several, would else be
taken for the end of a sentence: before names, of kinds of firms, of months, and of words that a name, a number or the
other side follows.

Out: `pieces()`, what each is split into. Other languages have their own contractions: there only the rest counts.
"""

from functools import lru_cache
from itertools import product

PERSONAL_PRONOUNS = ("I", "i", "you", "he", "she", "it", "we", "they", "that", "there")
QUESTION_WORDS = ("who", "what", "when", "where", "why", "how")
SHORTENED_VERBS = ("m", "re", "s", "ve", "d", "ll")
"""Am; are; is, has; have; had, would; will."""
AUXILIARIES = {
    "be": ("are", "is", "was", "were", "ai"),
    "have": ("have", "has", "had"),
    "do": ("do", "does", "did"),
    "modal": ("could", "may", "might", "must", "should", "would", "ca", "sha", "wo"),
    "both modal and full verb": ("dare", "need", "ought"),
}
"""As they stand before `n't`: `ai`, `ca`, `sha` and `wo` stand nowhere else."""
APOSTROPHES = "'’"
ABBREVIATIONS = {
    "before a name": ("Dr.", "Fr.", "Hon.", "Messrs.", "Mr.", "Mrs.", "Ms.", "Mt.", "Prof.", "Rev.", "St."),
    "of a rank or an office": ("Capt.", "Col.", "Gen.", "Gov.", "Lt.", "Maj.", "Pres.", "Rep.", "Sen.", "Sgt."),
    "behind a name": ("Esq.", "Jr.", "Ph.D.", "Sr."),
    "of a firm": ("Bros.", "Co.", "Corp.", "Inc.", "Ltd."),
    "of a month": ("Jan.", "Feb.", "Mar.", "Apr.", "Jun.", "Jul.", "Aug.", "Sep.", "Sept.", "Oct.", "Nov.", "Dec."),
    "before the other side": ("vs.",),
}

LONGEST = 16
"""Bytes: nothing longer is looked up, which keeps the work on a long chain of marks linear."""


@lru_cache(maxsize=1)
def pieces() -> dict[str, tuple[str, ...]]:
    """What a word is split into; an abbreviation stays whole.

    Sentences begin with most of them, so `Don't` is there too.
    """
    found: list[tuple[str, ...]] = [("can", "not")]
    for apostrophe in APOSTROPHES:
        endings = [apostrophe + verb for verb in SHORTENED_VERBS]
        found += [(ending,) for ending in endings]
        found += product((*PERSONAL_PRONOUNS, *QUESTION_WORDS), endings)
        found += [(verb, f"n{apostrophe}t") for verbs in AUXILIARIES.values() for verb in verbs]
        found.append(("let", f"{apostrophe}s"))
    found += [(capital(first), *rest) for first, *rest in found]
    found += [(word,) for words in ABBREVIATIONS.values() for word in words]
    return {"".join(parts): parts for parts in found}


def capital(word: str) -> str:
    """The word as a sentence begins with it."""
    return word[:1].upper() + word[1:]
