"""The section `ingest` of a recipe: one source, selected by `kind`, or a mixture of several."""

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag

from tasks.ingest.apt import AptSource
from tasks.ingest.files import FilesSource
from tasks.ingest.hub import HubSource
from tasks.ingest.mixture import Mixture
from tasks.ingest.package import PackageSource
from tasks.ingest.url import UrlSource

AnySource = Annotated[FilesSource | PackageSource | UrlSource | HubSource | AptSource, Field(discriminator="kind")]


def _form(given: Any) -> str:
    return "several" if isinstance(given, Mixture) or (isinstance(given, dict) and "sources" in given) else "one"


Form = Annotated[Annotated[AnySource, Tag("one")] | Annotated[Mixture, Tag("several")], Discriminator(_form)]


class IngestSettings(RootModel[Form]):
    """Where the text comes from, and what a document is."""

    model_config = ConfigDict(frozen=True, strict=True)  # the source itself is `.root`
