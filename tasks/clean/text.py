"""Text normalization: HTML, mojibake, line ends, control characters, Unicode form, white space; in linear time.

Cleaning clean text changes nothing. A step that has nothing to do returns the same object.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from html import unescape
from html.entities import html5
from importlib.util import find_spec
from typing import Literal

from tasks.clean.mojibake import repair_mojibake
from tasks.clean.settings import CleanSettings
from tasks.stage.errors import GristmillError

Step = Callable[[str], str]

LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Everything `str.splitlines` splits at except the line feed."""

CONTROLS = "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f"
"""C0, DEL and C1, except tab and line ends."""

ZERO_WIDTH = {
    "none": "",
    "spaces": "\u200b\u2060\ufeff",
    "all": "\u200b-\u200f\u2060\ufeff\u202a-\u202e\u2066-\u2069\u180e",
}

LONGEST_RUN_OF_MARKS = 30
"""Limit of the Stream-Safe Text Format (UAX #15, section 13); no language puts more marks on one letter."""

TAGS = (
    "a|article|b|blockquote|body|br|code|div|dl|em|figcaption|h[1-6]|head|html|i|iframe|img|li|nav|noscript|ol|p|pre"
    "|section|span|strike|strong|table|tbody|td|textarea|tfoot|thead|tr|tt|ul"
)
"""Elements that show a text to be HTML. Not `s`: `<s>` and `</s>` are tokens of language models."""
WORDS = (
    "abbr|address|aside|big|button|caption|center|cite|dd|del|dt|figure|font|footer|form|header|hr|input|ins|kbd|label"
    "|link|main|meta|option|script|select|small|style|sub|sup|svg|th|title|u"
)
"""Elements that do so only with a value (`<font size=2>`) or a slash (`</font>`, `<hr/>`), because prose has such words
in angle brackets for what a reader fills in or presses: `cp <link> <main>`, `<yyyy>-<mm>-<dd>`, `press <Del>`."""
ATTRIBUTE = r"""\s+[a-z][\w:.-]*(?:\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))?"""
ENTITY = r"&(?:#0*\d{1,7}|#[xX]0*[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
"""Only with its semicolon: `?a=1&copy=2` has none."""
TAG = rf"<(?:/?(?:{TAGS})(?:{ATTRIBUTE})*\s*/?|/(?:{WORDS})\s*|(?:{WORDS})(?:\s[^<>]*=[^<>]*|\s*/)|!doctype[^<>]*)>"

HTML, DEEP_HTML = "html", "deep_html"
"""A page gets exactly one of these steps, once, because its output may look like tags."""

DEEPEST = 256
"""Maximum nesting depth for main-content extraction, which takes quadratic time in the depth. Typical pages are 10 to
30 levels deep; browsers stop at 512."""

GRAPHEME_JOINER = "\u034f"


def require_library(settings: CleanSettings) -> None:
    """Raises GristmillError if the settings need a library that is not installed."""
    if settings.html != "keep" and find_spec("resiliparse") is None:
        raise GristmillError("clean.html: resiliparse is not installed: pip install 'gristmill[html]'")


def rewriting(settings: CleanSettings) -> dict[str, Step]:
    """The enabled steps in order, by their name in the report."""
    steps: dict[str, Step] = {}
    if settings.html != "keep":
        main = settings.html == "main"
        steps[HTML] = lambda text: text_of_html(text, main)
        if main:
            steps[DEEP_HTML] = lambda text: text_of_html(text, main=False)
    if settings.mojibake == "repair":
        steps["mojibake"] = repair_mojibake
    steps["line_ends"] = unify_line_ends
    if unwanted := _unwanted(settings):
        steps["control_characters"] = _remover(unwanted)
    if settings.unicode != "none":
        form = settings.unicode
        steps["unicode"] = lambda text: normalise(text, form)
    if settings.trailing_blanks == "remove":
        steps["trailing_blanks"] = remove_trailing_blanks
    if (most := settings.max_blank_lines) is not None:
        steps["blank_lines"] = lambda text: limit_blank_lines(text, most)
    return steps


def rewritten(text: str, steps: Mapping[str, Step]) -> tuple[str, set[str]]:
    """Apply all steps until nothing changes. Returns the text and the names of the steps that changed it."""
    changed = set[str]()
    other = HTML if DEEP_HTML in steps and is_deep(text) else DEEP_HTML
    once = {name: step for name, step in steps.items() if name != other}
    again = {name: step for name, step in once.items() if name not in (HTML, DEEP_HTML)}
    while True:
        start = text
        for name, step in once.items():
            before, text = text, step(text)
            if text is not before and text != before:
                changed.add(name)
        once = again
        if text == start:
            return text, changed


def rewritten_characters(settings: CleanSettings) -> str:
    """Characters of the Basic Multilingual Plane that may need rewriting in any context."""
    tags = "" if settings.html == "keep" else "<&"
    wanted = re.compile(f"[{LINE_ENDS}{_unwanted(settings)}{tags}]")
    return "".join(wanted.findall("".join(map(chr, range(1 << 16)))))


def text_of_html(text: str, main: bool) -> str:
    """The visible text of a page, or of its main content; in text without HTML tags only entities are replaced."""
    if not re.search(TAG, text, re.IGNORECASE):
        return re.sub(ENTITY, _character, text) if "&" in text else text
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(text, main_content=main))


def _character(entity: re.Match[str]) -> str:
    known = entity[0][1] == "#" or entity[0][1:] in html5
    return unescape(entity[0]) if known else entity[0]


def is_deep(text: str) -> bool:
    """Whether this is an HTML page nested more than `DEEPEST` levels deep, as browsers parse it."""
    if not re.search(TAG, text, re.IGNORECASE):
        return False
    from resiliparse.parse.html import HTMLTree

    document = HTMLTree.parse(text).document
    return document is not None and document.query_selector(" > ".join("*" * (DEEPEST + 1))) is not None


def unify_line_ends(text: str) -> str:
    r"""CR LF, CR, vertical tab, form feed, file, group and record separators, NEL, U+2028 and U+2029 become `\n`."""
    if not any(end in text for end in LINE_ENDS):  # many times faster than a regex character class
        return text
    return re.sub(f"[{LINE_ENDS}]", "\n", text.replace("\r\n", "\n"))


def normalise(text: str, form: Literal["NFC", "NFKC"]) -> str:
    """Unicode normalization.

    Sorting a run of combining marks takes quadratic time, so runs longer than in any language are first broken up with
    U+034F, as in the Stream-Safe Text Format (UAX #15, section 13).
    """
    if text.isascii():
        return text
    while True:
        if _maybe_long_run().search(text):
            text = _long_run().sub(_break_run, text)
        normal = unicodedata.normalize(form, text)
        if normal == text or not _maybe_long_run().search(normal):
            return normal
        text = normal  # a mark that decomposes into two may lengthen a run


def remove_trailing_blanks(text: str) -> str:
    """Strip white space from the end of every line."""
    return "\n".join([line.rstrip() for line in text.split("\n")])


def limit_blank_lines(text: str, most: int) -> str:
    """Keep at most `most` consecutive empty lines, and none at either end."""
    text = text.strip("\n")
    limit = "\n" * (most + 1)
    return re.sub(f"{limit}\n+", limit, text) if limit + "\n" in text else text


def _unwanted(settings: CleanSettings) -> str:
    """Characters to remove, as the inside of a regex character class."""
    return (CONTROLS if settings.control_characters == "remove" else "") + ZERO_WIDTH[settings.zero_width]


def _remover(characters: str) -> Step:
    one, several = re.compile(f"[{characters}]"), re.compile(f"[{characters}]+")
    return lambda text: several.sub("", text) if one.search(text) else text


@lru_cache
def _maybe_long_run() -> re.Pattern[str]:
    """Fast but too broad: `re` has no fast classes beyond the BMP, so everything there counts as a mark."""
    return _run_of(_marks(0x300, 0x10000) + "\U00010000-\U0010ffff")


@lru_cache
def _long_run() -> re.Pattern[str]:
    """Exact but slow."""
    return _run_of(_marks(0x300, 0x20000))


def _run_of(marks: str) -> re.Pattern[str]:
    # The leading class lets the engine skip from mark to mark; without it, it tries to match at every letter.
    return re.compile(f"[{marks}][{marks}]{{{LONGEST_RUN_OF_MARKS},}}")


def _marks(first: int, end: int) -> str:
    return "".join(c for c in map(chr, range(first, end)) if begins_with_mark(c))


def begins_with_mark(character: str) -> bool:
    """Whether the character is, or decomposes to, a combining mark first."""
    if unicodedata.combining(character):
        return True
    parts = unicodedata.decomposition(character)  # most have none, and this is the cheaper test
    return parts != "" and unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0


def _break_run(found: re.Match[str]) -> str:
    run, size = found.group(), LONGEST_RUN_OF_MARKS
    return GRAPHEME_JOINER.join([run[start : start + size] for start in range(0, len(run), size)])
