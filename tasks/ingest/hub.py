"""`kind: hub`: a data set of the Hugging Face Hub, or a folder in that layout, streamed by `datasets`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from tasks.contract.errors import DataError, GristmillError, TransientError
from tasks.ingest.documents import Ids, documents_of_rows
from tasks.ingest.formats import Row, columns_wanted, make_row
from tasks.ingest.source import Bench, Document, Name, Source


class HubSource(Source):
    """A split of a data set. `revision` (a commit, or a tag) is needed for the Hub, not for a folder."""

    kind: Literal["hub"]
    dataset: Name
    """`owner/name`, or a folder relative to the project's root."""
    split: Name
    config: Name | None = None
    revision: Name | None = None

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`."""
        for key in ("split_at", "group_pattern"):
            if getattr(self.documents, key) is not None:
                raise bench.wrong(f"documents.{key}", "is for files; the rows of a data set are documents")
        name = "/".join(part for part in (self.config, self.split) if part)
        return documents_of_rows(_rows(self, name, bench), name, "row", None, Ids())

    def local_paths(self) -> list[str]:
        """See `Source.local_paths`: the folder, where it is one."""
        return [self.dataset] if self.revision is None else []

    def title(self) -> str:
        """See `Source.title`."""
        return self.dataset


def _rows(source: HubSource, name: str, bench: Bench) -> Iterator[Row]:
    import pyarrow as pa
    from datasets.exceptions import DatasetsError

    wanted = columns_wanted(source.documents)
    number = 0
    stream = _stream(source, bench)
    if stream.column_names is not None:
        missing = [column for column in wanted if column not in stream.column_names]
        if missing:
            there = ", ".join(stream.column_names)
            raise DataError(f"{source.dataset} {name}: no column {missing[0]!r} (there are: {there})")
        stream = stream.select_columns(list(dict.fromkeys(wanted)))
    try:
        for number, values in enumerate(stream, 1):
            bench.count("rows")
            yield make_row(name, "row", number, values, source.documents, None)
    except _network_errors() as error:
        raise TransientError(f"{bench.recipe}: ingest.dataset: {source.dataset}: {_first_line(error)}") from error
    except (pa.ArrowException, DatasetsError, OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{source.dataset} {name}: damaged after row {number}: {_first_line(error)}") from error


def _stream(source: HubSource, bench: Bench) -> Any:
    """The split as an iterable data set. Raises RecipeError for a wrong key, TransientError for the network."""
    folder = Path(source.dataset)
    local = folder.is_dir()
    if not local and source.revision is None:
        raise bench.wrong("revision", f"missing; {source.dataset} is no folder here, and the Hub changes")
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(
            str(folder.resolve()) if local else source.dataset,
            name=source.config,
            split=source.split,
            revision=None if local else source.revision,
            streaming=True,
        )
    except _network_errors() as error:
        raise TransientError(f"{bench.recipe}: ingest.dataset: {source.dataset}: {_first_line(error)}") from error
    except (DatasetNotFoundError, FileNotFoundError) as error:
        raise bench.wrong("dataset", f"{source.dataset}: {_first_line(error)}") from error
    except (ValueError, DatasetsError, EOFError, OSError) as error:
        raise GristmillError(f"{bench.recipe}: ingest: {source.dataset}: {_first_line(error)}") from error


def _network_errors() -> tuple[type[Exception], ...]:
    import httpx
    from huggingface_hub.errors import OfflineModeIsEnabled

    return (httpx.TransportError, TimeoutError, ConnectionError, OfflineModeIsEnabled)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
