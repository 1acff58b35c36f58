"""Examples and near misses of each kind. Tokens and keys are assembled at run time, so that no file contains one."""

import pytest

from tests.clean.rules.privacy.labelled import block
from tests.clean.rules.privacy.test_search import find

TEXT_64 = "Ab1+" * 16


BEGIN = block("RSA PRIVATE KEY", "").partition("-----END")[0]


def joined(*parts: str) -> str:
    return "".join(parts)


WHOLE = {
    "email": [
        "joe@example.org",
        "a" * 64 + "@example.org",
        "o'neil+x@dept.uni-north.ac.uk",
        "müller@bücher.de",
        "JOE@EXAMPLE.COM",
        "joe@пример.рф",
        "joe@пример-2.com",
        "joe@mail.xn--p1ai",
        "joe@उदाहरण.भारत",
        "joe@例子.中国",
        "joe＠example.org",
        "ｊｏｅ＠ｅｘａｍｐｌｅ．ｏｒｇ",
        "joe﹫example.org",
        "joe@mail。example｡org",
        "joe@例子．中国",
        "иван.петров@пример.рф",
        "संपर्क@उदाहरण.भारत",
        "مكتب7@example.org",
    ],
    "private_key": [
        block("PRIVATE KEY", f"\n{TEXT_64}\n"),
        block("RSA PRIVATE KEY", f"\n{TEXT_64}\n"),
        block("PGP PRIVATE KEY BLOCK", f"\n\n{TEXT_64}\n=abcd\n"),
        block("PRIVATE KEY", "A" * 40),
        block("PGP PRIVATE KEY BLOCK", f"\nVersion: 1\nComment: Joe <joe@example.org> [a]\n\n{TEXT_64}\n=abcd\n"),
        BEGIN + f"\n{TEXT_64}",
        BEGIN + f"\\n{TEXT_64}\\n{TEXT_64}",
        BEGIN + f"\n> Comment: Joe <joe@example.org>\n>\n> {TEXT_64}",
    ],
    "jwt": [joined("ey", "J" + "a" * 7, ".ey", "J" + "b" * 7, ".", "c" * 20)],
    "access_token": [
        joined("AK", "IA", "A2" * 8),
        joined("gh", "p_", "aB3" * 12),
        joined("xo", "xb-", "1" * 20),
        joined("sk", "-", "a" * 30 + "12"),
        joined("h", "f_", "x" * 34),
        joined("github", "_pat_", "a1" * 30),
        joined("S", "G.", "a-_9" * 5 + "xx", ".", "B" * 43),
        joined("ya", "29.", "a0" * 15),
        joined("ya", "29.c.", "a0" * 14),
        joined("dckr", "_pat_", "aB-" * 9),
        joined("dckr", "_oat_", "aB-_" * 8),
        joined("hooks.slack.com/", "services/T0", "1A" * 4, "/B", "1A" * 4, "/", "aB3" * 8),
        joined("Account", "Key=", "a+/B" * 21, "ab=="),
        joined("12345678", ":", "AA", "h" * 33),
        joined("1234567890", ":", "Ab-_", "9" * 31),
    ],
    "iban": [
        "DE89370400440532013000",
        "ＤＥ８９３７０４００４４０５３２０１３０００",
        "DE89 3704 0044 0532 0130 00",
        "GB29-NWBK-6016-1331-9268-19",
        "NO9386011117947",
    ],
    "credit_card": [
        *("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005", "36000000000008"),
        *("5555\u00a05555\u00a05555\u00a04444", "٤١١١ ١١١١ ١١١١ ١١١١", "４１１１－１１１１－１１１１－１１１１"),
    ],
    "ipv6": ["2001:4860:4860::8888", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "2600:1f18:1:2:3:4:5:6"],
    "ipv4": ["8.8.8.8", "91.0.0.255", "1.1.1.1", "８．８．８．８", "۸.۸.۸.۸"],
    "us_ssn": ["536-90-4399", "001-01-0001", "899 99 9999", "५३६-९०-४३९९"],
    "phone": [
        *("+49 30 1234567", "+44 (0)20 7946 0958", "(+33) 1 23 45 67 89", "0049 30 1234567", "+229 01 20 21 12 34"),
        *("(212) 555-0123", "212-555-0123", "1 212 555 0123"),
        *("020 7946 0958", "01 23 45 67 89", "01.23.45.67.89", "030/1234567", "(0212) 345 67 89"),
        *("+۹۸ ۹۱۲ ۳۴۵ ۶۷۸۹", "０３−１２３４−５６７８", "（０２）９８７６－５４３２", "+๖๖ ๒ ๑๒๓ ๔๕๖๗", "০১৭১১-১২৩৪৫৬"),
        *("(495) 123-45-67", "(11) 91234-5678", "138 1234 5678"),
    ],
}
NOTHING = [
    "joe@example.notadomain",
    "a" * 65 + "@example.org",
    "icon@2x.png",
    "joe@localhost",
    "joe@пример.нетакого",
    "joe@例子.中国谢谢",
    "иван@localhost.нетакого",
    "joe.@example.org",
    block("PUBLIC KEY", f"\n{TEXT_64}\n"),
    block("PRIVATE KEY", "A" * 39),
    block("PRIVATE KEY", " … "),
    block("PUBLIC KEY", f"\n{TEXT_64}\n").partition("-----END")[0],
    block("CERTIFICATE", f"\nComment: <a>\n{TEXT_64}\n"),
    BEGIN + "\nComment: nothing else\n" + "A" * 39,
    BEGIN + f" begins a key, and its lines are as long as this: {TEXT_64}",
    joined("ey", "J" + "a" * 6, ".ey", "J" + "b" * 7, ".", "c" * 20),
    joined("ey", "J" + "a" * 7, ".ey", "J" + "b" * 7, ".", "c" * 19),
    joined("AK", "IA", "A2" * 7 + "A"),
    joined("AK", "IA", "A2" * 8 + "A"),
    joined("gh", "p_", "aB3" * 11 + "aB"),
    joined("sk", "-", "a" * 31 + "1"),
    joined("S", "G.", "a" * 22, ".", "B" * 42),
    joined("S", "G.", "a" * 21, ".", "B" * 44),
    joined("S", "G.", "a" * 66),
    joined("ya", "29.", "a0" * 14 + "a"),
    joined("dckr", "_pat_", "aB-" * 9 + "a"),
    joined("hooks.slack.com/", "services/T0", "1A" * 4, "/B", "1A" * 4, "/", "a" * 22),
    joined("Account", "Key=", "a+/B" * 21, "a=="),
    joined("1234567", ":", "A" * 35),
    joined("12345678901", ":", "A" * 35),
    joined("12345678", ":", "B" * 35),
    joined("12345678", ":", "A" * 34),
    joined("12345678", ":", "A" * 36),
    joined("robot12345678", ":", "A" * 35),
    joined("sk", "-", "a" * 29 + "12"),
    "DE89370400440532013001",
    "DE8937040044053201300",
    "XX89370400440532013000",
    "DE89 37040044053201300 0",
    "4111111111111112",
    "4111 1111 1111 1112",
    "9111111111111111",
    "4111 1111 1111 1111 1234",
    "4111 1111 1111 1111 5555 5555 5555 4445",
    "1234 4111 1111 1111 1111",
    "4111.1111.1111.1111",
    "6264 8276 3076 2023 150",
    "std::vector a::b 10:20:30 de:ad:be:ef:00:01",
    "1234:5678::1",
    "::1 fe80::1 2001:db8::1",
    "256.1.1.1 1.2.3 1.2.3.4.5 01.2.3.4",
    "version 8.8.8.8, v8.8.8.8, Chrome/8.8.8.8, 8.8.8.8-rc1",
    "127.0.0.1 10.0.0.1 192.168.1.1 172.16.0.1 100.64.0.1 224.0.0.1",
    "git@github.com:user/repo.git git@gitlab.com:group/sub/repo deploy@example.com:/srv/app git@example.com:repo",
    "https://joe@example.com/a/repo.git sftp://joe@example.com/a joe@example.com::backup/a joe@example.com::a",
    "ssh://git@example.com/repo git+ssh://joe@example.com:22/repo https://git@example.com/repo joe@example.com:a.git",
    "版本１２．３　第４１１１号　２０２４－０１－３１　１，２３４，５６７ ١٢٣٤٥٦٧٨",
    "495 123-45-67",
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000 078-05-1120",
    "536904399",
    "2024-01-31 31.01.2024 01/31/2024 12:30:45",
    "978-3-16-148410-0 ISBN 0-306-40615-2",
    "555-0123 12 345 678 1,234,567.89 3.14159265",
    "112-555-0123 212-155-0123 211-555-0123",
    "+999 1234567 +49 12345 +1 112 555 0123",
    "0 0049 30 1234567",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WHOLE.items() for text in texts])
def test_it_is_found_whole(kind: str, text: str) -> None:
    assert find(text) == [(0, len(text), kind)]
    assert find(f"Was {text}, or not?") == [(4, 4 + len(text), kind)]


@pytest.mark.parametrize("text", NOTHING)
def test_this_is_none_of_them(text: str) -> None:
    assert find(text) == []


@pytest.mark.parametrize("blank", "\u00a0\u2000\u2002\u2003\u2007\u2009\u200a\u202f\u205f\u3000")
@pytest.mark.parametrize("kind", ["iban", "credit_card", "us_ssn", "phone"])
def test_blanks_of_any_width_separate_digits(kind: str, blank: str) -> None:
    for text in WHOLE[kind]:
        if " " in text:
            wide = text.replace(" ", blank)
            assert find(f"Was {wide}, or not?") == [(4, 4 + len(text), kind)]


@pytest.mark.parametrize("dash", "‐‑‒–−﹣－")
@pytest.mark.parametrize("kind", ["credit_card", "us_ssn", "phone"])
def test_dashes_of_any_kind_separate_digits(kind: str, dash: str) -> None:
    for text in WHOLE[kind]:
        if "-" in text:
            assert find(f"Was {text.replace('-', dash)}, or not?") == [(4, 4 + len(text), kind)]


def test_an_account_number_may_be_in_columns() -> None:
    assert find("DE89\t3704\t0044\t0532\t0130\t00\tJoe") == [(0, 27, "iban")]


def test_a_card_may_have_its_security_code_beside_it() -> None:
    assert find("4111 1111 1111 1111 123") == [(0, 19, "credit_card")]


def test_cards_with_a_blank_between_them_are_all_found() -> None:
    cards = ["4111 1111 1111 1111", "5555 5555 5555 4444", "4111 1111 1111 1111", "3782 822463 10005"]
    for count in (2, 3, 4):
        starts = range(0, 20 * count, 20)
        spans = [(start, start + len(card), "credit_card") for start, card in zip(starts, cards, strict=False)]
        assert find(" ".join(cards[:count])) == spans


def test_an_address_ends_with_its_sentence() -> None:
    for after in (": or", ":hunter2", ":8080/x", "://x", ":", ":.git", "/joe"):
        assert find(f"joe@example.com{after}") == [(0, 15, "email")]
    assert find("git@example.com, git@example.com: or") == [(0, 15, "email"), (17, 32, "email")]
    assert find("joe@example.com.Then") == [(0, 15, "email")]
    assert find("joe@example.com谢谢") == [(0, 15, "email")]
    assert find("联系joe@example.com。谢谢") == [(2, 17, "email")]
    assert find("https://joe@example.com/repo") == [(8, 23, "email")]
    assert find("joe@example.com.Москва") == [(0, 15, "email")]
    assert find("«joe@пример.рф».") == [(1, 14, "email")]
    assert find("joe@example.com.au.") == [(0, 18, "email")]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n> ", "\\n"])
def test_a_key_that_is_cut_off_goes_to_its_last_line(line_end: str) -> None:
    key = line_end.join([BEGIN, TEXT_64, TEXT_64, "Ab1="])
    assert find(key) == [(0, len(key), "private_key")]
    assert find(f"{key}{line_end}{line_end}Then{line_end}") == [(0, len(key), "private_key")]
    assert find(f"{key}{line_end}And so on.") == [(0, len(key), "private_key")]
    other = block("EC PRIVATE KEY", "").partition("-----BEGIN EC PRIVATE KEY-----")[2]
    assert find(f"{key}{line_end}{other}") == [(0, len(key), "private_key")]


def test_a_token_in_an_address_of_its_service_is_found() -> None:
    secret = joined("12345678", ":", "A" * 35)
    assert find(f"https://api.telegram.org/bot{secret}/getMe") == [(28, 72, "access_token")]
    hook = joined("hooks.slack.com/", "services/T", "1" * 8, "/B", "1" * 8, "/", "a" * 24)
    assert find(f"curl https://{hook}.") == [(13, 13 + len(hook), "access_token")]
    key = joined("Account", "Key=", "ab" * 43, "==")
    assert find(f"AccountName=joe;{key};EndpointSuffix=core") == [(16, 16 + len(key), "access_token")]
