"""Columns for expectations, from one streaming scan: one row per document, only the requested columns."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.formats.conversation import ASSISTANT, TURN
from tasks.formats.corpus import COLUMNS, extra_columns, read_row_group, row_groups
from tasks.stage.errors import DataError
from tasks.stage.progress import progress
from tasks.validate.settings import OF_COLUMN

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

CONTROL = r"[\x00-\x08\x0E-\x1F\x7F-\x{84}\x{86}-\x{9F}]"


def scan(raw: Path, columns: Collection[str]) -> "pl.DataFrame":
    """The documents of `raw` without a problem: `row` (position in the corpus, uint64) and the requested columns.

    Keeps these columns in memory for all documents, but texts of only one row group unless `text` or `target` is
    requested. Raises DataError for a shard that is damaged, lacks a column or holds bytes that are not UTF-8.
    """
    import polars as pl

    needed = ("messages", "rejected", *(name for name in ("part",) if name in columns))
    extra = [name for name in needed if name in extra_columns(raw)]
    lacking = {name for column in {"messages", "rejected"} - set(extra) for name in OF_COLUMN[column]}
    columns, read = set(columns) - lacking, (*COLUMNS, *extra)
    frames = [statistics(pl.DataFrame(schema=dict.fromkeys(read, pl.String)).with_row_index("row"), columns)]
    seen = 0  # after an empty frame, for a corpus without row groups
    places = row_groups(raw)
    with progress("validate", len(places), "row groups") as shown:
        for path, group, _ in places:
            batch = read_row_group(path, group, (*read, "problem"))
            check_utf8(batch, path, group)
            frame = pl.DataFrame(batch).with_row_index("row", seen)
            seen += batch.num_rows
            frames.append(statistics(frame.filter(pl.col("problem").is_null()), columns))
            shown.advance()
    return pl.concat(frames)


def check_utf8(batch: "pa.RecordBatch", path: Path, group: int) -> None:
    """Raises DataError for strings that are not UTF-8, which only another program can have written."""
    import pyarrow as pa

    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} row group {group}: {error}") from error


def statistics(documents: "pl.DataFrame", columns: Collection[str]) -> "pl.DataFrame":
    """`row` and the requested columns, in a fixed order."""
    import polars as pl

    count = pl.Int32  # long enough: see `tasks.ingest.source.LONGEST`
    text, target = pl.col("text"), pl.col("target")
    characters = text.str.len_chars()
    messages = pl.col("messages")
    known = {
        **{name: pl.col(name) for name in (*COLUMNS, "part")},
        "characters": characters.cast(count),
        "bytes": text.str.len_bytes().cast(count),
        "words": text.str.count_matches(r"\S+").cast(count),
        "lines": text.str.count_matches("\n", literal=True).cast(count) + 1,
        "longest_line": text.str.split("\n").list.eval(pl.element().str.len_chars()).list.max().cast(count),
        "letter_share": text.str.count_matches(r"\p{L}") / characters.clip(1),
        "control_characters": text.str.count_matches(CONTROL).cast(count),
        "replacement_characters": text.str.count_matches("\ufffd", literal=True).cast(count),
        "target_characters": target.str.len_chars().cast(count),
        "target_words": target.str.count_matches(r"\S+").cast(count),
        "length_ratio": target.str.len_chars() / characters.clip(1),
        "turns": messages.str.count_matches(TURN, literal=True).cast(count),
        "answers": messages.str.count_matches(f'{TURN}{ASSISTANT}"', literal=True).cast(count),
        "rejected_words": pl.col("rejected").str.count_matches(r"\S+").cast(count),
    }
    return documents.select("row", *(known[name].alias(name) for name in known if name in columns))
