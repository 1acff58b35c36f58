"""Near-duplicates: speed, recall, memory, and speed against peers.

MB are millions of bytes of text. `a core` is CPU time of one thread, which is less sensitive to other load; `processes`
is wall time, startup included. All figures are the best of three, after compilation.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.growth import read_texts
from benchmarks.near_pairs import near_pairs
from benchmarks.near_peers import PEERS, megabytes_a_second
from benchmarks.targets import Target
from benchmarks.timing import best, megabytes
from tasks.clean.rules.near.contamination import EvaluationIndex, overlaps
from tasks.clean.rules.near.duplicates import NearDuplicates, near_duplicates
from tasks.clean.rules.near.files import SketchFiles
from tasks.clean.rules.near.paragraphs import (
    first_paragraphs,
    paragraphs_of,
    read_paragraphs,
    without,
    write_paragraphs,
)
from tasks.clean.rules.near.settings import ContaminationSettings, NearDuplicateSettings, ParagraphSettings
from tasks.clean.rules.near.sketch import sketch_of, write_sketch
from tasks.stage.runtime import workers
from tasks.workers.parallel_map import parallel_map
from tests.clean.rules.near.planted import from_a_template, planted
from tests.scratch import ROOT

DEFAULT = NearDuplicateSettings()
REAL = {name: ROOT / "data" / name / "raw" for name in ("smollm2-debian", "bert")}
BATCH = 5000
PLANTED = 20_000
ASKED, ASKED_RECALL = 40, 0.99
"""MB/s (required on two cores, measured on one, because the last step is serial), and the fraction of pairs."""
SAMPLE = 600
"""Documents for the peers."""
COPIES = 12
"""Copies of the corpus, each with its own words, in the large one."""
FORCED = 64 << 20
"""Bytes of memory for the large run, a small fraction of its sketches."""

RESOLVE = """
import json, sys, time
from pathlib import Path
from tasks.clean.rules.near.duplicates import near_duplicates
from tasks.clean.rules.near.settings import NearDuplicateSettings

def peak():  # ru_maxrss would start at the parent's
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10

settings, memory = NearDuplicateSettings(), int(sys.argv[3])
near_duplicates([Path(sys.argv[2])], settings, memory=1 << 20)
base, began = peak(), time.process_time()
found = near_duplicates(sorted(Path(sys.argv[1]).rglob("*.sketch")), settings, memory=memory)
print(json.dumps([base, peak(), time.process_time() - began, int(found.staying().sum())]))
"""


def measure(folder: Path) -> Iterator[str | Target]:
    """Measure on a corpus with planted edits, on real text if present, and on templates."""
    corpora = {"planted": planted(PLANTED, seed=0)}
    for name, raw in REAL.items():
        if raw.is_dir():
            corpora[name] = read_texts(raw)
        else:
            yield f"{name}: skipped, {raw.relative_to(ROOT)} is missing (dvc repro ingest@{name})"
    for name, texts in corpora.items():
        yield from _speed_and_recall(name, texts, folder / name)
    texts = list(corpora.values())[-1]
    yield from _beside_peers(texts, folder / "peers")
    yield from _other_rules(texts, folder / "paragraphs")
    yield from _templates(folder / "templates")
    yield from _in_little_memory(texts, folder / "large")


def _speed_and_recall(name: str, texts: Sequence[str], folder: Path) -> Iterator[str | Target]:
    size, parts = _written(texts, folder)
    paths = [_sketched(part) for part in parts]
    signing = best(lambda: [_sketched(part) for part in parts])
    resolving = best(lambda: near_duplicates(paths, DEFAULT))
    yield f"{name}: {len(texts):,} documents, {size:.0f} MB"
    yield f"  text to sketches on disk, a core     {size / signing:7.1f} MB/s"
    yield f"  sketches to keep list, a core        {size / resolving:7.1f} MB/s"
    yield Target(f"near, {name}, text to keep list", size / (signing + resolving), "MB/s a core", ASKED)
    pairs = near_pairs(texts, DEFAULT.ngram, DEFAULT.threshold)
    found = near_duplicates(paths, DEFAULT)
    yield f"  {len(pairs):,} near pairs, {len(_agreeing(paths, pairs)):,} agree in a band or in all words"
    recall = np.mean(found.keepers[pairs[:, 0]] == found.keepers[pairs[:, 1]])
    yield Target(f"near, {name}, recall", float(recall), "of pairs", ASKED_RECALL)
    yield Target(f"near, {name}, precision", _precision(found, pairs), "of dropped", 1)


def _agreeing(paths: Sequence[Path], pairs: np.ndarray) -> np.ndarray:
    """The pairs that become candidates."""
    files = SketchFiles(paths, DEFAULT.bands)
    agree = np.zeros(len(pairs), bool)
    for row in range(DEFAULT.bands + 1):
        keys = np.concatenate([keys for _, keys in files.keys(row)])
        agree |= keys[pairs[:, 0]] == keys[pairs[:, 1]]
    return pairs[agree]


def _precision(found: NearDuplicates, pairs: np.ndarray) -> float:
    """Fraction of dropped documents that true near pairs connect with their keeper."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    documents = len(found.keepers)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(documents, documents))
    _, component = connected_components(graph, directed=False)
    gone = np.flatnonzero(~found.staying())
    return float(np.mean(component[gone] == component[found.keepers[gone]]))


def _beside_peers(texts: Sequence[str], folder: Path) -> Iterator[str]:
    sample = list(texts[:: max(1, len(texts) // SAMPLE)])
    size, parts = _written(sample, folder)
    ours = size / best(lambda: near_duplicates([_sketched(part) for part in parts], DEFAULT))
    yield f"{len(sample):,} of them, text to keep list, a core {ours:7.1f} MB/s"
    for name, make in PEERS.items():
        try:
            theirs = megabytes_a_second(make, sample)
        except ImportError as error:
            yield f"  {name}: skipped, {re.split(r'[;`]', str(error))[0].strip()} (make bench-peers)"
        else:
            yield f"  {name:<34} {theirs:9.2f} MB/s; ours {ours / theirs:.0f} times as fast"


def _other_rules(texts: Sequence[str], path: Path) -> Iterator[str]:
    column = pa.array(texts, pa.large_string())
    size = column.nbytes / 1e6
    chosen, rule = ContaminationSettings(), ParagraphSettings()
    index = EvaluationIndex.of(column[::20], chosen)

    def paragraphs() -> None:
        write_paragraphs(paragraphs_of(column, rule), path)
        (staying,) = first_paragraphs([path])
        without(column, read_paragraphs(path), staying)

    seconds = best(lambda: overlaps(column, index))
    yield f"overlap with {len(column[::20]):,} evaluation texts, a core {size / seconds:6.1f} MB/s"
    yield f"repeated paragraphs, a core {size / best(paragraphs):6.1f} MB/s"


def _templates(folder: Path) -> Iterator[str]:
    """Texts that differ in four words, most pairs just below the threshold: time must grow linearly."""
    texts = from_a_template(40_000, seed=0)
    seconds = {}
    for documents in (10_000, 40_000):
        _, parts = _written(texts[:documents], folder / str(documents))
        paths = [_sketched(part) for part in parts]
        seconds[documents] = best(partial(near_duplicates, paths, DEFAULT), times=1)
    yield (
        f"a template, 4 times the documents: {seconds[40_000] / seconds[10_000]:.1f} times the time, "
        f"{seconds[40_000] / 40_000 * 1e6:.0f} µs a document"
    )


def _in_little_memory(texts: Sequence[str], folder: Path) -> Iterator[str]:
    parts, size = [], 0.0
    for copy in range(COPIES):
        more, written = _written([text.replace(" ", f"{copy} ") for text in texts], folder / f"{copy:03d}")
        size += more
        parts += written
    documents = COPIES * len(texts)
    for processes in dict.fromkeys((1, workers())):
        began, used = time.perf_counter(), sum(os.times()[:4])  # CPU seconds, of finished children too
        sketches = list(parallel_map(_sketched, parts, processes))
        seconds, used = time.perf_counter() - began, sum(os.times()[:4]) - used
        yield (
            f"{documents:,} documents, {size:.0f} MB, to sketches, {processes} processes {size / seconds:7.1f} MB/s, "
            f"{size / used:.1f} MB per CPU second"
        )
    tiny = _sketched(_written(texts[:100], folder.with_name("tiny"))[1][0])
    stored = sum(path.stat().st_size for path in sketches)
    yield f"  on disk {stored / documents:.0f} bytes a document, {stored / size / 1e6:.2f} of the text"
    kept = set()
    for memory in (FORCED, 16 * FORCED):
        run = [sys.executable, "-c", RESOLVE, str(folder), str(tiny), str(memory)]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
        base, peak, seconds, staying = json.loads(done.stdout)
        kept.add(staying)
        yield (
            f"  resolved in {memory >> 20} MiB: {size / seconds:.0f} MB/s a core, peak RSS {peak / 1e6:.0f} MB, "
            f"{base / 1e6:.0f} of them for the interpreter; {(peak - base) / documents:.0f} bytes a document in all, "
            f"{staying:,} kept"
        )
    assert len(kept) == 1, "the memory must not change the result"


def _written(texts: Sequence[str], folder: Path) -> tuple[float, list[Path]]:
    """Write Parquet files of BATCH documents; returns their MB and paths."""
    folder.mkdir(parents=True)
    parts = []
    for begin in range(0, len(texts), BATCH):
        path = folder / f"{begin:08d}.parquet"
        pq.write_table(pa.table({"text": pa.array(texts[begin : begin + BATCH], pa.large_string())}), path)
        parts.append(path)
    return megabytes(texts), parts


def _sketched(source: Path) -> Path:
    path = source.with_suffix(".sketch")
    texts = pq.read_table(source, columns=["text"], use_threads=False).column("text")
    write_sketch(sketch_of(texts, DEFAULT), path)
    return path
