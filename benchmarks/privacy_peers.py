"""Other tools that find personal data, as functions of a text; all raise ImportError if not installed."""

from collections.abc import Callable, Sequence

from tests.clean.rules.privacy.labelled import Span
from tests.clean.rules.privacy.scores import overlap

Finder = Callable[[str], list[tuple[float, Span]]]
"""A text → its spans, each with a score."""

NAMES = {
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "ipv4": "IP_ADDRESS",
    "ipv6": "IP_ADDRESS",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN_CODE",
    "us_ssn": "US_SSN",
}
"""Our kinds → Presidio's."""


def surest(found: Sequence[tuple[float, Span]], least: float) -> list[Span]:
    """Spans with at least this score; of overlapping ones of a kind, the surest and longest."""
    kept: list[Span] = []
    for sure, span in sorted(found, key=lambda item: (-item[0], item[1][0] - item[1][1])):
        if sure >= least and not any(span[2] == other[2] and overlap(span, other) for other in kept):
            kept.append(span)
    return kept


def presidio() -> Finder:
    """Its pattern recognizers, without a language model and so without context words; nothing is downloaded."""
    import tldextract
    from presidio_analyzer import predefined_recognizers as recognizers

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    names = ("Email", "Phone", "Ip", "CreditCard", "Iban", "UsSsn")
    every = [getattr(recognizers, f"{name}Recognizer")() for name in names]

    def find(text: str) -> list[tuple[float, Span]]:
        found: list[tuple[float, Span]] = []
        for recognizer in every:
            for one in recognizer.analyze(text, recognizer.supported_entities, None) or []:
                kinds = [kind for kind, name in NAMES.items() if name == one.entity_type]
                kind = kinds[0] if len(kinds) == 1 else "ipv6" if ":" in text[one.start : one.end] else "ipv4"
                found.append((one.score, (one.start, one.end, kind)))
        return found

    return find


def datatrove() -> Finder:
    """The patterns of its PII formatter, which has no scores."""
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()

    def find(text: str) -> list[tuple[float, Span]]:
        found: list[tuple[float, Span]] = []
        for kind, replacer in (("email", formatter.emails_replacer), ("ipv4", formatter.ip_replacer)):
            for match in replacer.regex.finditer(text):
                if replacer.validator is None or replacer.validator(match.group()):
                    found.append((1.0, (match.start(), match.end(), kind)))
        return found

    return find


FINDERS = {"Presidio": presidio, "datatrove": datatrove}


def datatrove_formatter() -> Callable[[str], str]:
    """Its PII formatter, which replaces e-mail and IPv4 addresses."""
    from datatrove.pipeline.formatters import PIIFormatter

    return PIIFormatter().format


def aho_corasick(words: Sequence[str]) -> Callable[[str], object]:
    """Finds all words anywhere in a lowercased text."""
    from ahocorasick_rs import AhoCorasick

    automaton = AhoCorasick([word.lower() for word in words])
    return lambda text: automaton.find_matches_as_indexes(text.lower())
