"""`kind: hub`: a dataset on the Hugging Face Hub, or a folder in its layout, streamed by `datasets`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tasks.fetch.answers import hub_errors, may_pass
from tasks.formats.folders import require_no_gaps
from tasks.ingest.documents import documents_of_rows
from tasks.ingest.formats import nested_names
from tasks.ingest.rows import Row, columns_wanted, make_row, path_of, require_column
from tasks.ingest.source import Bench, Document, Source
from tasks.stage.errors import DataError, GristmillError, RecipeError, TransientError
from tasks.stage.settings import Name

Splits = Annotated[
    Annotated[Name, Tag("name")] | Annotated[tuple[Name, ...], Field(min_length=1), Tag("list")],
    Discriminator(lambda given: "list" if isinstance(given, (list, tuple)) else "name"),
]


class HubSource(Source):
    """Splits of a dataset. `revision` (a commit or a tag) is required for the Hub, not for a folder."""

    kind: Literal["hub"]
    dataset: Name
    """`owner/name`, or a folder relative to the project root."""
    split: Splits
    """One split, or a list to read in order. With a list, rows of the first split are grouped as in a table; each other
    split is one group with its name, for `clean` to keep apart: `splits: {test: 0, test_groups: [test]}`. Ids from a
    column are then prefixed with the split, since each split may number its own rows."""
    config: Name | None = None
    """The configuration, for a dataset with several."""
    revision: Name | None = None
    """A commit or a tag; required for the Hub, unused for a folder."""

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`."""
        for key in ("split_at", "group_pattern", "label_pattern", "encoding", "delimiter"):
            if getattr(self.documents, key) is not None:
                raise bench.wrong(f"documents.{key}", "only for files; each row of a dataset is a document")
        if isinstance(self.split, str):
            return self._documents(self.split, None, bench)
        if self.documents.group_column is not None:
            raise bench.wrong("documents.group_column", "not allowed with a list of splits: the split is the group")
        if len(set(self.split)) < len(self.split):
            raise bench.wrong("split", "duplicate split")
        groups = (None, *self.split[1:])
        return chain.from_iterable(
            self._documents(split, group, bench) for split, group in zip(self.split, groups, strict=True)
        )

    def _documents(self, split: str, group: str | None, bench: Bench) -> Iterator[Document]:
        """The documents of one split; with a list of splits, ids from a column are prefixed with its name."""
        name = "/".join(part for part in (self.config, split) if part)
        rows: Iterable[Row] = _rows(self, split, name, bench)
        if not isinstance(self.split, str) and self.documents.id_column is not None:
            rows = (row if row.id is None else replace(row, id=f"{split}/{row.id}") for row in rows)
        return documents_of_rows(rows, name, "row", group)

    def look(self, bench: Bench) -> None:
        """See `Source.look`: the first row of each split of a folder; the Hub is not asked."""
        if self.revision is None:
            self.read(bench)
            for split in [self.split] if isinstance(self.split, str) else self.split:
                next(iter(self._documents(split, None, bench)), None)

    def local_paths(self) -> list[str]:
        """See `Source.local_paths`: the folder, if the dataset is one."""
        return [self.dataset] if self.revision is None else []

    def title(self) -> str:
        """See `Source.title`."""
        return self.dataset


def _rows(source: HubSource, split: str, name: str, bench: Bench) -> Iterator[Row]:
    import pyarrow as pa
    from datasets.exceptions import DatasetsError

    number = 0
    stream = _stream(source, split, bench)
    classes: dict[str, str] | None = None
    if stream.features is not None:
        there = nested_names(stream.features.arrow_schema)
        place = f"{source.dataset} {name}"
        paths = [require_column(column, there, place) for column in columns_wanted(source.documents)]
        classes = _class_names(stream.features, source.documents.label_column)
        stream = stream.select_columns(list({path[0]: None for path in paths}))
    try:
        for number, values in enumerate(stream, 1):
            bench.count("rows")
            row = make_row(name, "row", number, values, source.documents, None)
            yield row if classes is None else _with_class_name(row, classes, f"{name} row {number}")
    except hub_errors() as error:
        raise _unanswered(source, bench, error) from error
    except (pa.ArrowException, DatasetsError, OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{source.dataset} {name}: damaged after row {number}: {_first_line(error)}") from error


def _class_names(features: Any, column: str | None) -> dict[str, str] | None:
    """Class names by number (as text) if the column is a `datasets.ClassLabel`, else None."""
    from datasets import ClassLabel

    if column is None or (path := path_of(column, features)) is None:
        return None
    for name in path:
        features = features[name]
    return (
        {str(number): name for number, name in enumerate(features.names)} if isinstance(features, ClassLabel) else None
    )


def _with_class_name(row: Row, classes: dict[str, str], place: str) -> Row:
    """The row with the name of its class; datasets use -1 for a withheld label."""
    if row.label is None:
        return row
    label = classes.get(row.label)
    problem = None if label is not None else f"no label in {place}: {row.label} is the number of no class"
    return replace(row, label=label, problem=row.problem or problem)


def _stream(source: HubSource, split: str, bench: Bench) -> Any:
    """A split as an iterable dataset. Raises RecipeError for a wrong key, TransientError for network errors."""
    folder = Path(source.dataset)
    if local := folder.is_dir():
        require_no_gaps(folder)
    if not local and source.revision is None:
        raise bench.wrong("revision", f"missing; {source.dataset} is not a local folder, and the Hub changes")
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(
            str(folder.resolve()) if local else source.dataset,
            name=source.config,
            split=split,
            revision=None if local else source.revision,
            streaming=True,
        )
    except hub_errors() as error:
        raise _unanswered(source, bench, error) from error
    except (DatasetNotFoundError, FileNotFoundError) as error:
        raise bench.wrong("dataset", f"{source.dataset}: {_first_line(error)}") from error
    except (ValueError, DatasetsError, EOFError, OSError) as error:
        raise GristmillError(f"{bench.recipe}: ingest: {source.dataset}: {_first_line(error)}") from error


def _unanswered(source: HubSource, bench: Bench, error: Exception) -> GristmillError:
    kind = TransientError if may_pass(error) else RecipeError
    return kind(f"{bench.recipe}: ingest.dataset: {source.dataset}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
