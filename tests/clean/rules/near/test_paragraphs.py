import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clean.exact import GONE
from tasks.clean.rules.near.paragraphs import (
    first_paragraphs,
    paragraphs_of,
    read_paragraphs,
    without,
    write_paragraphs,
)
from tasks.clean.rules.near.settings import ParagraphSettings
from tasks.stage.errors import DataError
from tests.clean.rules.near import reference
from tests.clean.rules.near.memory import peak_memory
from tests.clean.rules.near.reference import column

BREAKS = {"blank_line": r"\n{2,}|\n\Z", "line": r"\n+"}
texts_of_paragraphs = st.lists(
    st.lists(st.one_of(reference.text, reference.few_words, st.sampled_from(["", "\n", "\n\n\n"])), max_size=8).map(
        "\n\n".join
    ),
    max_size=6,
)


def pieces(text: str, separator: str) -> list[str]:
    """Paragraphs with the line feeds after them."""
    ends = [found.end() for found in re.finditer(BREAKS[separator], text)]
    return [part for part in map(lambda a, b: text[a:b], [0, *ends], [*ends, len(text)]) if part]


def plain(texts: list[str], priorities: list[int], chosen: ParagraphSettings) -> list[str]:
    seen, kept = set[tuple[str, ...]](), [""] * len(texts)
    for document in sorted(range(len(texts)), key=lambda document: (priorities[document], document)):
        staying: list[str] = []
        last = True
        for piece in pieces(texts[document], chosen.separator) if priorities[document] != GONE else ():
            words = tuple(reference.words(piece))
            last = len(words) < chosen.min_words or words not in seen
            if last:
                staying.append(piece)
            if len(words) >= chosen.min_words:
                seen.add(words)
        kept[document] = "".join(staying) if last else "".join(staying).rstrip("\n")
    return kept


def cleaned(
    folder: Path,
    texts: Sequence[str | None],
    chosen: ParagraphSettings,
    priorities: list[int] | None = None,
    cut: int = 1000,
    memory: int = 1 << 20,
) -> list[str | None]:
    """All three steps, on batches of `cut` documents."""
    batches = [column(texts)[begin : begin + cut] for begin in range(0, len(texts), cut)]
    paths = [folder / f"{number}.paragraphs" for number in range(len(batches))]
    for path, batch in zip(paths, batches, strict=True):
        write_paragraphs(paragraphs_of(batch, chosen), path)
    staying = first_paragraphs(paths, None if priorities is None else np.array(priorities, np.uint8), memory)
    kept: list[str | None] = []
    for path, batch, some in zip(paths, batches, staying, strict=True):
        result = without(batch, read_paragraphs(path), some)
        result.validate(full=True)
        kept += result.to_pylist()
    return kept


@settings(max_examples=200)
@given(texts_of_paragraphs, st.sampled_from(["blank_line", "line"]), st.integers(1, 3), st.integers(1, 6), st.data())
def test_paragraphs_that_were_there_before_go(
    tmp_path_factory, texts: list, separator: str, least: int, cut: int, data
) -> None:
    chosen = ParagraphSettings(separator=separator, min_words=least)
    many = {"min_size": len(texts), "max_size": len(texts)}
    priorities = data.draw(st.one_of(st.none(), st.lists(st.sampled_from([0, 1, 2, GONE]), **many)))
    memory = data.draw(st.sampled_from([24, 100, 1 << 20]))
    kept = cleaned(tmp_path_factory.mktemp("some"), texts, chosen, priorities, cut, memory)
    assert kept == plain(texts, priorities or [0] * len(texts), chosen)


NOTICE = "This notice is in every file."


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{NOTICE}\n\nSomething new.", "Something new."),
        (f"Something new.\n\n{NOTICE}", "Something new."),
        (f"A\n\n{NOTICE.upper()}\n\n\nB\n", "A\n\nB\n"),
        (f"{NOTICE}\n", ""),
        (f"{NOTICE} Or not.", f"{NOTICE} Or not."),
        ("A\nB", "A\nB"),
    ],
)
def test_the_rest_of_a_text_stays_as_it_is(text: str, left: str, tmp_path: Path) -> None:
    assert cleaned(tmp_path, [NOTICE, text], ParagraphSettings()) == [NOTICE, left]


def test_memory_is_bounded_however_many_paragraphs_there_are(tmp_path: Path) -> None:
    files, each, memory = 30, 2000, 100_000
    paths = [tmp_path / str(number) for number in range(files)]
    for number, path in enumerate(paths):
        lines = [f"paragraph {place} of the file {number}" for place in range(each)]
        write_paragraphs(paragraphs_of(column(["\n".join(lines)]), ParagraphSettings(separator="line")), path)
    staying, peak = peak_memory(lambda: first_paragraphs(paths, memory=memory))
    assert all(some.all() for some in staying)
    assert peak < memory + files * each + 3 * paths[0].stat().st_size + 20_000


def test_a_million_line_feeds_and_a_column_of_nothing(tmp_path: Path) -> None:
    chosen = ParagraphSettings(separator="line", min_words=1)
    for texts in (["\n" * 1_000_000], ["a\n" * 300_000], [], [None, ""]):
        assert cleaned(tmp_path, texts, chosen) == ["a" if text and "a" in text else text or "" for text in texts]
    assert np.array_equal(paragraphs_of(column([None, ""]), chosen).counts, [0, 0])


def test_a_file_that_holds_no_paragraphs_is_told(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_paragraphs(paragraphs_of(column([NOTICE, None]), ParagraphSettings()), whole)
    for content in (whole.read_bytes()[:-1], b"x" * 80, b""):
        cut.write_bytes(content)
        with pytest.raises(DataError, match="cut: not a complete paragraph file"):
            first_paragraphs([whole, cut])
