"""Small ingested corpora in a separate project, for these tests."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from tasks.formats.corpus import CorpusWriter, corpus_schema

SCHEMA = corpus_schema("problem")


def recipe(root: Path, section: str) -> None:
    """Write a recipe `small` with `section` as its section `validate`."""
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes" / "small.yaml").write_text(f"task: causal-lm\nvalidate:{section}\n", encoding="utf-8")


def ingested(
    root: Path,
    texts: Iterable[str | tuple[str, str]],
    targets: Sequence[str | None] = (),
    labels: Sequence[str | None] = (),
) -> Path:
    """Write raw documents d0, d1, … from texts, or (text, problem) pairs; returns data/small."""
    pairs = [(given, None) if isinstance(given, str) else given for given in texts]
    rows = [
        {"id": f"d{n}", "group": "g", "text": text, "source": f"file.txt row {n}", "problem": problem}
        for n, (text, problem) in enumerate(pairs)
    ]
    for name, values in (("target", targets), ("label", labels)):
        for row, value in zip(rows, values, strict=bool(values)):
            row[name] = value
    with CorpusWriter(root / "data" / "small" / "raw", SCHEMA) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return root / "data" / "small"
