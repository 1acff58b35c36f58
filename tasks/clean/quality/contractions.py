"""English words that are not split as their characters say: contractions, and abbreviations with their full stop.

Out: `pieces()`, what each is split into. Other languages have their own contractions: there only the rest counts.
"""

from functools import lru_cache
from itertools import product

PRONOUNS = "I i you he she it we they who what when where why how there that"
AFTER_PRONOUNS = "d ll m re s ve"
BEFORE_NOT = "ai are ca could dare did do does had has have is may might must need ought sha should was were wo would"
APOSTROPHES = "'’"
ABBREVIATIONS = (
    "Bros. Co. Corp. Dr. Gen. Gov. Inc. Jr. Ltd. Messrs. Mr. Mrs. Ms. Mt. Ph.D. Prof. Rep. Rev. Sen. Sr. St. co. vs. "
    "Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec."
)

LONGEST = 16
"""Bytes: nothing longer is looked up, which keeps the work on a long chain of marks linear."""


@lru_cache(maxsize=1)
def pieces() -> dict[str, tuple[str, ...]]:
    """What a word is split into; an abbreviation stays whole. Sentences may begin with each, so `Don't` is there too."""
    found = [("can", "not")]
    for apostrophe in APOSTROPHES:
        endings = [apostrophe + ending for ending in AFTER_PRONOUNS.split()]
        found += [(ending,) for ending in endings]
        found += product(PRONOUNS.split(), endings)
        found += [(verb, f"n{apostrophe}t") for verb in BEFORE_NOT.split()]
        found.append(("let", f"{apostrophe}s"))
    found += [(capital(first), *rest) for first, *rest in found]
    found += [(word,) for word in ABBREVIATIONS.split()]
    return {"".join(parts): parts for parts in found}


def capital(word: str) -> str:
    """The word as a sentence begins with it."""
    return word[:1].upper() + word[1:]
