"""Hostile texts: no crash, the reference's verdict, and time linear in their bytes.

A test of a large text ends in seconds, or, if time were quadratic, not within days: the timeout is the check.
"""

import pytest

from tasks.clean.rules.quality.judge import LONGEST, UNBOUNDED, judge
from tasks.clean.rules.quality.settings import C4, QualitySettings
from tests.clean.rules.quality import reference
from tests.clean.rules.quality.columns import column, words
from tests.clean.rules.quality.perturbed import UNITS

ALL = [QualitySettings(preset=preset) for preset in ("gopher", "c4", "fineweb")]
OFTEN = {"a letter", "line feeds", "emoji", "combining marks", "Arabic", "labels"}
"""Units for which the test of a million bytes is not slow, so runs every time."""
MILLIONS = [
    pytest.param(unit, id=name, marks=() if name in OFTEN else pytest.mark.slow) for name, unit in UNITS.items()
]
LINES_KEPT = QualitySettings(c4=C4(min_sentences=None, terminal_marks=None, min_words_per_line=None))
ALONE = [QualitySettings.model_validate({section: {}}) for section in ("gopher_quality", "fineweb")]


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_the_reference_agrees_on_runs_of_anything(unit: str) -> None:
    texts = [unit * 60, f"{unit * 60} The end of it.", f"The end.\n{unit * 31}\n{unit * 30}The end", unit, f" {unit}\n"]
    for chosen in (*ALL, *ALONE, LINES_KEPT):
        found = judge(column(*texts), chosen)
        expected = [reference.judged(text, chosen) for text in texts]
        assert found.verdicts == [verdict for _, verdict, _ in expected]
        assert found.texts.to_pylist() == [text for text, _, _ in expected]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("unit", MILLIONS)
def test_a_million_of_anything_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()))
    for chosen in (*ALL, LINES_KEPT):
        found = judge(column(text, f"{text}\n{text}"), chosen)
        if found.verdicts[0] is not None:
            assert found.texts[0].as_py() == text
    few = text[:100_000]
    assert "".join(words(few)) == "".join(few.split())


def test_bytes_that_are_no_text_do_no_harm() -> None:
    """Arrow does not validate UTF-8; the kernels must not read past the end."""
    import pyarrow as pa

    raw = [b"\xff" * 9, b"\xe2\x80", b"a \xf0\x9f", b"\xc3(\x80\x80 b.", b"\xf4\x90\x80\x80"]
    raw += [b"\xed\xa0\x80 \xf8\x88\x80\x80\x80"]
    given = pa.array(raw, pa.large_binary()).view(pa.large_string())
    for chosen in (*ALL, LINES_KEPT):
        found = judge(given, chosen)
        assert len(found.verdicts) == len(raw)
        assert [len(text) for text in found.texts.cast(pa.large_binary()).to_pylist()] == [len(text) for text in raw]


def test_a_document_may_be_as_long_as_its_places_are_numbers() -> None:
    import numpy as np
    import pyarrow as pa

    data = np.zeros(LONGEST + 1, np.uint8)  # never touched, so never allocated
    offsets = np.array([0, len(data)], np.int64)
    too_long = pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(data))
    with pytest.raises(ValueError, match=f"a document of {LONGEST + 1} bytes"):
        judge(too_long, ALL[0])
    assert UNBOUNDED > LONGEST


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("unit", ["a", "the end of it is near. ", "\n", "e\u0301-", "[1] "])
def test_a_line_of_a_hundred_megabytes(unit: str) -> None:
    text = unit * (100_000_000 // len(unit.encode()))
    for chosen in ALL:
        found = judge(column(text), chosen)
        stays = found.verdicts == [None]
        assert not stays or chosen.gopher_quality is None
        assert found.texts[0].as_py() == (text.strip() if stays else text)
