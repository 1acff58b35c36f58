"""A section of a recipe: read with the YAML parser that DVC uses, checked strictly, frozen.

A stage reads only its own sections (`read_section`), so that its code does not depend on the settings of the others;
`tasks.recipe` puts all sections together for `gristmill check`.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.stage.errors import RecipeError

RECIPES = Path("recipes")
NAME = re.compile(r"(?!(?:true|false|null)$)[a-z][a-z0-9-]{0,63}")
"""Of a recipe: a string in YAML however it is written, and part of the name of a file."""
TAGS = ("kind", "name")
"""Keys by which the members of a union are told apart: kinds of sources, names of optimizers."""

Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """Settings that change the result. Unknown keys are errors, values are never converted, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=BaseModel)


def recipe_path(recipe: str) -> Path:
    """The file of a recipe. Raises RecipeError where the name is not one or the file is missing."""
    require_name(recipe)
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml"))) or "none"
        raise RecipeError(f"{path}: no such recipe (there are: {known})")
    return path


def require_name(recipe: str) -> None:
    """Raises RecipeError where a name is none."""
    if not NAME.fullmatch(recipe):
        raise RecipeError(
            f"{recipe!r} is not a recipe name: a letter, then up to 63 letters, digits and dashes, all lower-case"
        )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file (so that `3e-3` is a number, as for DVC). Raises RecipeError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 at byte {error.start}") from error
    except MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise RecipeError(f"{path}{line}: not valid YAML: {problem}") from error
    except YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected a mapping of sections, found {type(content).__name__}")
    return content


def validate(model: type[AnySection], content: Any, path: Path, prefix: str = "") -> AnySection:
    """`content` as a `model`. Raises RecipeError with one line per bad key, all of them at once."""
    try:
        text = json.dumps(content)
    except TypeError as error:
        key = ".".join(filter(None, (prefix, *_no_json(content))))
        raise RecipeError(f"{path}: {key}: {error}; put dates and the like in quotes") from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: {prefix or 'a value'}: an anchor that holds itself") from error
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        lines = [
            f"{path}: {key}{problem}"
            for item in error.errors()
            if not _follows(item, error.errors())
            for key in [_key(prefix, item["loc"], content)]
            for problem in _problem(item).splitlines()  # a check of several keys may find several
        ]
        raise RecipeError("\n".join(dict.fromkeys(lines))) from error


def read_section(recipe: str, section: str, model: type[AnySection]) -> AnySection:
    """One section of a recipe, or a key of one (`model.init`), its defaults filled in; an absent one is empty.

    Raises RecipeError.
    """
    path = recipe_path(recipe)
    content: Any = read_yaml(path)
    for key in section.split("."):
        content = content.get(key, {}) if isinstance(content, dict) else {}
    return validate(model, content, path, prefix=section)


def _key(prefix: str, location: tuple[int | str, ...], content: Any) -> str:
    """The path of a key as it stands in the file; Pydantic also names the member of a union, by its tag."""
    parts = [prefix] if prefix else []
    tagged = False
    for part in location:
        if not tagged and isinstance(content, dict) and part in (content.get(tag) for tag in TAGS):
            tagged = True
            continue
        parts.append(str(part))
        tagged = False
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            content = None
    return f"{'.'.join(parts)}: " if parts else ""


def _no_json(content: Any) -> list[str]:
    """The path of the first value that JSON has no word for."""
    if not isinstance(content, (dict, list)):
        return []
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        try:
            json.dumps({key: value})
        except TypeError:
            return [str(key), *_no_json(value)]
    return []


def _follows(item: Any, all_items: Any) -> bool:
    """Pydantic counts what is good, and says that a list is too short when its items are bad."""
    own = item["loc"]
    return item["type"] == "too_short" and any(other["loc"][: len(own)] == own != other["loc"] for other in all_items)


def _problem(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "unknown key"
    if item["type"] == "missing":
        return "missing"
    if item["type"] == "union_tag_not_found":
        return f"{item['ctx']['discriminator']} missing"
    message = item["msg"].removeprefix("Value error, ")
    given = item["input"]
    return message if isinstance(given, (dict, list)) or item["type"] == "value_error" else f"{message}, not {given!r}"
