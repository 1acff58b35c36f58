"""English words with a fixed split: contractions, and abbreviations that keep their full stop.

Contractions follow English grammar: every pronoun with every shortened verb, and every auxiliary verb with `n't`.
Abbreviations are those of several letters whose full stop would otherwise end a sentence: titles, ranks, suffixes of
names, company forms, months and `vs.`.

Out: `pieces()`, the parts of each word. Other languages have other contractions; for them only the general rules apply.
"""

from functools import lru_cache
from itertools import product

PERSONAL_PRONOUNS = ("I", "i", "you", "he", "she", "it", "we", "they", "that", "there")
QUESTION_WORDS = ("who", "what", "when", "where", "why", "how")
SHORTENED_VERBS = ("m", "re", "s", "ve", "d", "ll")
"""For am; are; is, has; have; had, would; will."""
AUXILIARIES = {
    "be": ("are", "is", "was", "were", "ai"),
    "have": ("have", "has", "had"),
    "do": ("do", "does", "did"),
    "modal": ("could", "may", "might", "must", "should", "would", "ca", "sha", "wo"),
    "both modal and full verb": ("dare", "need", "ought"),
}
"""As spelled before `n't`; `ai`, `ca`, `sha` and `wo` occur nowhere else."""
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
"""Maximum bytes of a word that is looked up; the limit keeps a long chain of marks linear."""


@lru_cache(maxsize=1)
def pieces() -> dict[str, tuple[str, ...]]:
    """Parts by word; an abbreviation stays whole. Includes capitalized words (`Don't`), which begin sentences."""
    found: list[tuple[str, ...]] = [("can", "not")]
    for apostrophe in APOSTROPHES:
        endings = [apostrophe + verb for verb in SHORTENED_VERBS]
        found += [(ending,) for ending in endings]
        found += product((*PERSONAL_PRONOUNS, *QUESTION_WORDS), endings)
        found += [(verb, f"n{apostrophe}t") for verbs in AUXILIARIES.values() for verb in verbs]
        found.append(("let", f"{apostrophe}s"))
    found += [(first[:1].upper() + first[1:], *rest) for first, *rest in found]
    found += [(word,) for words in ABBREVIATIONS.values() for word in words]
    return {"".join(parts): parts for parts in found}
