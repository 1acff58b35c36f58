from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.formats.corpus import corpus_schema
from tasks.formats.drops import EXAMPLES, DropWriter

SCHEMA = corpus_schema("reason", "value")


def batch(names: range, reason: str) -> pa.RecordBatch:
    rows = [{"id": f"d{n}", "group": "g", "text": "t", "source": "s", "reason": reason, "value": str(n)} for n in names]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def test_every_drop_is_kept_and_counted_by_its_reason(tmp_path: Path) -> None:
    with DropWriter(tmp_path / "drops.parquet", SCHEMA) as writer:
        writer.write(batch(range(3), "few"))
        writer.write(batch(range(0), "none"))
        writer.write(batch(range(10, 20), "many"))
        writer.write(batch(range(30, 31), "odd byte 7"), ["odd"])
    assert pq.read_table(tmp_path / "drops.parquet").column("id").to_pylist() == [
        f"d{n}" for n in [*range(3), *range(10, 20), 30]
    ]
    many, few, odd = writer.drops()
    assert (many.reason, many.documents, len(many.examples)) == ("many", 10, EXAMPLES)
    assert few.examples == ["d0: value 0", "d1: value 1", "d2: value 2"]
    assert (odd.reason, odd.examples) == ("odd", ["d30: odd byte 7, value 30"])


def test_a_file_without_drops_still_has_its_columns(tmp_path: Path) -> None:
    with DropWriter(tmp_path / "drops.parquet", SCHEMA):
        pass
    assert pq.read_table(tmp_path / "drops.parquet").schema.equals(SCHEMA)
