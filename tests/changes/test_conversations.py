"""Conversations in the lists of documents: any turn and the rejected answer count, and the difference is shown."""

from pathlib import Path

import pytest

from tasks.changes.manifest import hash_batch, hash_document, read_manifest, write_manifests
from tasks.changes.texts import find_texts, shorten
from tasks.formats.corpus import shards
from tests.chats import chat_batch, chat_row, turns, write_chats


@pytest.mark.parametrize(
    "other",
    [
        chat_row("a", turns("q", "x", system="t"), "r"),
        chat_row("a", turns("q", "y", system="s"), "r"),
        chat_row("a", turns("q", "x", system="s"), "z"),
    ],
)
def test_each_turn_and_the_rejected_answer_change_the_hash(other: dict[str, str]) -> None:
    one = chat_row("a", turns("q", "x", system="s"), "r")
    assert hash_batch(chat_batch([one])) != hash_batch(chat_batch([other]))
    assert hash_batch(chat_batch([one])) == [hash_document("q", "x", None, one["messages"], "r")]


def test_a_changed_answer_is_listed_and_shown(tmp_path: Path) -> None:
    found = []
    for name, answer in (("old", "one"), ("new", "two")):
        write_chats(tmp_path / name / "clean/test", [chat_row("a", turns("q", answer)), chat_row("b", turns("p", "z"))])
        (path,) = write_manifests(tmp_path / name).values()
        table = read_manifest(path).table
        assert table is not None
        wanted = dict(zip(table["id"], table["hash"], strict=True))
        found.append((wanted, find_texts([shards(tmp_path / name / "clean/test")], wanted)))
    (before, old), (after, new) = found
    assert [name for name in before if before[name] != after[name]] == ["a"]
    assert shorten(old["a"], new["a"]) == ("user: q assistant: one", "user: q assistant: two")


def test_a_rejected_answer_is_shown_too(tmp_path: Path) -> None:
    row = chat_row("a", turns("q", "x"), "worse")
    write_chats(tmp_path / "raw", [row])
    wanted = dict(zip("a", hash_batch(chat_batch([row])), strict=True))
    assert find_texts([shards(tmp_path / "raw")], wanted) == {"a": "user: q\nassistant: x\nrejected: worse"}
