"""The stage `clean` with all rules, from Parquet to Parquet on all cores, against the same steps of datatrove."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.growth import real_texts, write_grown
from benchmarks.targets import Target
from benchmarks.timing import best, megabytes
from benchmarks.watch import run_stage
from tasks.stage.runtime import workers
from tests.scratch import make_project

SIZE = 200_000_000
"""Bytes of text."""
WARM = 2_000_000
SAMPLE = 300
"""Documents for the peer."""
ASKED = 10
"""MB/s on 2 cores."""
MEMORY = 2000
"""Maximum, in MB."""
EVERYTHING = """
task: causal-lm
clean:
  min_words: 20
  languages: {text: en}
  quality: {preset: fineweb}
  blocked_words: {words: [lorem ipsum, viagra, casino bonus]}
  privacy: {}
  near_duplicates: {}
  duplicate_paragraphs: {}
  contamination: {}
"""


def measure(folder: Path) -> Iterator[str | Target]:
    """Compile on a little text, then measure."""
    texts = real_texts()
    project = make_project(folder / "project")
    (project / "recipes" / "tiny.yaml").write_text(EVERYTHING, encoding="utf-8")
    for size in (WARM, SIZE):
        data = project / "data" / "tiny"
        if data.exists():
            (data / "valid").rename(data / "warm")
        written = write_grown(data / "valid", texts, size)
        found = run_stage(project, "clean", "tiny", GRISTMILL_WORKERS=str(workers()))
    report = json.loads((project / "data/tiny/clean/report.json").read_text())
    kept, rate = sum(report["produced"].values()), written / 1e6 / found.seconds
    yield f"clean, every rule on: {written / 1e6:,.0f} MB, {report['received']['documents']:,} documents, {kept:,} kept"
    yield Target(f"clean, every rule on, Parquet to Parquet, {workers()} cores", rate, "MB/s", ASKED)
    yield Target("clean, memory of all processes", found.peak / 1e6, "MB", MEMORY, most=True)
    yield from _beside_datatrove(texts[:: max(1, len(texts) // SAMPLE)], rate)


def _beside_datatrove(texts: Sequence[str], ours: float) -> Iterator[str]:
    """FineWeb's filters, MinHash signatures and PII patterns in sequence, without I/O."""
    try:
        from benchmarks import near_peers, privacy_peers, quality_peers

        keeps = quality_peers.datatrove()["fineweb preset"][1]
        sign, replace = near_peers.datatrove(), privacy_peers.datatrove_formatter()
    except ImportError as error:
        yield f"  datatrove: not installed ({error.name}); make bench-peers"
        return
    keeps(texts[0])
    sign(texts[:1])

    def work() -> None:
        for text in texts:
            keeps(text)
            replace(text)
        sign(texts)

    theirs = workers() * megabytes(texts) / best(work, 1)
    yield f"  datatrove, as if on {workers()} cores        {theirs:8.2f} MB/s; ours {ours / theirs:.0f} times as fast"
