"""A mixture: several sources of any kind, each under a name, one after the other in the corpus.

The column `part` of a document names its source, and its id begins with that name: `plays:macbeth#3`. Groups stay as
the sources give them, so that what belongs together stays in one split: a package and its descriptions in two
languages.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.fetch.package import Package
from tasks.formats.mixture import PartName, Weighted
from tasks.ingest.apt import AptSource
from tasks.ingest.files import FilesSource
from tasks.ingest.hub import HubSource
from tasks.ingest.package import PackageSource
from tasks.ingest.source import Bench, Document, Looked
from tasks.ingest.url import UrlSource
from tasks.stage.settings import Section


class Part(Weighted):
    """What a source has besides its own keys as a part of a mixture."""

    split: Literal["train", "validation", "test"] | None = None
    """Puts all documents of the source into one split: `test` for a held-out file of your own. Default: `clean.splits`
    decides."""
    prefix: str = ""
    """Put before each text, such as `translate English to German: `, so that a model knows which task it is asked."""


class FilesPart(Part, FilesSource):
    """See FilesSource."""


class PackagePart(Part, PackageSource):
    """See PackageSource; `name` is the source's, and the package's unless `package` names that."""

    name: PartName
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")] | None = None
    """The package's name on the index. Default: the name of the source."""

    def package_of(self) -> Package:
        """See `PackageSource.package_of`."""
        return Package(name=self.package or self.name, version=self.version, sha256=self.sha256)


class UrlPart(Part, UrlSource):
    """See UrlSource."""


class HubPart(Part, HubSource):
    """See HubSource."""


class AptPart(Part, AptSource):
    """See AptSource."""


AnyPart = Annotated[FilesPart | PackagePart | UrlPart | HubPart | AptPart, Field(discriminator="kind")]


class Mixture(Section):
    """Several sources."""

    sources: Annotated[tuple[AnyPart, ...], Field(min_length=1)]
    """The sources, in the order of the corpus: the keys of a source, with a name of its own."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        names = [part.name for part in self.sources]
        problems = [
            f"sources.{number}.name: another source is named {name}, too; give each its own"
            for number, name in enumerate(names)
            if name in names[:number]
        ]
        for key, other in (("weight", "epochs"), ("epochs", "weight")):
            if any(getattr(part, key) is not None for part in self.sources):
                problems += [
                    f"sources.{number}.{other}: the other sources have {key}; use one of the two in all"
                    for number, part in enumerate(self.sources)
                    if getattr(part, other) is not None and key == "weight"
                ]
        for number, part in enumerate(self.sources):
            told = [key for key in ("weight", "epochs") if getattr(part, key) is not None]
            if part.split in ("validation", "test") and told:
                problems.append(f"sources.{number}.{told[0]}: nothing is trained on a source with split: {part.split}")
        if all(part.split in ("validation", "test") for part in self.sources):
            problems.append("sources: no source is left to train on")
        if problems:
            raise ValueError("\n".join(dict.fromkeys(problems)))
        return self

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`. Raises RecipeError for a source without text."""
        for part, own in self._benches(bench):
            documents = texts = 0
            for document in part.read(own):
                documents += 1
                texts += bool(document.text)
                yield replace(
                    document,
                    id=f"{part.name}:{document.id}",
                    text=part.prefix + document.text,
                    part=part.name,
                    split=part.split,
                )
            if not texts:
                raise own.empty(documents)
            bench.received |= {f"{part.name}.{what}": amount for what, amount in own.received.items()}
            bench.facts |= {part.name: own.facts} if own.facts else {}

    def _benches(self, bench: Bench) -> Iterator[tuple[AnyPart, Bench]]:
        """Each source with a bench of its own."""
        for number, part in enumerate(self.sources):
            section = f"{bench.section}.sources.{number}"
            yield part, Bench(bench.recipe, bench.scratch / part.name, section=section, part=part.name)

    def look(self, bench: Bench, most: float = 1) -> None:
        """See `Source.look`: shares of problems, and labels, are those of all sources together."""
        looked: list[Looked | None] = []
        for part, own in self._benches(bench):
            part.look(own, most)
            looked.append(own.looked)
        seen = [one for one in looked if one is not None]
        if len(seen) < len(looked):
            return
        problems = [problem for one in seen for problem in one.problems]
        bench.require_few(problems, sum(one.documents for one in seen), most, most)
        if len(labels := set[str]().union(*(one.labels for one in seen))) == 1:
            raise bench.one_class(self.key_of("label"), *labels)

    def locate(self, bench: Bench) -> None:
        """See `Source.locate`."""
        for part, own in self._benches(bench):
            part.locate(own)

    def columns(self) -> set[str]:
        """See `Source.columns`."""
        return set().union(*(part.columns() for part in self.sources))

    def key_of(self, column: str) -> str:
        """See `Source.key_of`."""
        number, part = next((n, part) for n, part in enumerate(self.sources) if column in part.columns())
        return f"sources.{number}.{part.key_of(column)}"

    def problems(self, task: str) -> Iterator[str]:
        """See `Source.problems`."""
        for number, part in enumerate(self.sources):
            yield from (f"sources.{number}.{problem}" for problem in part.problems(task))
            if part.prefix and "messages" in part.extra():
                yield f"sources.{number}.prefix: not for conversations; use documents.system"

    def stored(self) -> set[str]:
        """See `Source.stored`."""
        return set().union(*(part.stored() for part in self.sources))

    def extra(self) -> tuple[str, ...]:
        """See `Source.extra`."""
        found = dict.fromkeys(column for part in self.sources for column in part.extra())
        return (*found, "part", "split")

    def has_ids(self) -> bool:
        """See `Source.has_ids`."""
        return any(part.has_ids() for part in self.sources)

    def local_paths(self) -> list[str]:
        """See `Source.local_paths`."""
        return [path for part in self.sources for path in part.local_paths()]

    def title(self) -> str:
        """See `Source.title`."""
        return " and ".join(part.title() for part in self.sources)

    def told(self) -> dict[str, Any]:
        """See `Source.told`: without what training alone reads."""
        return {"sources": [part.told() for part in self.sources]}
