"""A seeded generator of texts with labelled personal data and secrets, and with lookalikes: versions, dates, times,
hashes, ISBNs, decimals, file names, MAC addresses, C++ scopes, wrong checksums.

All values are random, valid by their rules, and belong to nobody.
"""

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

Make = Callable[[random.Random], str]
Span = tuple[int, int, str]
"""Start and end in characters, and the kind."""
HEX = "0123456789abcdef"
ALPHANUMERIC = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Labelled:
    """A text and the spans in it."""

    text: str
    spans: list[Span]
    either: list[Span]
    """Valid addresses that identify nobody, such as those of private networks: a search may find them or not."""


def some(chance: random.Random, alphabet: str, length: int) -> str:
    return "".join(chance.choices(alphabet, k=length))


def digits(chance: random.Random, pattern: str) -> str:
    """`N` is a digit from 2 to 9, `X` one from 1 to 9, `d` any digit; the rest is literal."""
    kinds = {"N": "23456789", "X": "123456789", "d": string.digits}
    return "".join(chance.choice(kinds[character]) if character in kinds else character for character in pattern)


FIRST = (
    "anna", "joe", "maria", "li", "omar", "kofi", "olga", "ivan", "emma", "noah", "lucas", "sofia", "chen", "fatima",
    "peter", "jana",
)  # fmt: skip
LAST = (
    "smith", "muller", "garcia", "kim", "hassan", "mensah", "ivanova", "novak", "silva", "tanaka", "brown", "jones",
    "rossi",
)  # fmt: skip
SITES = (
    "example", "mailbox", "uni-north", "shop24", "acme-corp", "post", "firma", "dept.uni", "my-site", "пример",
)  # fmt: skip
ENDS = (
    "com", "org", "net", "de", "fr", "co.uk", "io", "edu", "com.br", "info", "ac.jp", "рф",
)  # fmt: skip


def email(chance: random.Random) -> str:
    first, last = chance.choice(FIRST), chance.choice(LAST)
    local = chance.choice(
        [f"{first}.{last}", f"{first}{chance.randint(1, 99)}", f"{first}_{last}", f"{first}+list", f"{first[0]}-{last}"]
    )
    address = f"{local}@{chance.choice(SITES)}.{chance.choice(ENDS)}"
    return address.title() if address.isascii() and chance.random() < 0.1 else address


def north_american(chance: random.Random) -> str:
    area, exchange, line = digits(chance, "N0d"), digits(chance, "N3d"), digits(chance, "dddd")
    forms = ("({0}) {1}-{2}", "{0}-{1}-{2}", "{0}.{1}.{2}", "{0} {1} {2}")
    forms += ("1-{0}-{1}-{2}", "+1 {0} {1} {2}", "+1-{0}-{1}-{2}")
    return chance.choice(forms).format(area, exchange, line)


INTERNATIONAL = (
    "+49 30 Xdddddd", "+49 (0)171 Xdddddd", "+44 20 7ddd dddd", "+44 (0)121 Xdd dddd", "+33 1 dd dd dd dd",
    "+33 6dddddddd", "+39 06 Xddddddd", "+34 6dd ddd ddd", "+7 495 Xdd-dd-dd", "+86 138 dddd dddd", "+91 98ddd ddddd",
    "+81-3-dddd-dddd", "+55 11 9dddd-dddd", "+61 2 9ddd dddd", "+234 803 ddd dddd", "+972-3-ddd-dddd",
    "+358 40 ddddddd", "0049 30 Xdddddd",
)  # fmt: skip
NATIONAL = (
    "020 7ddd dddd", "0121 Xdd dddd", "07dXd dddddd", "01632 dddddd", "01 Xd dd dd dd", "06.Xd.dd.dd.dd",
    "030 Xdddddd", "030/Xdddddd", "0171 Xdddddd", "0171-Xdddddd", "03-dddd-dddd", "090-dddd-dddd", "010-dddd-dddd",
    "(02) 9ddd dddd", "(020) 7ddd dddd", "0412 ddd ddd", "044 Xdd dd dd", "010-Xddddddd", "138 dddd dddd",
    "(11) 9dddd-dddd", "(4dd) Xdd-dd-dd", "(0212) Xdd dd dd", "02-Xdd-dddd", "0301234567", "612 345 678", "98ddd ddddd",
    "3d dd dd dd",
)  # fmt: skip
"""The last four are phone numbers too, but their groups do not distinguish them from other numbers."""


def octets(chance: random.Random, first: list[int]) -> str:
    return ".".join(map(str, [chance.choice(first), *(chance.randint(0, 255) for _ in range(3))]))


def ipv4(chance: random.Random) -> str:
    return octets(chance, [5, 8, 23, 37, 46, 52, 62, 77, 80, 91, 104, 128, 141, 151, 178, 185, 193, 194, 212, 217])


def ipv6(chance: random.Random) -> str:
    first = chance.choice(["2001:4860", "2a00:1450", "2600:1f18", "2400:cb00", "2a02:810"])
    groups = [f"{chance.randrange(1, 0xFFFF):x}" for _ in range(6)]
    form = chance.choice(
        ["{}:" + ":".join(groups), "{}::" + groups[0], "{}:" + ":".join(groups[:2]) + "::" + groups[2]]
    )
    text = form.format(first)
    return text.upper() if chance.random() < 0.2 else text


def check_digit(number: str) -> str:
    """The Luhn check digit for a number without one."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(number))]
    return str(-sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10)


def card_digits(chance: random.Random) -> str:
    start, length = chance.choice(
        [("4", 16), ("52", 16), ("2345", 16), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16), ("62", 19)]
    )
    number = start + some(chance, string.digits, length - len(start) - 1)
    return number + check_digit(number)


def grouped(number: str, separator: str) -> str:
    sizes = {14: (4, 6, 4), 15: (4, 6, 5), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}[len(number)]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return separator.join(number[start : start + size] for start, size in zip(starts, sizes, strict=True))


def card(chance: random.Random) -> str:
    return grouped(card_digits(chance), chance.choice(["", " ", "-"]))


ACCOUNTS = {
    "DE": "d" * 18, "FR": "d" * 10 + "A" * 11 + "dd", "GB": "AAAA" + "d" * 14, "NL": "AAAA" + "d" * 10, "ES": "d" * 20,
    "NO": "d" * 11, "MT": "AAAA" + "d" * 5 + "A" * 18, "CH": "d" * 17, "PL": "d" * 24, "SA": "d" * 20,
}  # fmt: skip


def account(chance: random.Random) -> str:
    country, pattern = chance.choice(list(ACCOUNTS.items()))
    rest = "".join(chance.choice(string.ascii_uppercase if c == "A" else string.digits) for c in pattern)
    number = int("".join(str(int(c, 36)) for c in rest + country + "00"))
    return f"{country}{98 - number % 97:02d}{rest}"


def fours(text: str) -> str:
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def iban(chance: random.Random) -> str:
    found = account(chance)
    return found if chance.random() < 0.5 else fours(found)


def us_ssn(chance: random.Random) -> str:
    area = chance.choice([*range(1, 666), *range(667, 900)])
    separator = chance.choice(["-", "-", "-", " "])
    return f"{area:03d}{separator}{chance.randint(1, 99):02d}{separator}{chance.randint(1, 9999):04d}"


def block(label: str, content: str) -> str:
    """Assembled at run time, so that no file contains a key block."""
    marker = "-" * 5
    return f"{marker}BEGIN {label}{marker}{content}{marker}END {label}{marker}"


def private_key(chance: random.Random) -> str:
    label = chance.choice(
        ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
    )
    headers = [f"Comment: Joe <{email(chance)}>", ""] if label.startswith("PGP") else []
    lines = [some(chance, ALPHANUMERIC + "+/", 64) for _ in range(chance.randint(1, 6))] + [
        some(chance, ALPHANUMERIC, 22) + "=="
    ]
    return block(label, "\n".join(["", *headers, *lines, ""]))


def jwt(chance: random.Random) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": str(chance.randint(1, 10**9)), "name": chance.choice(FIRST)}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, some(chance, ALPHANUMERIC + "-_", 43)])


def access_token(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return in_parts(chance)
    prefix, alphabet, length = chance.choice(
        [
            ("AKIA", string.ascii_uppercase + "234567", 16),
            ("ghp_", ALPHANUMERIC, 36),
            ("github_pat_", ALPHANUMERIC, 82),
            ("glpat-", ALPHANUMERIC, 20),
            ("xoxb-", string.digits + "-" + string.ascii_letters, 50),
            ("AIza", ALPHANUMERIC, 35),
            ("sk_live_", ALPHANUMERIC, 24),
            ("hf_", string.ascii_letters, 34),
            ("sk-proj-", ALPHANUMERIC, 48),
            ("sk-ant-api03-", ALPHANUMERIC, 95),
            ("npm_", ALPHANUMERIC, 36),
            ("dckr_pat_", ALPHANUMERIC, 27),
            ("ya29.", ALPHANUMERIC, 180),
        ]
    )
    return (
        prefix + some(chance, alphabet, length - 2) + "x7"
        if alphabet is ALPHANUMERIC
        else prefix + some(chance, alphabet.strip("-"), length)
    )


def in_parts(chance: random.Random) -> str:
    """Tokens whose parts are joined by a character that words do not have."""
    upper, secret = string.ascii_uppercase + string.digits, ALPHANUMERIC + "_"
    return chance.choice(
        [
            f"SG.{some(chance, secret, 22)}.{some(chance, secret, 43)}",
            f"ya29.c.{some(chance, secret, 200)}",
            f"hooks.slack.com/services/T{some(chance, upper, 10)}/B{some(chance, upper, 10)}/"
            + some(chance, ALPHANUMERIC, 24),
            f"AccountKey={some(chance, ALPHANUMERIC + '+/', 86)}==",
            f"{digits(chance, 'Xddddddddd')}:A{some(chance, secret + '-', 34)}",
        ]
    )


VALUES: tuple[tuple[str, Make], ...] = (
    ("email", email),
    ("phone", north_american),
    ("phone", lambda chance: digits(chance, chance.choice(INTERNATIONAL))),
    ("phone", lambda chance: digits(chance, chance.choice(NATIONAL))),
    ("ipv4", ipv4),
    ("ipv6", ipv6),
    ("credit_card", card),
    ("iban", iban),
    ("us_ssn", us_ssn),
    ("private_key", private_key),
    ("jwt", jwt),
    ("access_token", access_token),
)


def wrong_card(chance: random.Random) -> str:
    number = card_digits(chance)
    return grouped(number[:-1] + str((int(number[-1]) + chance.randint(1, 9)) % 10), chance.choice(["", " ", "-"]))


def wrong_account(chance: random.Random) -> str:
    found = account(chance)
    wrong = found[:-1] + str((int(found[-1], 36) + chance.randint(1, 9)) % 10)
    return wrong if chance.random() < 0.5 else fours(wrong)


def isbn(chance: random.Random) -> str:
    thirteen = digits(chance, "978-d-dddd-dddd-d")
    return chance.choice([thirteen, thirteen.replace("-", ""), digits(chance, "d-dddd-dddd-d")])


def special_address(chance: random.Random) -> str:
    network = f"192.168.{chance.randint(0, 255)}.{chance.randint(0, 255)}"
    return chance.choice([network, octets(chance, [10, 127]), "::1", "fe80::1", "2001:db8::8:800", "fd00::12:1"])


NEAR_MISSES: tuple[Make, ...] = (
    wrong_card,
    wrong_card,
    wrong_account,
    wrong_account,
    isbn,
    lambda chance: ".".join(str(chance.randint(0, 20)) for _ in range(5)),
    lambda chance: f"version {octets(chance, [1, 2, 3])}",
    lambda chance: f"v{octets(chance, [1, 2, 3])}",
    lambda chance: f"{octets(chance, [1, 2, 3])}-rc1",
    lambda chance: f"Chrome/{octets(chance, [91, 120])}",
    lambda chance: (
        f"{chance.randint(1, 99)}.{chance.randint(256, 999)}.{chance.randint(0, 99)}.{chance.randint(0, 99)}"
    ),
    special_address,
    special_address,
    special_address,
    lambda chance: f"{chance.randint(1990, 2030)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
    lambda chance: f"{chance.randint(1, 28):02d}.{chance.randint(1, 12):02d}.{chance.randint(1990, 2030)}",
    lambda chance: f"{chance.randint(1, 28):02d}/{chance.randint(1, 12):02d}/{chance.randint(1990, 2030)}",
    lambda chance: f"{chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}:{chance.randint(0, 59):02d}",
    lambda chance: digits(chance, "2024-0X-1dT1d:2d:3d+02:00"),
    lambda chance: some(chance, HEX, chance.choice([32, 40, 64])),
    lambda chance: "-".join(some(chance, HEX, size) for size in (8, 4, 4, 4, 12)),
    lambda chance: ":".join(some(chance, HEX, 2) for _ in range(6)),
    lambda chance: ":".join(some(chance, HEX, 2) for _ in range(16)),
    *(
        partial(digits, pattern=pattern)
        for pattern in ("0.dddddddddddddddd", "X.ddddddddd", "Xdd,ddd,ddd.dd", "Xdd ddd ddd", "Xddddddddd", "+dd.d")
    ),
    lambda chance: (
        f"{chance.choice(['icon', 'logo', 'hero-image'])}@{chance.randint(2, 3)}x.{chance.choice(['png', 'webp'])}"
    ),
    lambda chance: f"{chance.choice(['left-pad', 'lodash', 'react'])}@{chance.randint(1, 20)}.{digits(chance, 'd.d')}",
    lambda chance: chance.choice(["a::b", "std::vector", "ab::cd", "Foo::bar", "dead::beef", "std::dec", "c::d::e"]),
    lambda chance: chance.choice(["@property", "user@localhost", "git@host:path", "me @ home", "printf@plt", "@joe"]),
    *(
        partial(digits, pattern=pattern)
        for pattern in ("arXiv:2dddd.ddddd", "10.1000/ddd.dddd", "ISSN Xddd-dddd", "ZIP Xdddd-dddd")
    ),
    lambda chance: (
        digits(chance, "900-dd-dddd").replace("900", chance.choice(["000", "666", "9dd"]), 1).replace("d", "1")
    ),
    *(partial(digits, pattern=pattern) for pattern in ("1999-2004, 1985-1990", "part 123-456-dddd")),
    lambda chance: block("PUBLIC KEY", "\n" + some(chance, ALPHANUMERIC, 64) + "\n"),
    lambda chance: block("PRIVATE KEY", " and "),
    lambda chance: chance.choice(
        [
            *("SG.some.name", "ya29.txt", "hooks.slack.com/services/", "AccountKey=...", "1700000000:Alert"),
            *("sk-folding-cube", "hf_hub_download", "task-force-one-and-more-of-the-same-kind-12", "ghp_", "xoxo-love"),
        ]
    ),
    lambda chance: "eyJ" + some(chance, ALPHANUMERIC, 30),
)
"""Lookalikes, including addresses that identify nobody."""

FRAMES = (
    "Please write to {} for more.", "See {}.", "It is {}, as before.", "({})", "Old: {}; new one follows",
    '"{}" was given', "The value {} was recorded in the list", "{}", "contact: {}", "from {} on",
    "As they said:\n{}\nand so on.", "a={} b",
)  # fmt: skip
PROSE = (
    "The river runs north of the old town.", "In 1998 about 12,000 people lived there.",
    "Prices rose by 3.5% in May.", "He said “nothing” and left.", "Sie kamen um 8:30 Uhr an.",
    "Chapter 4.2 has the details.", "ÉTÉ à la plage — 中文也行。",
)  # fmt: skip


def labelled(seed: int, texts: int) -> Iterator[Labelled]:
    """Texts of a few sentences each, with about as many near misses as values."""
    chance = random.Random(seed)
    for _ in range(texts):
        text, spans, either = "", [], []
        for _ in range(chance.randint(2, 8)):
            drawn = chance.random()
            if drawn < 0.3:
                text += chance.choice(PROSE)
            else:
                kind, make = chance.choice(VALUES) if drawn < 0.65 else ("", chance.choice(NEAR_MISSES))
                before, after = chance.choice(FRAMES).split("{}")
                value = make(chance)
                start = len(text + before)
                if kind:
                    spans.append((start, start + len(value), kind))
                elif make is special_address:
                    either.append((start, start + len(value), "address"))
                text += before + value + after
            text += chance.choice([" ", "\n", "\n\n"])
        yield Labelled(text, spans, either)
