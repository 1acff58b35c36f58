"""The section `ingest` of a recipe: one source, selected by `kind`."""

from typing import Annotated

from pydantic import ConfigDict, Field, RootModel

from tasks.ingest.apt import AptSource
from tasks.ingest.files import FilesSource
from tasks.ingest.hub import HubSource
from tasks.ingest.package import PackageSource
from tasks.ingest.url import UrlSource

AnySource = Annotated[FilesSource | PackageSource | UrlSource | HubSource | AptSource, Field(discriminator="kind")]


class IngestSettings(RootModel[AnySource]):
    """Where the text comes from, and what a document is."""

    model_config = ConfigDict(frozen=True, strict=True)  # the source itself is `.root`
