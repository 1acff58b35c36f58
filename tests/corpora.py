"""Small corpora for tests, written with `tasks.formats.corpus`."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from tasks.formats.corpus import OPTIONAL, CorpusWriter, corpus_schema


def write_corpus(folder: Path, texts: Iterable[str], group: str = "g", **columns: list[str | None]) -> None:
    """One document per text, numbered; `columns` are `target`, `label`, and further string columns (`problem`, …)."""
    schema = corpus_schema(*(name for name in columns if name not in OPTIONAL))
    rows = [
        {"id": f"{group}-{n}", "group": group, "text": text, "source": f"{group}#{n}"} for n, text in enumerate(texts)
    ]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value  # type: ignore[assignment]
    with CorpusWriter(folder, schema) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema))


def write_recipe(root: Path, name: str, text: str) -> None:
    """A recipe file under a project root."""
    (root / "recipes").mkdir(exist_ok=True)
    (root / "recipes" / f"{name}.yaml").write_text(text, encoding="utf-8")
