"""Secrets that programs use: private key blocks, JSON Web Tokens, and tokens of well-known services.

private key   from `-----BEGIN … PRIVATE KEY-----` (RFC 7468, section 10; RFC 1421; OpenSSH; PGP: `KEY BLOCK`) to its
              END, with at least 40 consecutive base64 characters in between, which prose about keys lacks; brackets
              only in header lines (`Comment: Joe <joe@example.org>`). Without an END, to the last line of base64:
              at least 40 characters, or a whole line directly after another
jwt           three parts of base64url, the first two beginning like a JSON object (RFC 7515, section 3)
access token  the prefix, then as many characters of its alphabet as the service uses, not adjoining a word; Telegram's
              has no prefix: the number of a bot, a colon, an A and 34 characters
"""

from typing import NamedTuple

import numpy as np

from tasks.clean.compiled import helper
from tasks.clean.rules.privacy.characters import ALPHANUMERIC, DIGITS, IS_DIGIT, IS_WORD, LOWER, Text, table
from tasks.clean.rules.text_bytes import same


class Prefix(NamedTuple):
    """Format of a service's tokens."""

    text: str
    alphabet: str
    least: int
    """Minimum characters after the prefix."""
    most: int
    digits: int = 0
    """Minimum digits among these, if the prefix is too short to tell a token from a name."""
    dot: int = -1
    """How many of these precede a full stop, which counts as one of them but is not in the alphabet; -1 if none."""


HEX = DIGITS + "abcdef"
BASE32 = LOWER.upper() + "234567"
WORD = ALPHANUMERIC + "_"
DASHED = ALPHANUMERIC + "-"
BASE64_URL = WORD + "-"

PREFIXES = (
    Prefix("AKIA", BASE32, 16, 16),  # AWS access keys: long-lived, temporary
    Prefix("ASIA", BASE32, 16, 16),
    *(Prefix(f"gh{kind}_", ALPHANUMERIC, 36, 255) for kind in "pousr"),  # GitHub
    Prefix("github_pat_", WORD, 60, 255),
    *(
        Prefix(f"gl{kind}-", BASE64_URL, 20, 300)  # GitLab
        for kind in ("pat", "dt", "rt", "cbt", "ptt", "ft", "soat", "agent", "imt", "oas", "ffct")
    ),
    *(Prefix(f"xox{kind}-", DASHED, 20, 255) for kind in "abcdeprs"),  # Slack
    Prefix("xapp-", DASHED, 20, 255),
    Prefix("AIza", BASE64_URL, 35, 35),  # Google
    Prefix("GOCSPX-", BASE64_URL, 28, 28),
    *(Prefix(f"{kind}k_{mode}_", ALPHANUMERIC, 16, 255) for kind in "sr" for mode in ("live", "test")),  # Stripe
    Prefix("whsec_", ALPHANUMERIC, 32, 64),
    Prefix("hf_", ALPHANUMERIC, 34, 40),  # Hugging Face
    Prefix("api_org_", ALPHANUMERIC, 34, 40),
    Prefix("sk-", BASE64_URL, 32, 300, digits=2),  # OpenAI, Anthropic, OpenRouter, DeepSeek
    Prefix("gsk_", ALPHANUMERIC, 48, 60),  # Groq
    Prefix("xai-", ALPHANUMERIC, 70, 100),
    Prefix("r8_", ALPHANUMERIC, 37, 40),  # Replicate
    Prefix("pplx-", ALPHANUMERIC, 40, 64),  # Perplexity
    Prefix("npm_", ALPHANUMERIC, 36, 36),
    Prefix("pypi-AgE", BASE64_URL, 50, 1000),
    *(Prefix(f"do{kind}_v1_", HEX, 64, 64) for kind in "opr"),  # DigitalOcean
    *(Prefix(f"shp{kind}_", HEX, 32, 32) for kind in ("at", "ca", "pa", "ss")),  # Shopify
    Prefix("glsa_", WORD, 41, 41),  # Grafana
    Prefix("lin_api_", ALPHANUMERIC, 40, 40),  # Linear
    Prefix("ntn_", ALPHANUMERIC, 43, 50),  # Notion
    Prefix("PMAK-", DASHED, 59, 59),  # Postman
    Prefix("NRAK-", ALPHANUMERIC, 27, 27),  # New Relic
    Prefix("SG.", BASE64_URL, 66, 66, dot=22),  # SendGrid
    Prefix("ya29.", BASE64_URL, 30, 2048),  # Google OAuth: users, machines
    Prefix("ya29.", BASE64_URL, 30, 2048, dot=1),
    Prefix("dckr_pat_", BASE64_URL, 27, 27),  # Docker: users, organizations
    Prefix("dckr_oat_", BASE64_URL, 32, 32),
    Prefix("hooks.slack.com/services/T", ALPHANUMERIC + "/", 43, 60),  # Slack: team, hook and secret
    Prefix("AccountKey=", ALPHANUMERIC + "+/=", 88, 88),  # Azure storage
)
"""As documented by the services."""

SELDOM = "_-zKSG/."
"""A search stops at the first of these that a prefix has, at its last occurrence in the prefix; they are rare in prose,
or rare after the character before them."""


def trigger(prefix: Prefix) -> tuple[int, str]:
    """Position and character at which a search stops in a prefix."""
    character = next(character for character in SELDOM if character in prefix.text[1:])
    return prefix.text.rindex(character), character


def _pair(prefix: Prefix) -> int:
    """A prefix's trigger and the character before it, as one number."""
    place, character = trigger(prefix)
    return ord(character) << 8 | ord(prefix.text[place - 1])


SORTED = sorted(PREFIXES, key=_pair)
PAIRS, FIRST = np.unique([_pair(prefix) for prefix in SORTED], return_index=True)
FIRST = np.append(FIRST, len(SORTED))
"""The prefixes with PAIRS[i] are SORTED[FIRST[i] : FIRST[i + 1]]."""
TRIGGER_AT = np.array([trigger(prefix)[0] for prefix in SORTED])
LENGTH = np.array([len(prefix.text) for prefix in SORTED])
LETTERS = np.zeros((len(SORTED), LENGTH.max()), np.uint8)
for _row, _prefix in enumerate(SORTED):
    LETTERS[_row, : len(_prefix.text)] = list(_prefix.text.encode())
ALPHABET = np.array([table(prefix.alphabet) for prefix in SORTED])
LEAST = np.array([prefix.least for prefix in SORTED])
MOST = np.array([prefix.most for prefix in SORTED])
LEAST_DIGITS = np.array([prefix.digits for prefix in SORTED])
DOT = np.array([prefix.dot for prefix in SORTED])

IN_JWT = table(BASE64_URL)
LEAST_PART, LEAST_SIGNATURE = 10, 20

LEAST_BOT, MOST_BOT, BOT_SECRET = 8, 10, 35
BOT, EYJ = (np.frombuffer(marker, np.uint8) for marker in (b"bot", b"eyJ"))

IN_BASE64 = table(ALPHANUMERIC + "+/=")
IN_LABEL = table(LOWER.upper() + DIGITS + " ")
BRACKETS = table("<>[]{}")
IN_HEADER = table(ALPHANUMERIC + "-")
IN_SPACE = table(" \t\r\n>")
LEAST_BASE64 = 40
BEGIN, END, HYPHENS, KEY, BLOCK = (
    np.frombuffer(marker, np.uint8) for marker in (b"-----BEGIN ", b"-----END ", b"-----", b"PRIVATE KEY", b" BLOCK")
)
LONGEST_LABEL = 40


@helper
def access_token(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """The token with the trigger of its prefix at `at`; (-1, -1) if none."""
    if at == begin:
        return -1, -1
    pair = np.int64(text[at]) << 8 | text[at - 1]
    place = 0
    while place < len(PAIRS) and PAIRS[place] < pair:
        place += 1
    if place == len(PAIRS) or PAIRS[place] != pair:
        return -1, -1
    for row in range(FIRST[place], FIRST[place + 1]):
        start = at - TRIGGER_AT[row]
        body = start + LENGTH[row]
        if start < begin or body > end:
            continue
        k = TRIGGER_AT[row] - 1  # the part before the trigger distinguishes prefixes
        while k >= 0 and text[start + k] == LETTERS[row, k]:
            k -= 1
        if k >= 0 or not _apart(text, start, begin):
            continue
        k = TRIGGER_AT[row] + 1
        while k < LENGTH[row] and text[start + k] == LETTERS[row, k]:
            k += 1
        if k < LENGTH[row]:
            continue
        stop, digits = body, 0
        while stop < end and stop - body <= MOST[row]:
            if not (text[stop] == ord(".") if stop - body == DOT[row] else ALPHABET[row, text[stop]]):
                break
            digits += IS_DIGIT[text[stop]]
            stop += 1
        if not LEAST[row] <= stop - body <= MOST[row] or digits < LEAST_DIGITS[row]:
            continue
        if stop == end or not IS_WORD[text[stop]]:
            return start, stop
    return -1, -1


@helper
def bot_token(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """The Telegram bot token with its colon at `at`; (-1, -1) if none. `bot` may precede it, as in the service's URLs
    (https://core.telegram.org/bots/api#authorizing-your-bot)."""
    start = at
    while start > begin and at - start <= MOST_BOT and IS_DIGIT[text[start - 1]]:
        start -= 1
    if not LEAST_BOT <= at - start <= MOST_BOT:
        return -1, -1
    word = start - 3 if start - 3 >= begin and _is(text, start - 3, end, BOT) else start
    if not _apart(text, word, begin) or at + 1 >= end or text[at + 1] != ord("A"):
        return -1, -1
    stop = at + 1
    while stop < end and stop - at <= BOT_SECRET + 1 and IN_JWT[text[stop]]:
        stop += 1
    return (start, stop) if stop - at - 1 == BOT_SECRET else (-1, -1)


@helper
def _apart(text: Text, at: int, begin: int) -> bool:
    """Is there no word, hyphen or dot before `at`?"""
    return at == begin or not (IS_WORD[text[at - 1]] or text[at - 1] == ord("-") or text[at - 1] == ord("."))


@helper
def jwt(text: Text, at: int, begin: int, end: int) -> tuple[int, int]:
    """The JSON Web Token with the J of its `eyJ` at `at`; (-1, -1) if none."""
    start = at - 2
    if start < begin or not _is(text, start, end, EYJ) or not _apart(text, start, begin):
        return -1, -1
    header = _part(text, start, end)
    payload = header + 1
    if header - start < LEAST_PART or not _is(text, payload, end, EYJ) or text[header] != ord("."):
        return -1, -1
    signature = _part(text, payload, end)
    if signature - payload < LEAST_PART or signature >= end or text[signature] != ord("."):
        return -1, -1
    stop = _part(text, signature + 1, end)
    return (start, stop) if stop - signature > LEAST_SIGNATURE else (-1, -1)


@helper
def _part(text: Text, at: int, end: int) -> int:
    while at < end and IN_JWT[text[at]]:
        at += 1
    return at


@helper
def private_key(text: Text, at: int, end: int) -> int:
    """End of the block with the first hyphen of its BEGIN at `at`; -1 if none."""
    label = at + 11
    if not _is(text, at, end, BEGIN):
        return -1
    body = _key_label(text, label, end)
    if body < 0:
        return -1
    stop = _key_end(text, label, body, end)
    return stop if stop > 0 else _cut_key_end(text, body, end)


@helper
def _key_end(text: Text, label: int, body: int, end: int) -> int:
    """End of the END of a key with this label and body; -1 if none."""
    run = longest = 0
    in_header = False
    i = body
    while i < end and (in_header or not BRACKETS[text[i]]):
        if text[i] == ord("-") and _is(text, i, end, HYPHENS):
            break
        run = run + 1 if IN_BASE64[text[i]] else 0
        longest = max(longest, run)
        i += 1
        if text[i - 1] == ord("\n"):
            in_header = _is_header(text, i, end)
    if longest < LEAST_BASE64 or not _is(text, i, end, END):
        return -1
    stop = _key_label(text, i + 9, end)
    if stop - (i + 9) != body - label:
        return -1
    for k in range(body - label):
        if text[label + k] != text[i + 9 + k]:
            return -1
    return stop


@helper
def _cut_key_end(text: Text, body: int, end: int) -> int:
    """End of the last base64 line of a truncated key; -1 if none."""
    i, stop, lines = body, -1, 0
    while i < end:
        width, is_end = _space(text, i, end)
        if width:
            lines += is_end
            i += width
        elif stop < 0 and _is_header(text, i, end):
            while i < end and text[i] != ord("\n") and not _is(text, i, end, HYPHENS):
                i += 1
        else:
            start = i
            while i < end and IN_BASE64[text[i]]:
                i += 1
            is_line = stop > 0 and i > start and lines == 1 and _ends_line(text, i, end)
            if i - start < LEAST_BASE64 and not is_line:
                return stop
            stop, lines = i, 0
    return stop


@helper
def _space(text: Text, at: int, end: int) -> tuple[int, bool]:
    """Bytes of space between base64 lines, including escapes (`\\n`) and quoting (`>`); and does it end a line?"""
    if text[at] == ord("\\") and at + 1 < end and (text[at + 1] == ord("n") or text[at + 1] == ord("r")):
        return 2, text[at + 1] == ord("n")
    return (1, text[at] == ord("\n")) if IN_SPACE[text[at]] else (0, False)


@helper
def _ends_line(text: Text, at: int, end: int) -> bool:
    """Does the text or a line end here, possibly escaped?"""
    return at == end or text[at] == ord("\n") or text[at] == ord("\r") or _space(text, at, end)[0] == 2


@helper
def _is_header(text: Text, at: int, end: int) -> bool:
    """Does a header begin here: a name, a colon and a space (RFC 1421, section 4.6; RFC 9580, section 6.2.2)?"""
    i = at
    while i < end and i - at < LONGEST_LABEL and IN_HEADER[text[i]]:
        i += 1
    return i > at and text[at] != ord("-") and i + 1 < end and text[i] == ord(":") and text[i + 1] == ord(" ")


@helper
def _key_label(text: Text, at: int, end: int) -> int:
    """End of a private key label and the five hyphens after it; -1 if none."""
    i = at
    while i < end and i - at < LONGEST_LABEL and IN_LABEL[text[i]]:
        i += 1
    if not _is(text, i, end, HYPHENS):
        return -1
    stop = i - 6 if i - at > 6 and _is(text, i - 6, end, BLOCK) else i
    return i + 5 if stop - at >= len(KEY) and _is(text, stop - len(KEY), end, KEY) else -1


@helper
def _is(text: Text, at: int, end: int, expected: Text) -> bool:
    """Are the `expected` bytes at `at`?"""
    return end - at >= len(expected) and same(text, at, expected, 0, len(expected))
