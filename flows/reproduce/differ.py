"""The first difference between two files or folders, in words: document and column, tensor, row, number.

The recorded one is named first. Numbers are compared relative to the larger one.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

LONGEST = 60
"""Characters of a value in a sentence."""
PICTURE = ".png"
"""Pictures are judged by the numbers that they show."""
ORDER = (".parquet", ".csv", ".safetensors", ".npy", ".bin", ".json")
"""In which kind of file a difference says most."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Difference:
    """How two outputs differ."""

    sentence: str
    """The first difference, and how much differs in all."""
    largest: float
    """The largest relative difference of two numbers; infinite if something else differs, too."""


def find_difference(recorded: Path, made: Path, weights: float = math.inf) -> Difference:
    """Compare two files or folders that are not the same; `weights`: how much differing weights count."""
    if recorded.is_dir() != made.is_dir():
        return Difference("one is a folder, the other a file", math.inf)
    if not recorded.is_dir():
        return _compare(recorded, made, weights)
    names = {
        path.relative_to(root).as_posix() for root in (recorded, made) for path in root.rglob("*") if path.is_file()
    }
    found, largest = [], 0.0
    for name in sorted(names, key=lambda name: (_place(name), name)):
        pair = recorded / name, made / name
        if not all(path.is_file() for path in pair):
            found.append(f"{name}: {'new' if pair[1].is_file() else 'missing'}")
            largest = math.inf
        elif not _same(*pair):
            one = _compare(*pair, weights)
            found.append(f"{name}: {one.sentence}")
            largest = max(largest, one.largest)
    others = [each.partition(":")[0] for each in found[1:]]
    more = (
        f"; also {', '.join(others[:3])}{f' and {len(others) - 3} more' if len(others) > 3 else ''}" if others else ""
    )
    return Difference(f"{found[0]}{more}" if found else "the same bytes", largest)


def _place(name: str) -> int:
    return next((place for place, end in enumerate(ORDER) if name.endswith(end)), len(ORDER))


def _same(one: Path, other: Path) -> bool:
    return _first_byte(one, other) is None


def _compare(recorded: Path, made: Path, weights: float) -> Difference:
    """Never raises for a damaged file: it is then compared by its bytes."""
    ways: dict[str, Callable[[Path, Path], Iterator[tuple[str, float]]]] = {
        ".parquet": _documents, ".safetensors": _tensors, ".json": _values, ".csv": _rows, ".npy": _arrays,
    }  # fmt: skip
    way = ways.get(made.suffix)
    first, largest, count = "", 0.0, 0
    try:
        for told, size in () if way is None else way(recorded, made):
            first, largest, count = first or told, max(largest, size), count + 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = f"{_where(recorded, made)}, and a copy cannot be read ({' '.join(str(error).split())[:80]})"
        first, largest, count = told, math.inf, 1
    if made.suffix == ".safetensors" and count:
        largest = min(largest, weights)
    if not count:
        return Difference(_bytes(recorded, made), 0.0 if made.suffix == PICTURE else math.inf)
    return Difference(first + (f" ({count:,} differ)" if count > 1 else ""), largest)


def _bytes(recorded: Path, made: Path) -> str:
    place, sizes = _first_byte(recorded, made), (recorded.stat().st_size, made.stat().st_size)
    size = "" if sizes[0] == sizes[1] else f", {sizes[0]:,} bytes became {sizes[1]:,}"
    return f"from byte {place or 0:,} on{size}"


def _where(recorded: Path, made: Path) -> str:
    """The first byte that differs; in a table, the documents and the column to which it belongs."""
    place = _first_byte(recorded, made) or 0
    told = f"from byte {place:,} on"
    for path in (made, recorded) if made.suffix == ".parquet" else ():
        try:
            owner = _owner_of(path, place)
        except (OSError, ValueError):  # the damaged one
            continue
        return f"{owner}: {told}" if owner else told
    return told


def _owner_of(path: Path, place: int) -> str | None:
    """The documents and the column of a table to which a byte belongs; None for a byte of its frame."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        for column in (group.column(at) for at in range(group.num_columns)):
            start = min(page for page in (column.dictionary_page_offset, column.data_page_offset) if page is not None)
            if start <= place < start + column.total_compressed_size:
                names = _ids(file.read_row_group(number))
                return f"documents {names[0]} to {names[-1]}, {column.path_in_schema}"
    return None


def _first_byte(one: Path, other: Path) -> int | None:
    """The first byte in which two files differ; None if they are the same."""
    with one.open("rb") as left, other.open("rb") as right:
        start = 0
        while True:
            a, b = left.read(CHUNK), right.read(CHUNK)
            if a != b:
                pairs = zip_longest(a, b)
                return start + next(place for place, (x, y) in enumerate(pairs) if x != y)
            if not a:
                return None
            start += len(a)


def _documents(recorded: Path, made: Path) -> Iterator[tuple[str, float]]:
    """Differing documents of two tables: the id and the column."""
    import pyarrow.parquet as pq

    old, new = pq.read_table(recorded), pq.read_table(made)
    if old.column_names != new.column_names:
        yield f"columns {', '.join(old.column_names)} became {', '.join(new.column_names)}", math.inf
        return
    names = _ids(old), _ids(new)
    if names[0] != names[1]:
        gone, came = (sorted(set(a) - set(b)) for a, b in (names, names[::-1]))
        told = [f"document {gone[0]} is missing" if gone else "", f"document {came[0]} is new" if came else ""]
        yield " and ".join(filter(None, told)) or "the documents are in another order", math.inf
        if old.num_rows != new.num_rows:
            return
    columns = [(name, old.column(name), new.column(name)) for name in old.column_names]
    different = [(name, a, b) for name, a, b in columns if not a.equals(b)]
    if not different:
        yield "the same documents, stored otherwise", math.inf
        return
    yield from _cells(different, names[1])


def _ids(table: "pa.Table") -> list[str]:
    if "id" in table.column_names:
        return [str(name) for name in table.column("id").to_pylist()]
    return [f"row {number}" for number in range(table.num_rows)]


def _cells(
    columns: "list[tuple[str, pa.ChunkedArray, pa.ChunkedArray]]", names: list[str]
) -> Iterator[tuple[str, float]]:
    values = [(name, a.to_pylist(), b.to_pylist()) for name, a, b in columns]
    for row, document in enumerate(names):
        for name, old, new in values:
            if not _equal(old[row], new[row]):
                yield f"document {document}, {name}: {_change(old[row], new[row])}", _relative(old[row], new[row])


def _tensors(recorded: Path, made: Path) -> Iterator[tuple[str, float]]:
    """The tensor with the largest difference first."""
    import numpy as np

    old, new = _open_tensors(recorded), _open_tensors(made)
    if old.keys() != new.keys():
        lost, more = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
        yield f"tensor {(lost or more)[0]} is {'missing' if lost else 'new'}", math.inf
    found = []
    for name in sorted(old.keys() & new.keys()):
        a, b = old[name], new[name]
        if a.shape != b.shape:
            found.append((math.inf, f"tensor {name}: shape {a.shape} became {b.shape}"))
        elif a.size and not np.array_equal(a, b, equal_nan=True):
            largest = float(np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64))))
            share = np.count_nonzero(a != b) / a.size
            found.append((largest, f"tensor {name}: {share:.1%} of its values differ, by at most {largest:.3g}"))
    yield from ((told, math.inf) for _, told in sorted(found, key=lambda item: -item[0]))


def _open_tensors(path: Path) -> "dict[str, NDArray[Any]]":
    """The tensors of a safetensors file, memory-mapped; bfloat16, which numpy lacks, as float32."""
    import numpy as np

    kinds = {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
        "U8": "u1", "BOOL": "?",
    }  # fmt: skip
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    data = np.memmap(path, np.uint8, "r", offset=8 + size)
    found = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        start, stop = about["data_offsets"]
        values = data[start:stop].view(kinds[about["dtype"]]).reshape(about["shape"])
        if about["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        found[name] = values
    return found


def _arrays(recorded: Path, made: Path) -> Iterator[tuple[str, float]]:
    import numpy as np

    old, new = np.load(recorded, mmap_mode="r"), np.load(made, mmap_mode="r")
    if old.shape != new.shape:
        yield f"{old.shape} values became {new.shape}", math.inf
        return
    for place in np.flatnonzero(old != new)[:1000]:
        a, b = old.flat[place].item(), new.flat[place].item()
        yield f"value {place:,}: {_change(a, b)}", math.inf


def _values(recorded: Path, made: Path) -> Iterator[tuple[str, float]]:
    yield from _walk("", *(json.loads(path.read_text(encoding="utf-8")) for path in (recorded, made)))


def _walk(key: str, old: Any, new: Any) -> Iterator[tuple[str, float]]:
    """Differing values of two JSON documents, by their keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{key}.{name}" if key else name
            if name in old and name in new:
                yield from _walk(inner, old[name], new[name])
            else:
                yield f"{inner}: {'missing' if name in old else 'new'}", math.inf
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{key}[{place}]", a, b)
    elif not _equal(old, new):
        yield f"{key or 'the content'}: {_change(old, new)}", _relative(old, new)


def _rows(recorded: Path, made: Path) -> Iterator[tuple[str, float]]:
    old, new = (_read_rows(path) for path in (recorded, made))
    yield from compare_rows(old, new)


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def compare_rows(old: list[dict[str, str]], new: list[dict[str, str]]) -> Iterator[tuple[str, float]]:
    """Differing cells of two tables, with the row's first column: `step 20, loss: …`."""
    for a, b in zip(old, new, strict=False):
        first = next(iter(a.items()), ("", ""))
        for name in [*a, *(name for name in b if name not in a)]:
            x, y = a.get(name), b.get(name)
            if x != y:
                yield (
                    f"{first[0]} {first[1]}, {name}: {_change(_number(x), _number(y))}",
                    _relative(_number(x), _number(y)),
                )
    if len(old) != len(new):
        yield f"{len(old)} rows became {len(new)}", math.inf


def _number(text: str | None) -> Any:
    try:
        return float(text or "")
    except ValueError:
        return text


def _equal(old: Any, new: Any) -> bool:
    return bool(old == new) or (
        isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new)
    )


def _change(old: Any, new: Any) -> str:
    """`"a word" became "a sword" (character 2)`, or the numbers and their difference."""
    if isinstance(old, str) and isinstance(new, str):
        place = next((at for at, (a, b) in enumerate(zip_longest(old, new)) if a != b), 0)
        start = max(0, place - LONGEST // 3)
        return f"{_quote(old[start:])} became {_quote(new[start:])} (character {place:,})"
    if _is_number(old) and _is_number(new):
        return f"{old} became {new} ({_relative(old, new):.1e} of it)"
    return f"{_quote(old)} became {_quote(new)}"


def _quote(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _relative(old: Any, new: Any) -> float:
    """The relative difference of two numbers; infinite for anything else."""
    if not (_is_number(old) and _is_number(new)):
        return math.inf
    largest = max(abs(old), abs(new))
    return 0.0 if largest == 0 else abs(old - new) / largest if math.isfinite(largest) else math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
