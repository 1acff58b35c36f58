"""A slow, plain implementation of the privacy rules: regular expressions and checks, tried at every position."""

import ipaddress
import re
import string
import unicodedata
from collections.abc import Iterator

from tasks.clean.rules.near.words import WITHOUT_BLANKS
from tasks.clean.rules.privacy.credentials import PREFIXES
from tasks.clean.rules.privacy.ip import WORDS
from tasks.clean.rules.privacy.payment import ACCOUNT_LENGTHS, ISSUERS
from tasks.clean.rules.privacy.phone import COUNTRY_CODES, DOTTED, NATIONAL_ZERO, ZERO_SHAPES
from tasks.clean.rules.privacy.settings import KINDS, PrivacySettings
from tasks.clean.rules.privacy.social_security import NOBODYS
from tasks.clean.rules.privacy.top_level import TOP_LEVEL_DOMAINS, shown

Found = tuple[int, int, str]

W = "[A-Za-z0-9_]"
LATIN = "À-ÖØ-öø-ɏ"
BLANK, HYPHEN = "[ \u00a0\u2000-\u200a\u202f\u205f\u3000]", "[-\u2010-\u2013\u2212\ufe63\uff0d]"
BEGINS = r"(?<![A-Za-z0-9_.\-/+])"
STOPS = rf"(?![A-Za-z0-9_@])(?![.\-+]{W})"


DIGITS = {chr(code): str(unicodedata.decimal(chr(code), "")) for code in range(0x80, 0x20000)}
DIGITS = {character: digit for character, digit in DIGITS.items() if digit}
FULL_WIDTH = {chr(ord(character) + 0xFEE0): character for character in map(chr, range(0x21, 0x7F))}
ASCII = str.maketrans(DIGITS | FULL_WIDTH | dict(zip("\u3000‐−﹣﹢﹫﹒", " ---+@.", strict=True)))
FOREIGN = (
    "".join(DIGITS) + "﹫﹢" + "".join(wide for wide, narrow in FULL_WIDTH.items() if re.match(r"[\w@+(]", narrow))
)

SPACED = "".join(
    character
    for character in map(chr, range(0x250, 0x10000))
    if unicodedata.category(character)[0] in "LM"
    and character not in FULL_WIDTH
    and not any(first <= ord(character) <= last for first, last in WITHOUT_BLANKS)
)
KNOWN = {form for name in TOP_LEVEL_DOMAINS.split() for form in (name, shown(name))}
SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
LENGTHS = {item[:2]: int(item[3:]) for item in ACCOUNT_LENGTHS.split()}


def find(text: str, special: tuple[str, ...] = ()) -> list[Found]:
    """Start, end and kind of each match: the one that begins first (ties: the first kind), then on from its end as if
    the text began there. Digits of other scripts and full-width forms are read as ASCII."""
    if re.search(f"[{FOREIGN}]", text):
        text = text.translate(ASCII)
    found: list[Found] = []
    left = 0
    while there := anything(text[left:], special):
        start, end, kind = min(there, key=lambda item: (item[0], KINDS.index(item[2])))
        found.append((left + start, left + end, kind))
        left += end
    return found


def anything(text: str, special: tuple[str, ...]) -> list[Found]:
    found = [*emails(text), *private_keys(text), *jwts(text), *access_tokens(text), *ibans(text), *cards(text)]
    found += [*ipv6(text, special), *ipv4(text, special), *social_security(text), *international(text), *national(text)]
    return found


def mask(text: str, settings: PrivacySettings) -> tuple[str, dict[str, int]]:
    """The text with placeholders, and the number of matches by kind."""
    counts = dict.fromkeys(KINDS, 0)
    while True:
        found = find(text, settings.special_addresses)
        going = [item for item in found if settings.placeholder(item[2]) is not None]
        for kind in KINDS:
            if settings.placeholder(kind) is None:
                counts[kind] = sum(item[2] == kind for item in found)
        if not going:
            return text, counts
        for start, end, kind in reversed(going):
            counts[kind] += 1
            text = text[:start] + settings.placeholder(kind) + text[end:]


def everywhere(pattern: str, text: str, flags: int = 0) -> Iterator[re.Match[str]]:
    compiled = re.compile(pattern, flags)
    for place in range(len(text)):
        if match := compiled.match(text, place):
            yield match


def emails(text: str) -> Iterator[Found]:
    for at in (place for place, character in enumerate(text) if character == "@"):
        other = SPACED if re.search(rf"[{SPACED}][0-9_%+'.\-]*\Z", text[:at]) else ""
        run = re.match(rf"(?:[A-Za-z0-9_%+'\-{LATIN}{other}]|(?<!\.)\.)*", text[:at][::-1]).group()[::-1]
        begin = re.search(rf"[A-Za-z0-9{LATIN}{other}]", run)
        if begin is None or len(run.encode()) > 64 or run[-1] in ".'":
            continue
        if end := domain(text[at + 1 :]):
            start, stop = at - len(run) + begin.start(), at + 1 + end
            if not is_remote(text[:start], text[start:at], text[stop:]):
                yield start, stop, "email"


def is_remote(before: str, local: str, after: str) -> bool:
    """Is it the host of a path?"""
    if before.endswith("://"):
        path = re.match("[:/][A-Za-z0-9._~+/:-]*", after)
        git = path is not None and re.search(r".\.git\.*\Z", path.group()[1:]) is not None
        return local == "git" or before.endswith(("ssh://", "ftp://")) or git
    if re.match("::[A-Za-z0-9._~+-]", after):
        return True
    if re.match(r":(?![0-9]+/)[A-Za-z0-9._~+-]*/[^/]", after, re.DOTALL):
        return True
    name = re.match("[:/]([A-Za-z0-9._~+-]*)(?![A-Za-z0-9._~+-])", after)
    return name is not None and bool(
        (local == "git" and name[1].rstrip(".")) or (after[0] == ":" and re.search(r".\.git\.*$", name[1]))
    )


def domain(text: str) -> int:
    """End of the longest domain at the beginning of a text, 0 if none."""
    end = 0
    labels: list[str] = []
    place = 0
    others = {
        c for c in text if 0x24F < ord(c) < 0x10000 and c not in FULL_WIDTH and unicodedata.category(c)[0] in "LM"
    }
    other = f"[{''.join(others)}]" if others else "(?!)"
    letters = rf"[A-Za-z0-9{LATIN}]"
    label = re.compile(
        rf"(?={other})(?:{other}|-|{letters})*(?:{other}|{letters})|(?!{other})(?!-)(?:-|{letters})*{letters}"
    )
    while match := label.match(text, place):
        labels.append(match.group())
        if len(match.group().encode()) > 63 or len(text[: match.end()].encode()) > 253:
            break
        ends = re.compile(rf"(?![A-Za-z0-9_{LATIN}])").match(text, match.end())
        if len(labels) > 1 and ends and match.group().translate(SMALL) in KNOWN:
            end = match.end()
        if text[match.end() : match.end() + 1] not in tuple(".。．｡"):
            break
        place = match.end() + 1
        if end == match.end() and re.match("[A-Z]", text[place:]) and not re.match("[A-Z]", match.group()):
            break
    return end


def private_keys(text: str) -> Iterator[Found]:
    label = r"[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?"
    header = r"(?=[A-Za-z0-9][A-Za-z0-9-]{0,39}: )(?:(?!-----)[^\n])+"
    base64 = "[A-Za-z0-9+/=]"
    space, end_of_line, other_space = r"(?:[ \t\r\n>]|\\[nr])", r"(?:\n|\\n)", r"(?:[ \t\r>]|\\r)*"
    short = rf"{other_space}{end_of_line}{other_space}{base64}+(?=[\r\n]|\\[nr]|\Z)"
    for match in everywhere(rf"-----BEGIN (?=[A-Z0-9 ]{{1,40}}-----)({label})-----", text):
        body = re.compile(rf"(?:(?<=\n){header}|(?!-----)[^<>\[\]{{}}])*").match(text, match.end())
        last = re.compile(rf"-----END {match.group(1)}-----").match(text, body.end())
        lines = re.compile(rf"(?>(?:{space}|{header})*){base64}{{40,}}(?>{space}*{base64}{{40,}}|{short})*")
        if last and re.search(base64 + "{40}", body.group()):
            yield match.start(), last.end(), "private_key"
        elif cut := lines.match(text, match.end()):
            yield match.start(), cut.end(), "private_key"


def jwts(text: str) -> Iterator[Found]:
    part = "[A-Za-z0-9_-]"
    pattern = rf"(?<![A-Za-z0-9_.\-])eyJ{part}{{7,}}\.eyJ{part}{{7,}}\.{part}{{20,}}"
    yield from ((match.start(), match.end(), "jwt") for match in everywhere(pattern, text))


def access_tokens(text: str) -> Iterator[Found]:
    for prefix in (prefix for prefix in PREFIXES if prefix.text in text):
        letters = re.escape(prefix.text)
        alphabet = "".join(map(re.escape, prefix.alphabet))
        before, dot = (prefix.dot, 1) if prefix.dot >= 0 else (0, 0)
        least, most = prefix.least - before - dot, prefix.most - before - dot
        body = rf"[{alphabet}]{{{before}}}\.{{{dot}}}[{alphabet}]{{{least},{most}}}"
        for match in everywhere(rf"(?<![A-Za-z0-9_.\-]){letters}({body})(?![{alphabet}_A-Za-z0-9])", text):
            if len(re.findall("[0-9]", match.group(1))) >= prefix.digits:
                yield match.start(), match.end(), "access_token"
    apart = r"(?:(?<![A-Za-z0-9_.\-])|(?<=bot)(?<![A-Za-z0-9_.\-]bot))"
    for match in everywhere(rf"{apart}[0-9]{{8,10}}:A[A-Za-z0-9_\-]{{34}}(?![A-Za-z0-9_\-])", text):
        yield match.start(), match.end(), "access_token"


def luhn(digits: str) -> bool:
    doubled = [int(d) * 2 if place % 2 else int(d) for place, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def may_be_card(digits: str) -> bool:
    """Does any issuer use this prefix and length?"""
    return any(
        low <= int(digits[: len(str(low))]) <= high and least <= len(digits) <= most
        for low, high, least, most in ISSUERS
    )


def is_card(digits: str) -> bool:
    return may_be_card(digits) and luhn(digits)


def cards(text: str) -> Iterator[Found]:
    d = "[0-9]"
    for separator in ("", BLANK, HYPHEN):
        groups = [f"{d}{{{length}}}" for length in range(14, 20)]
        if separator:
            fours = [*[f"{d}{{4}}"] * 4]
            groups = [separator.join([*fours, f"{d}{{{more}}}(?!{d})"]) for more in (1, 2, 3)]
            groups += [separator.join(fours)]
            groups += [separator.join([f"{d}{{4}}", f"{d}{{6}}", f"{d}{{{last}}}"]) for last in (4, 5)]
        candidates: dict[int, int] = {}
        for group in groups:
            for match in everywhere(BEGINS + group + STOPS, text):
                number = re.sub("[^0-9]", "", match.group())
                more = re.compile(f"{separator}([0-9]{{1,3}})(?![0-9])").match(text, match.end())
                if separator and more and len(number) == 16 and may_be_card(number + more.group(1)):
                    continue
                if is_card(number):
                    candidates[match.start()] = max(match.end(), candidates.get(match.start(), 0))
        for start, end in candidates.items():
            behind_four = re.search(rf"(?<![0-9])[0-9]{{4}}{BLANK}\Z", text[:start])
            four = re.compile(f"{separator}(?={d}{{4}}(?!{d}))").match(text, end)
            in_series = four and len(re.findall(d, text[start:end])) == 16 and four.end() not in candidates
            if not (separator and in_series) and not (separator == BLANK and behind_four):
                yield start, end, "credit_card"


def ibans(text: str) -> Iterator[Found]:
    for start in everywhere(f"(?<!{W})[A-Z]{{2}}[0-9]{{2}}", text):
        for separator in ("", BLANK.replace(" ", " \t"), HYPHEN):
            length = LENGTHS.get(start.group()[:2], 4)
            groups = ["[A-Z0-9]" * min(4, length - place) for place in range(0, length, 4)]
            match = re.compile(f"{separator.join(groups)}(?!{W})").match(text, start.start())
            if length > 4 and match:
                plain = re.sub("[^A-Z0-9]", "", match.group())
                moved = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
                if 2 <= int(plain[2:4]) <= 98 and int(moved) % 97 == 1:
                    yield match.start(), match.end(), "iban"


def network(*names: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(name) for name in names]


RANGES = {
    "private": network("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    "loopback": network("127.0.0.0/8", "::1/128"),
    "link_local": network("169.254.0.0/16", "fe80::/10"),
    "documentation": network("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "reserved": network("0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3", "ff00::/8"),
    "public": network("0.0.0.0/0", "2001::/16", "2002::/15")
    + network("2400::/10", "2600::/10", "2800::/10", "2a00::/10", "2c00::/10"),
}


def range_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    if address.version == 6:
        if address.ipv4_mapped is not None:
            return range_of(address.ipv4_mapped)
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return range_of(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return next((name for name, networks in RANGES.items() if any(address in one for one in networks)), None)


def ipv4(text: str, special: tuple[str, ...]) -> Iterator[Found]:
    octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    pattern = rf"(?<![A-Za-z0-9_.\-+~])(?<![A-Za-z]/){octet}(?:\.{octet}){{3}}{STOPS}(?!~{W})"
    versions = re.compile(rf"(?<!{W})(?:{'|'.join(WORDS.split())})\.? \Z", re.IGNORECASE | re.ASCII)
    for match in everywhere(pattern, text):
        found = range_of(ipaddress.IPv4Address(match.group())) in ("public", *special)
        if found and not versions.search(text[: match.start()]):
            yield match.start(), match.end(), "ipv4"


def ipv6(text: str, special: tuple[str, ...]) -> Iterator[Found]:
    stops = re.compile(rf"{STOPS}(?!:[A-Za-z0-9_:])")
    for match in everywhere(r"(?<![A-Za-z0-9_:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:.]{2,60}", text):
        for end in range(match.end(), match.start() + 1, -1):
            try:
                address = ipaddress.IPv6Address(text[match.start() : end])
            except ValueError:
                continue
            if stops.match(text, end):
                if range_of(address) in ("public", *special):
                    yield match.start(), end, "ipv6"
                break


def social_security(text: str) -> Iterator[Found]:
    for separator, aside, behind in (
        (HYPHEN, "", ""),
        (BLANK, f"(?<![0-9]{BLANK})", f"(?!{BLANK}[0-9])"),
    ):
        pattern = f"{BEGINS}{aside}([0-9]{{3}}){separator}([0-9]{{2}}){separator}([0-9]{{4}}){STOPS}{behind}"
        for match in everywhere(pattern, text):
            area, group, serial = map(int, match.groups())
            if area not in (0, 666) and area < 900 and group and serial and int("".join(match.groups())) not in NOBODYS:
                yield match.start(), match.end(), "us_ssn"


def country_codes() -> dict[str, tuple[int, int]]:
    found = {}
    for item in COUNTRY_CODES.split():
        code, _, digits = item.partition(":")
        least, _, most = digits.partition("-")
        found[code] = (int(least), int(most or least))
    return found


SEPARATOR = f"(?:{BLANK}|{HYPHEN}|[./])"
CODES = "|".join(country_codes())


def international(text: str) -> Iterator[Found]:
    """A code and groups; the code or at most one group is in brackets."""
    for match in everywhere(rf"(?<!{W})(?<!\+)\+({CODES})", text):
        bracketed = text[match.start() - 1 : match.start()] == "(" and text[match.end() : match.end() + 1] == ")"
        if end := subscriber(text, match.end(), match.group(1), bracketed):
            yield match.start() - bracketed, end, "phone"
    for match in everywhere(rf"{BEGINS}(?<![0-9]{BLANK})00({CODES})(?![0-9])", text):
        if end := subscriber(text, match.end(), match.group(1), False):
            yield match.start(), end, "phone"


def subscriber(text: str, place: int, code: str, bracketed: bool) -> int:
    least, most = country_codes()[code]
    brackets = "open" if bracketed else "none yet"
    number, end = "", 0
    first = True
    while True:
        close = r"\)?" if brackets == "open" else ""
        opening = r"\(?" if brackets == "none yet" else ""
        joint = re.compile(rf"({close})({SEPARATOR}?)({opening})").match(text, place)
        if brackets == "open" and not joint.group(1):
            return end
        group = re.compile("[0-9]+").match(text, joint.end())
        if group is None or (not first and not joint.group()):
            return end
        brackets = "closed" if joint.group(1) else "open" if joint.group(3) else brackets
        first, place = False, group.end()
        if group.group() == "0" and not number and brackets == "open":
            continue
        if number and len(group.group()) == 1:
            return end
        number += group.group()
        if len(number) > most:
            return end
        if code == "1" and (number[0] in "01" or number[3:4] in ("0", "1")):
            return end
        if code != "1" and number[0] == "0" and int(code) not in NATIONAL_ZERO:
            return end
        whole = len(number) >= least and len(code + number) >= 8
        if whole and brackets != "open" and re.compile(STOPS + "(?!/[0-9])").match(text, place):
            end = place


def national(text: str) -> Iterator[Found]:
    """All consecutive groups of digits."""
    for match in everywhere(r"\([0-9]+(?=\))|(?<!\()[0-9]+|(?<=\()[0-9]+(?![0-9)])", text):
        opened = match.group().startswith("(")
        if re.search(r"[A-Za-z0-9_.\-/+)]\Z", text[: match.start()]):
            continue
        digits = match.group().strip("(")
        rest = re.compile(rf"\)({SEPARATOR}?)" if opened else f"({SEPARATOR})").match(text, match.end())
        if len(digits) > 5 or rest is None:
            continue
        second = re.compile("[0-9]+").match(text, rest.end())
        if second is None:
            continue
        groups, place, later = [digits, second.group()], second.end(), ""
        while more := re.compile(rf"({kind_of(later) if later else SEPARATOR})([0-9]+)").match(text, place):
            later = more.group(1)
            groups.append(more.group(2))
            place = more.end()
        if any(len(group) > 8 for group in groups) or not re.compile(STOPS + "(?!/[0-9])").match(text, place):
            continue
        blank = re.fullmatch(BLANK, rest.group(1)) or re.fullmatch(BLANK, later)
        beside = re.search(rf"[0-9]{BLANK}\Z", text[: match.start()]) or re.compile(f"{BLANK}[0-9]").match(text, place)
        if not opened and blank and beside:
            continue
        if is_national(groups, opened, rest.group(1), later):
            yield match.start(), place, "phone"


def kind_of(separator: str) -> str:
    """A pattern for all separators of the same kind."""
    return next(kind for kind in (BLANK, HYPHEN, r"\.", "/") if re.fullmatch(kind, separator))


BRAZIL = {("2-5-4", "9"), ("2-4-4", "2"), ("2-4-4", "3"), ("2-4-4", "4"), ("2-4-4", "5")}


def is_national(groups: list[str], opened: bool, first: str, later: str) -> bool:
    shape = "-".join(str(len(group)) for group in groups)
    number = "".join(groups)
    plain = first not in (".", "/") and later != "."
    if later == "/":
        return False
    if number[0] == "0":
        dots = "." in (first, later) and not (first == later == "." and shape == DOTTED)
        return shape in ZERO_SHAPES.split() and number[1] != "0" and not dots
    if shape == "1-3-3-4" and not opened and number[0] == "1":
        shape, number = "3-3-4", number[1:]
    if shape == "3-3-4":
        return re.match("(?!.11|.9)[2-9]..(?!.11)[2-9]", number) is not None
    if opened:
        return plain and ((shape, number[2]) in BRAZIL or (shape == "3-3-2-2" and number[0] >= "3"))
    return plain and shape == "3-4-4" and re.match("1[3-9]", number) is not None
