"""What others find personal data with, as functions from a text; None where their package is not installed."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.clean.privacy.labelled import Span
from tests.clean.privacy.scores import overlap

Finder = Callable[[str, float], list[Span]]
"""What is in a text with a score of at least so much."""

NAMES = {
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "ipv4": "IP_ADDRESS",
    "ipv6": "IP_ADDRESS",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN_CODE",
    "us_ssn": "US_SSN",
}
"""Our kinds, and Presidio's names of them."""
SCORES = (0.0, 0.1, 0.35, 0.45, 0.55, 0.65, 0.9)
"""Thresholds between the scores that Presidio's recognizers give."""


def finders() -> dict[str, tuple[Finder, Sequence[float]] | None]:
    """By package, with the thresholds to try."""
    return {"Presidio": presidio(), "datatrove": datatrove()}


def presidio() -> tuple[Finder, Sequence[float]] | None:
    """Its recognizers by pattern, without a model of language, so without the words around; nothing is downloaded."""
    try:
        import tldextract
        from presidio_analyzer import predefined_recognizers as recognizers
    except ImportError:
        return None
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    names = ("Email", "Phone", "Ip", "CreditCard", "Iban", "UsSsn")
    every = [getattr(recognizers, f"{name}Recognizer")() for name in names]

    def find(text: str, threshold: float) -> list[Span]:
        found: list[Span] = []
        for recognizer in every:
            results = recognizer.analyze(text, recognizer.supported_entities, None) or []
            found += _without_overlaps([one for one in results if one.score >= threshold], text)
        return found

    return find, SCORES


def _without_overlaps(results: list[Any], text: str) -> list[Span]:
    """The best and longest of what overlaps, as its anonymizer takes them; by our names."""
    kept: list[Span] = []
    for one in sorted(results, key=lambda one: (-one.score, one.start - one.end)):
        kinds = [kind for kind, name in NAMES.items() if name == one.entity_type]
        kind = kinds[0] if len(kinds) == 1 else "ipv6" if ":" in text[one.start : one.end] else "ipv4"
        span = (one.start, one.end, kind)
        if not any(overlap(span, other) for other in kept):
            kept.append(span)
    return kept


def datatrove() -> tuple[Finder, Sequence[float]] | None:
    """The patterns of its formatter; it has no scores."""
    try:
        from datatrove.pipeline.formatters import PIIFormatter
    except ImportError:
        return None
    formatter = PIIFormatter()

    def find(text: str, threshold: float) -> list[Span]:
        found: list[Span] = []
        for kind, replacer in (("email", formatter.emails_replacer), ("ipv4", formatter.ip_replacer)):
            for match in replacer.regex.finditer(text):
                if replacer.validator is None or replacer.validator(match.group()):
                    found.append((match.start(), match.end(), kind))
        return found

    return find, (0.0,)


def datatrove_formatter() -> Callable[[str], str] | None:
    """E-mail and IPv4 addresses replaced."""
    try:
        from datatrove.pipeline.formatters import PIIFormatter
    except ImportError:
        return None
    replace: Callable[[str], str] = PIIFormatter().format
    return replace


def aho_corasick(words: Sequence[str]) -> Callable[[str], object] | None:
    """All words anywhere in a text that is made lower-case."""
    try:
        from ahocorasick_rs import AhoCorasick
    except ImportError:
        return None
    automaton = AhoCorasick([word.lower() for word in words])
    return lambda text: automaton.find_matches_as_indexes(text.lower())
