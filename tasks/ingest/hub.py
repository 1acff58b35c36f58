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
from tasks.ingest.hub_files import require_told
from tasks.ingest.look import First
from tasks.ingest.parquet import nested_names
from tasks.ingest.rows import Row, Values, columns_wanted, make_rows, path_of, require_column
from tasks.ingest.source import Bench, Document, Source
from tasks.stage.errors import DataError, GristmillError, RecipeError, TransientError
from tasks.stage.run import DATA
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
        if isinstance(self.split, str):
            return self._documents(self.split, None, bench)
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

    def misplaced(self) -> Iterator[str]:
        """See `Source.misplaced`."""
        for key in ("split_at", "row_pattern", "group_pattern", "label_pattern", "encoding", "delimiter"):
            if getattr(self.documents, key) is not None:
                yield f"documents.{key}: only for files; each row of a dataset is a document"
        if not isinstance(self.split, str):
            if self.documents.group_column is not None:
                yield "documents.group_column: not allowed with a list of splits: the split is the group"
            if len(set(self.split)) < len(self.split):
                yield "split: duplicate split"

    def locate(self, bench: Bench) -> None:
        """See `Source.locate`: a folder of the project, or a revision of the Hub."""
        is_folder = Path(self.dataset).is_dir()
        if self.revision is None and not is_folder and not self.dataset.startswith(f"{DATA}/"):  # a stage may write it
            raise bench.wrong("revision", f"missing; {self.dataset} is not a local folder, and the Hub changes")
        if self.revision is not None and is_folder:
            told = f"{self.dataset} is a folder of the project, which has no revisions; remove this key"
            raise bench.wrong("revision", told)

    def columns(self) -> set[str]:
        """See `Source.columns`: a row has no path for a label."""
        return super().columns() - ({"label"} if self.documents.label_column is None else set())

    def key_of(self, column: str) -> str:
        """See `Source.key_of`: a row has no path."""
        return f"documents.{column}_column" if column == "label" else super().key_of(column)

    def look(self, bench: Bench, most: float = 1) -> None:
        """See `Source.look`: the first rows of each split of a folder; the Hub is not asked."""
        if self.revision is not None:
            return
        first = First(self.documents)
        for split in [self.split] if isinstance(self.split, str) else self.split:
            first.add_rows(_rows(self, split, "/".join(filter(None, (self.config, split))), bench, whole=False))
        first.require_good(bench, most)

    def local_paths(self) -> list[str]:
        """See `Source.local_paths`: the folder, if the dataset is one."""
        return [self.dataset] if self.revision is None else []

    def title(self) -> str:
        """See `Source.title`."""
        return self.dataset


def _rows(source: HubSource, split: str, name: str, bench: Bench, whole: bool = True) -> Iterator[Row]:
    """The rows of a split; its files are looked at `whole` before, or only their first rows."""
    stream = _stream(source, split, bench, whole)
    classes: dict[str, str] | None = None
    if stream.features is not None:
        there = nested_names(stream.features.arrow_schema)
        place = f"{source.dataset} {name}"
        paths = [require_column(column, there, place) for column in columns_wanted(source.documents)]
        classes = _class_names(stream.features, source.documents.label_column)
        stream = stream.select_columns(list({path[0]: None for path in paths}))
    for row in make_rows(name, "row", _values(stream, source, name, bench), source.documents):
        yield row if classes is None else _with_class_name(row, classes, f"{name} row {row.number}")


def _values(stream: Any, source: HubSource, name: str, bench: Bench) -> Iterator[Values]:
    """The rows of a split. Raises DataError where `datasets` cannot go on."""
    from datasets.exceptions import DatasetsError

    rows, number = iter(stream), 0
    while True:
        try:
            values = next(rows, None)
        except hub_errors() as error:
            raise _unanswered(source, bench, error) from error
        except (DatasetsError, OSError, EOFError, ValueError) as error:  # ValueError: pyarrow, pandas, encodings
            raise DataError(f"{source.dataset} {name}: damaged after row {number}: {_first_line(error)}") from error
        if values is None:
            return
        number += 1
        bench.count("rows")
        yield number, values, None


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


def _stream(source: HubSource, split: str, bench: Bench, whole: bool) -> Any:
    """A split as an iterable dataset. Raises RecipeError for a wrong key, TransientError for network errors."""
    folder = Path(source.dataset)
    if local := folder.is_dir():
        require_no_gaps(folder)
    source.locate(bench)
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it logs what it raises
    try:
        builder = datasets.load_dataset_builder(
            str(folder.resolve()) if local else source.dataset,
            name=source.config,
            revision=None if local else source.revision,
        )
        stream = builder.as_streaming_dataset(split=split)
        require_told(builder, split, source.documents, whole)
        return stream
    except hub_errors() as error:
        raise _unanswered(source, bench, error) from error
    except (DatasetNotFoundError, FileNotFoundError) as error:
        raise bench.wrong("dataset", f"{source.dataset}: {_first_line(error)}") from error
    except (ValueError, DatasetsError, EOFError, OSError) as error:
        raise GristmillError(f"{bench.recipe}: {bench.section}: {source.dataset}: {_first_line(error)}") from error


def _unanswered(source: HubSource, bench: Bench, error: Exception) -> GristmillError:
    kind = TransientError if may_pass(error) else RecipeError
    return kind(f"{bench.recipe}: {bench.section}.dataset: {source.dataset}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
