"""Masking: counts by kind, no values; idempotent; each text independent; precision and recall of the search."""

import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.clean.rules.privacy.mask import dropped, mask
from tasks.clean.rules.privacy.settings import KINDS, PrivacySettings, Treatment
from tasks.clean.verdict import Verdict
from tests.clean.rules.privacy import reference
from tests.clean.rules.privacy.labelled import block, labelled
from tests.clean.rules.privacy.scores import score
from tests.clean.rules.privacy.test_search import find, texts

DEFAULT = PrivacySettings()
quick = settings(max_examples=150)
MAIL, ADDRESS = "joe@example.org", "8.8.4.4"
KEY = block("PRIVATE KEY", "\n" + "MIIE" * 16 + "\n")


def masked(text: str, given: PrivacySettings = DEFAULT) -> str:
    return mask(pa.array([text]), given).column[0].as_py()


def counts_of(text: str, given: PrivacySettings = DEFAULT) -> dict[str, int]:
    row = mask(pa.array([text]), given).counts[0].tolist()
    return {kind: count for kind, count in zip(KINDS, row, strict=True) if count}


treatments = st.builds(
    Treatment, action=st.sampled_from(["replace", "keep"]), placeholder=st.sampled_from([None, "[x]", "<a b|c>"])
)
given_settings = st.builds(PrivacySettings, **{kind: treatments for kind in KINDS})


@quick
@given(texts, given_settings)
@example(f"{ADDRESS} 0049 30 1234567 {MAIL}", PrivacySettings(ipv4=Treatment(action="keep")))
def test_a_text_is_masked_as_the_reference_masks_it(text: str, chosen: PrivacySettings) -> None:
    expected, counts = reference.mask(text, chosen)
    assert masked(text, chosen) == expected
    assert counts_of(text, chosen) == {kind: count for kind, count in counts.items() if count}


@quick
@given(texts, given_settings)
def test_a_masked_text_has_nothing_more_to_mask(text: str, chosen: PrivacySettings) -> None:
    once = mask(pa.array([text]), chosen)
    again = mask(once.column, chosen)
    assert again.column.equals(once.column)
    kept = [chosen.placeholder(kind) is None for kind in KINDS]
    assert again.counts[0].tolist() == np.where(kept, once.counts[0], 0).tolist()


@quick
@given(st.lists(st.one_of(texts, st.none()), max_size=5), st.integers(0, 4))
def test_a_text_is_masked_the_same_in_any_company(column: list[str | None], skipped: int) -> None:
    whole = mask(pa.array(column, pa.string()), DEFAULT)
    alone = [text if text is None else masked(text) for text in column]
    assert whole.column.to_pylist() == alone
    rest = mask(pa.array(column, pa.large_string()).slice(skipped), DEFAULT)
    assert rest.column.to_pylist() == alone[skipped:]
    assert rest.counts.tolist() == whole.counts[skipped:].tolist()


def test_what_stands_for_each_kind() -> None:
    assert masked(f"Write to {MAIL}, from {ADDRESS}.") == "Write to <EMAIL>, from <IPV4>."
    assert masked(f"{KEY}{KEY}") == "<PRIVATE_KEY><PRIVATE_KEY>"
    own = PrivacySettings(email=Treatment(placeholder="[mail]"))
    assert masked(MAIL, own) == "[mail]"


def test_a_column_without_anything_is_the_one_that_was_given() -> None:
    column = pa.array(["nothing", None, ""], pa.large_string())
    assert mask(column, DEFAULT).column is column
    assert mask(column, DEFAULT).totals() == {}


def test_what_is_kept_is_counted() -> None:
    keep = PrivacySettings(email=Treatment(action="keep"))
    assert masked(f"{MAIL} {ADDRESS}", keep) == f"{MAIL} <IPV4>"
    assert mask(pa.array([f"{MAIL} {ADDRESS} {MAIL}", MAIL]), keep).totals() == {
        "email": {"found": 3, "documents": 2},
        "ipv4": {"found": 1, "documents": 1},
    }


def test_special_addresses_are_found_where_they_are_asked_for() -> None:
    text = "127.0.0.1 10.1.2.3 fe80::1 192.0.2.1 224.0.0.1 8.8.8.8"
    assert masked(text) == "127.0.0.1 10.1.2.3 fe80::1 192.0.2.1 224.0.0.1 <IPV4>"
    some = PrivacySettings(special_addresses=("private", "link_local"))
    assert masked(text, some) == "127.0.0.1 <IPV4> <IPV6> 192.0.2.1 224.0.0.1 <IPV4>"


def test_a_document_is_dropped_above_the_threshold_of_the_first_kind() -> None:
    chosen = PrivacySettings(email=Treatment(action="drop", threshold=1), ipv4=Treatment(action="drop"))
    column = pa.array([MAIL, f"{MAIL} {MAIL}", ADDRESS, f"{MAIL} {ADDRESS} {MAIL}", "nothing", None])
    found = mask(column, chosen)
    assert dropped(found.counts, chosen) == {
        1: Verdict("email", "2", "1"),
        2: Verdict("ipv4", "1", "0"),
        3: Verdict("email", "2", "1"),
    }
    assert found.column.to_pylist()[:2] == ["<EMAIL>", "<EMAIL> <EMAIL>"]
    assert dropped(found.counts, DEFAULT) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": {"placeholder": "EMAIL"}},
        {"email": {"placeholder": "<1.2.3.4>"}},
        {"email": {"placeholder": "<" + "x" * 17 + ">"}},
        {"email": {"threshold": 1}},
        {"passport": {}},
        {"special_addresses": ["public"]},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PrivacySettings.model_validate(wrong)


def is_valid(kind: str, value: str) -> bool:
    """The checksum, computed differently from the search and its reference."""
    plain = "".join(character for character in value if character.isalnum())
    if kind == "credit_card":
        pairs = zip(plain[-1::-2], (plain[-2::-2] + "0")[: len(plain[-1::-2])], strict=True)
        return sum(int(odd) + int("0246813579"[int(even)]) for odd, even in pairs) % 10 == 0
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


@settings(max_examples=400)
@given(st.lists(st.from_regex(r"(4[0-9]{3}|[0-9]{4})[ -]?[0-9]{4}", fullmatch=True), min_size=2, max_size=6))
def test_no_number_with_a_wrong_checksum_is_taken_for_a_card(groups: list[str]) -> None:
    text = " ".join(groups)
    assert all(is_valid(kind, text[start:end]) for start, end, kind in find(text) if kind == "credit_card")


def test_nothing_with_a_wrong_checksum_is_found_among_the_labelled_texts() -> None:
    values = [
        (kind, one.text[start:end])
        for one in labelled(5, 1500)
        for start, end, kind in find(one.text)
        if kind in ("credit_card", "iban")
    ]
    assert len(values) > 300
    assert all(is_valid(kind, value) for kind, value in values)
    assert not any(is_valid(kind, value[:-1] + str((int(value[-1], 36) + 1) % 10)) for kind, value in values)


def test_what_is_labelled_is_found_and_little_else() -> None:
    """Phone numbers whose groups do not distinguish them from other numbers are missed."""
    texts = list(labelled(11, 1500))
    labels = Counter(kind for one in texts for _, _, kind in one.spans)
    assert set(labels) == set(KINDS) and min(labels.values()) > 100
    scores = score(texts, find)
    assert {kind for kind, one in scores.items() if one.f1 < 0.99} == {"phone"}
    assert scores["phone"].precision >= 0.99
    assert scores["phone"].recall >= 0.92
    assert all(one.inexact == 0 for one in scores.values())


LONG = 1_000_000
NASTY = {
    "letters": "a",
    "digits": "1",
    "newlines": "\n",
    "at signs": "@",
    "colons": ":",
    "hyphens": "-",
    "dots": "1.",
    "groups": "12 ",
    "fours": "4111 ",
    "brackets": "(0",
    "pluses": "+4",
    "emoji": "🖕🏽",
    "right to left": "עברית ",
    "zero-width": "\u200b",
    "marks": "e\u0301",
    "no-break": "1\u00a0",
    "tokens": "sk-",
    "beginnings of tokens": "eyJ",
    "tokens that never end": "ya29.a",
    "parts of tokens": "SG." + "a" * 22,
    "bots": "12345678:A",
    "keys without an end": "-" * 5 + "BEGIN " + "PRIVATE KEY" + "-" * 5,
    "keys": KEY,
    "keys without an end, with headers": KEY.partition("MIIE")[0] + "Comment: <a@b.org>\nA: b\n" + "MIIE" * 16 + "\n",
    "lines of a key that never ends": "MIIE" * 16 + "\n",
    "addresses": "8.8.8.8 ",
    "addresses and signs": "8.8.8.8@",
    "chain of addresses": "a" * 58 + "@x.com%",
    "chain of numbers": "0049 30 1234567 ",
    "chain of cards": "3600 000000 0008 ",
    "chain of cards in fours": "4111 1111 1111 1111 ",
    "domains": "a@b.",
    "groups of hex": "a:",
}


@pytest.mark.parametrize("unit", NASTY.values(), ids=NASTY)
def test_time_is_linear_in_the_text(unit: str) -> None:
    long = unit * (LONG // len(unit.encode()))
    text = pa.array([long, KEY.partition("MIIE")[0] + long])
    mask(pa.array(["a"]), DEFAULT)
    began = time.process_time()
    mask(text, DEFAULT)
    assert time.process_time() - began < 10, "not linear: quadratic time takes minutes"
