"""A section of a recipe: read with the YAML parser that DVC uses, checked strictly, frozen.

A stage reads only its own sections (`read_section`), so that its code does not depend on the settings of the others;
`tasks.recipe` puts all sections together for `gristmill check`.
"""

import json
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.contract.errors import RecipeError

RECIPES = Path("recipes")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
TAGS = ("kind", "name")
"""Keys by which the members of a union are told apart: kinds of sources, names of optimizers."""


class Section(BaseModel):
    """Settings that change the result. Unknown keys are errors, values are never converted, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=BaseModel)


def recipe_path(recipe: str) -> Path:
    """The file of a recipe. Raises RecipeError where the name is not one or the file is missing."""
    if not NAME.fullmatch(recipe):
        raise RecipeError(f"{recipe!r} is not a recipe name: use lower-case letters, digits and dashes")
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml"))) or "none"
        raise RecipeError(f"{path}: no such recipe (there are: {known})")
    return path


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


def validate(model: type[AnySection], content: dict[str, Any], path: Path, prefix: str = "") -> AnySection:
    """`content` as a `model`. Raises RecipeError with one line per bad key, all of them at once."""
    try:
        text = json.dumps(content)
    except TypeError as error:
        raise RecipeError(f"{path}: {prefix or 'a value'}: {error}; put dates and the like in quotes") from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: {prefix or 'a value'}: an anchor that holds itself") from error
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        lines = [
            f"{path}: {key}{problem}"
            for item in error.errors()
            for key in [_key(prefix, item["loc"], content)]
            for problem in _problem(item).splitlines()  # a check of several keys may find several
        ]
        raise RecipeError("\n".join(dict.fromkeys(lines))) from error


def read_section(recipe: str, section: str, model: type[AnySection]) -> AnySection:
    """One section of a recipe, its defaults filled in; an absent section is an empty one. Raises RecipeError."""
    path = recipe_path(recipe)
    return validate(model, read_yaml(path).get(section) or {}, path, prefix=section)


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


def _problem(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "unknown key"
    if item["type"] == "missing":
        return "missing"
    message = item["msg"].removeprefix("Value error, ")
    given = item["input"]
    return message if isinstance(given, (dict, list)) or item["type"] == "value_error" else f"{message}, not {given!r}"
