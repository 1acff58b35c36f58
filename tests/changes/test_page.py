"""The page: whole, escaped, without outside parts, and the same each time."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tasks.changes.code import Code, Commit
from tasks.changes.differences import find_changes
from tasks.changes.page import page, write_page
from tasks.formats.pages import POLICY
from tests.changes import language_rows, make_record, texts

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'
VOID = ("meta", "img")


class Elements(HTMLParser):
    """All elements with their attributes; raises AssertionError for one that is closed wrongly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[Any]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def hostile(tmp_path: Path) -> Any:
    test = {**texts(40), f"play-01#{HOSTILE}": HOSTILE * 3}
    old = make_record(tmp_path / "old", "tiny:1", test, steps=30)
    new = make_record(tmp_path / "new", HOSTILE, test, rows=language_rows(test, 0.7), paths=f"'{HOSTILE}'")
    changes = find_changes(old, new, reason=f"better: {HOSTILE}")
    code = Code("a" * 40, "b" * 40, commits=(Commit("abc", "2026-11-27", HOSTILE, HOSTILE, True),), notes=(HOSTILE,))
    return replace(changes, code=code)


def test_texts_of_strangers_are_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    changes = hostile(tmp_path)
    text = page(changes)
    assert POLICY in text
    elements = Elements(text).found
    assert {tag for tag, _ in elements}.isdisjoint({"script", "img", "link", "iframe", "object", "form", "base"})
    for _, attributes in elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert "url(" not in text and "@import" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_the_page_shows_verdict_curves_slices_and_documents(tmp_path: Path) -> None:
    changes = hostile(tmp_path)
    text = page(changes)
    for heading in ("Scores", "Learning curves", "Slices", "Became most better", "Settings", "Commits", "Not known"):
        assert f"<h2>{heading}</h2>" in text, heading
    summary = text[text.index('class="summary"') :]
    assert summary.index("better: ") < summary.index("bits_per_byte") < summary.index("differing: 2 settings")
    assert len(re.findall("<polyline", text)) == 4
    assert len(re.findall("<rect", text)) == len(changes.scores.slices)


def test_the_same_differences_give_the_same_bytes_and_a_whole_file(tmp_path: Path) -> None:
    old = make_record(tmp_path / "old", "tiny:1", texts(40))
    new = make_record(tmp_path / "new", "tiny:2", texts(40), loss=0.9)
    first, second = tmp_path / "pages" / "a.html", tmp_path / "pages" / "b.html"
    write_page(old, new, first)
    write_page(old, new, second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in first.parent.iterdir()) == ["a.html", "b.html"]


def test_ten_thousand_documents_make_a_small_page(tmp_path: Path) -> None:
    test, other = texts(10_000, groups=200), texts(10_000, groups=200, word="other")
    old = make_record(tmp_path / "old", "tiny:1", test, train=other, steps=5000)
    new = make_record(tmp_path / "new", "tiny:2", test, loss=0.9, steps=5000)
    assert len(page(find_changes(old, new))) < 300_000
