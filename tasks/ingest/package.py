"""`kind: package`: text from a package on the Python package index (see `tasks.fetch.package`)."""

from collections.abc import Iterator
from typing import Literal

from tasks.fetch.package import Package, open_package
from tasks.ingest.documents import documents_of_files
from tasks.ingest.files import Globs, find_files
from tasks.ingest.look import unfit_globs
from tasks.ingest.source import Bench, Document, Source


class PackageSource(Package, Source):
    """A wheel, and globs of files inside it, in the formats of `kind: files`."""

    kind: Literal["package"]
    files: Globs
    """Globs of files inside the package."""

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`."""
        folder = open_package(self.package_of(), bench.scratch, bench.wrong)
        return documents_of_files(find_files(folder, self.files, bench), self.documents, bench)

    def package_of(self) -> Package:
        """The package."""
        return self

    def misplaced(self) -> Iterator[str]:
        """See `Source.misplaced`."""
        return unfit_globs(self.files, self.documents)

    def title(self) -> str:
        """See `Source.title`."""
        return f"{self.package_of().name} {self.version}"
