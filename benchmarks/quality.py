"""Quality rules for web text: speed, and agreement with the reference and with datatrove.

MB are millions of bytes of text. `a core` is CPU time of one thread, the best of several, after compilation; other load
still slows it, so the ratio to a peer says more.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from benchmarks.growth import REAL, read_texts
from benchmarks.quality_peers import datatrove
from benchmarks.targets import Target
from benchmarks.timing import best, megabytes
from tasks.clean.rules.quality.judge import judge
from tasks.clean.rules.quality.settings import QualitySettings
from tests.clean.rules.quality import reference
from tests.clean.rules.quality.perturbed import UNITS, made, perturbed
from tests.scratch import ROOT

ASKED = 30
"""MB/s a core, for the rules of Gopher and FineWeb."""
ASKED_AGREEMENT = 0.99
"""Fraction of documents that must agree with datatrove."""
MADE = 4000
PAGE = 8
"""Short descriptions joined to one text of a web page's length."""
SAMPLE = 1000
"""Documents for slow peers."""
TIMES = 4
HOSTILE = 250_000
"""Bytes of a text that repeats one unit; a text of four times the size is measured, too."""

GOPHER_AND_FINEWEB = QualitySettings.model_validate({"preset": "gopher", "fineweb": {}})
CHOSEN = {
    "gopher and fineweb": GOPHER_AND_FINEWEB,
    **{f"preset {name}": QualitySettings(preset=name) for name in ("gopher", "c4", "fineweb")},
}


def measure(_: Path) -> Iterator[str | Target]:
    """Measure on synthetic text, and on real text if present."""
    corpora = {"made": made(MADE, seed=0)}
    if REAL.is_dir():
        real = read_texts(REAL)
        corpora["descriptions"] = real
        corpora["pages"] = ["\n\n".join(real[start : start + PAGE]) for start in range(0, len(real), PAGE)]
    else:
        yield f"no real text: {REAL.relative_to(ROOT)} is missing (dvc repro ingest@bert)"
    for name, texts in corpora.items():
        yield from _speed(name, texts)
    texts = list(corpora.values())[min(1, len(corpora) - 1)]
    samples = {"as they are": texts[:: max(1, len(texts) // SAMPLE)], "perturbed": perturbed(texts, SAMPLE, seed=1)}
    for name, sample in samples.items():
        yield from _beside_the_reference(name, sample)
    yield from _hostile()
    try:
        yield from _beside_datatrove(samples)
    except ImportError as missing:
        yield f"datatrove: not installed ({missing.name}); make bench-peers"


def _speed(name: str, texts: Sequence[str]) -> Iterator[str | Target]:
    column = pa.array(texts, pa.large_string())
    size = megabytes(texts)
    yield f"{name}: {len(texts)} documents, {size:.1f} MB"
    for title, chosen in CHOSEN.items():
        judge(column[:10], chosen)
        rate = size / best(partial(judge, column, chosen), TIMES)
        if chosen == GOPHER_AND_FINEWEB:
            yield Target(f"quality, {name}, {title}", rate, "MB/s a core", ASKED)
        else:
            yield f"  {title:32} {rate:8.1f} MB/s a core"


def _beside_the_reference(name: str, texts: Sequence[str]) -> Iterator[str | Target]:
    """Agreement on verdicts and texts with the plain reference, and our speedup over it."""
    column = pa.array(texts, pa.large_string())
    chosen = CHOSEN["preset fineweb"]
    expected: list[tuple[str, object, Counter[str]]] = []
    slow = best(lambda: expected.extend(reference.judged(text, chosen) for text in texts), 1)
    fast = best(lambda: judge(column, chosen), TIMES)
    found = judge(column, chosen)
    alike = sum(
        verdict == other and text == rewritten
        for verdict, text, (rewritten, other, _) in zip(found.verdicts, found.texts.to_pylist(), expected, strict=True)
    )
    yield f"the reference, {name}: ours is {slow / fast:.0f} times as fast"
    yield Target(f"quality, verdicts of the reference, {name}", alike / len(texts), "of texts", 1)


def _hostile() -> Iterator[str]:
    """The slowest and the least linear text that repeats one unit."""
    chosen = CHOSEN["preset fineweb"]
    rates, growths = {}, {}
    for name, unit in UNITS.items():
        text = unit * (HOSTILE // len(unit.encode()))
        columns = [pa.array([text * times], pa.large_string()) for times in (1, 4)]
        once, four = (best(partial(judge, column, chosen), 2) for column in columns)
        rates[name], growths[name] = 4 * megabytes([text]) / four, four / once
    slowest, steepest = min(rates, key=rates.__getitem__), max(growths, key=growths.__getitem__)
    yield f"of {len(UNITS)} hostile texts, the slowest           {rates[slowest]:8.1f} MB/s a core ({slowest})"
    yield f"  4 times the text takes at most       {growths[steepest]:8.1f} times as long ({steepest}); 4 is linear"


def _beside_datatrove(samples: Mapping[str, Sequence[str]]) -> Iterator[str | Target]:
    """Agreement on kept documents and speedup, for each section alone and for all."""
    sections = datatrove()
    for name, texts in samples.items():
        column = pa.array(texts, pa.large_string())
        for section, (settings, keeps) in sections.items():
            ours = [verdict is None for verdict in judge(column, settings).verdicts]
            theirs: list[bool] = []
            slow = best(partial(theirs.extend, map(keeps, texts)), 1)
            fast = best(partial(judge, column, settings), TIMES)
            alike = sum(one == other for one, other in zip(ours, theirs, strict=True)) / len(texts)
            rate = megabytes(texts) / slow
            yield f"datatrove's {section}, {name}: {rate:.2f} MB/s a core; ours is {slow / fast:.0f} times as fast"
            yield Target(f"quality, datatrove's {section}, {name}", alike, "agreement", ASKED_AGREEMENT)
