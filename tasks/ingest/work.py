"""Documents to shards and a report."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tasks.formats.corpus import BATCH_BYTES, CorpusWriter, corpus_schema
from tasks.ingest.ids import Ids
from tasks.ingest.settings import IngestSettings
from tasks.ingest.source import Bench, Document, require_lengths
from tasks.stage.errors import RecipeError
from tasks.stage.progress import progress
from tasks.stage.run import Job, Report
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import read_task

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_DOCUMENTS = 8192
TOLD = 20
"""Maximum problems, and files with problems, in the report."""


@dataclass
class Problems:
    """Problems of the documents that were kept: total, counts per file, first examples."""

    documents: int = 0
    files: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, document: Document) -> None:
        """Count a document with a problem."""
        self.documents += 1
        name = document.id.rpartition("#")[0] or document.id
        if name in self.files or len(self.files) < TOLD:
            self.files[name] = self.files.get(name, 0) + 1
        if document.problem and len(self.examples) < TOLD:
            self.examples.append(document.problem)


def ingest(job: Job) -> Report:
    """Read the recipe's source and write its documents to `raw`.

    Raises what `Source.read` raises, RecipeError for a column that the task lacks or does not read and for a corpus
    without text, and DataError for a duplicate id.
    """
    source = read_section(job.recipe, "ingest", IngestSettings).root
    bench = Bench(recipe_path(job.recipe), job.partial / "scratch")
    if unfit := [f"{bench.recipe}: ingest.{problem}" for problem in source.problems(read_task(job.recipe))]:
        raise RecipeError("\n".join(unfit))
    problems, ids = Problems(), Ids()
    labels: set[str] = set()
    extra, cut = source.extra(), 0
    given = source.has_ids()
    with (
        CorpusWriter(job.output("raw"), corpus_schema("problem", extra=extra)) as writer,
        progress("ingest", None, "documents") as shown,
    ):
        for documents in _batches(source.read(bench)):
            for document in documents:
                require_lengths(document)
                cut += document.cut
                if document.label is not None and len(labels) < 2:
                    labels.add(document.label)
                if document.problem is not None:
                    problems.add(document)
            if given:
                ids.add(document.id for document in documents)
            writer.write(_record_batch(documents, writer.schema))
            shown.advance(len(documents))
    if writer.bytes == 0:
        raise bench.empty(writer.documents, next(iter(problems.examples), None))
    if len(labels) == 1:
        raise bench.one_class(source.key_of("label"), *labels)
    ids.require_unique(writer.folder)
    job.say(f"{writer.documents:,} documents, {writer.bytes:,} bytes of text")
    return Report(
        received=bench.received,
        produced={"documents": writer.documents, "bytes": writer.bytes},
        details={"source": source.told() | bench.facts, "problems": asdict(problems)}
        | ({"turns_cut_after_the_last_answer": cut} if "messages" in extra else {}),
    )


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents in lists of bounded length and bytes, or of one large document."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += document.characters
        if size >= BATCH_BYTES or len(batch) >= BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _record_batch(documents: list[Document], schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    columns = [pa.array([getattr(d, name) for d in documents], schema.field(name).type) for name in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
