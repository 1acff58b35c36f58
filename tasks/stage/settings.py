"""A section of a recipe: read with DVC's YAML parser, validated strictly, frozen.

A stage reads only its own sections (`read_section`), so that its code does not depend on other stages' settings;
`tasks.recipe` combines all sections for `gristmill check`.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.stage.errors import RecipeError, one_line
from tasks.stage.problems import nearest, problems
from tasks.stage.redact import secret_keys

RECIPES = Path("recipes")
NAME = re.compile(r"(?!(?:true|false|null|code)$)[a-z][a-z0-9-]{0,63}")
"""A recipe name: always a string in YAML, safe in a file name, and not the folder data/code."""

LONGEST_NAME = 255
"""Bytes of a file's name."""

Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def possible_path(path: str) -> str:
    """`path`. Raises ValueError for a path that no file can have."""
    if "\0" in path or any(len(part.encode(errors="replace")) > LONGEST_NAME for part in path.split("/")):
        raise ValueError(f"no file can have this name: a NUL, or more than {LONGEST_NAME} bytes between slashes")
    return path


class Section(BaseModel):
    """Settings that change the result. Unknown keys are errors, values are never converted, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=BaseModel)


def recipe_path(recipe: str) -> Path:
    """The file of a recipe. Raises RecipeError if the name is invalid or the file is missing."""
    require_name(recipe)
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        if not RECIPES.is_dir():
            raise RecipeError(f"{RECIPES}: not found in {Path.cwd()}; run this in the project's folder")
        if recipe in (others := misnamed()):
            raise RecipeError(others[recipe])
        known = known_recipes()
        raise RecipeError(f"{path}: no such recipe (available: {', '.join(known) or 'none'}){nearest(recipe, known)}")
    return path


def known_recipes() -> list[str]:
    """The names of all recipes that have a file."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml") if NAME.fullmatch(path.stem) and path.is_file())


def misnamed() -> dict[str, str]:
    """Files that look like recipes but are not read: name → sentence. Editors' own files (`.#a.yaml`) do not count."""
    found = {}
    for path in sorted(RECIPES.glob("[!.#]*")):
        if path.suffix.lower() in (".yaml", ".yml") and path.suffix != ".yaml":
            told = f"not read, since recipes end in .yaml; rename it to {path.stem}.yaml, or delete it"
            found[path.stem] = f"{path}: {told}"
        elif path.suffix == ".yaml" and not NAME.fullmatch(path.stem):
            found[path.stem] = f"{path}: not read, since {_no_name(path.stem)}; rename or delete it"
    return found


def require_name(recipe: str) -> None:
    """Raises RecipeError if a recipe name is invalid."""
    if not NAME.fullmatch(recipe):
        raise RecipeError(_no_name(recipe) + nearest(recipe, known_recipes()))


def _no_name(recipe: str) -> str:
    if NAME.fullmatch(f"{recipe}-"):
        return f"{recipe!r} cannot name a recipe, because it means something else in YAML or in data/"
    told = repr(recipe) if len(recipe) <= LONGEST_NAME else f"{recipe[:20]!r}… ({len(recipe):,} characters)"
    return f"{told} is not a recipe name: a lowercase letter, then up to 63 lowercase letters, digits or dashes"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file (where `3e-3` is a number, as for DVC). Raises RecipeError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        content = YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        number = error.problem_mark.line if error.problem_mark else None
        place = f"{path}" if number is None else f"{path} line {number + 1}"
        problem = one_line(error.problem or error.context)
        if problem.startswith("but "):
            problem = f"{one_line(error.context)} {problem}"
        tab = number is not None and "\t" in "".join(text.split("\n")[number : number + 1])
        told = "; it has a tab: indent with blanks" if tab else ""
        raise RecipeError(f"{place}: not valid YAML: {problem}{told}") from error
    except YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {str(error).partition(chr(10))[0]}") from error
    except RecursionError as error:
        raise RecipeError(f"{path}: not valid YAML: nested too deeply") from error
    if not isinstance(content, dict):
        found = {type(None): "nothing", list: "a list"}.get(type(content)) or json.dumps(content, default=str)
        raise RecipeError(f"{path}: expected a mapping of sections, found {found}")
    return content


def validate(model: type[AnySection], content: Any, path: Path, prefix: str = "") -> AnySection:
    """`content` as a `model`. Raises RecipeError with one line for each bad key."""
    try:
        text = json.dumps(content)
    except TypeError as error:
        key = ".".join(filter(None, (prefix, *_no_json(content))))
        raise RecipeError(
            f"{path}: {key}: expected text, a number, a list or a mapping; put dates and keys in quotes"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: {prefix or 'a value'}: a YAML anchor refers to itself") from error
    if secret := list(secret_keys(content, prefix)):
        told = "holds a password, token or signature, which would reach git, dvc.lock, DVC's cache and MLflow"
        out = "remove it; a server's user and password belong into ~/.netrc, keys of a bucket into AWS's variables"
        raise RecipeError("\n".join(f"{path}: {key}: {told}; {out}" for key in secret))
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        lines = (f"{path}: {problem}" for problem in problems(error, model, json.loads(text), prefix))
        raise RecipeError("\n".join(dict.fromkeys(lines))) from error


def read_section(recipe: str, section: str, model: type[AnySection]) -> AnySection:
    """One section of a recipe, or a key of one (`model.init`), with defaults; a missing one counts as empty.

    Raises RecipeError.
    """
    path = recipe_path(recipe)
    content: Any = read_yaml(path)
    for key in section.split("."):
        content = content.get(key, {}) if isinstance(content, dict) else {}
    return validate(model, content, path, prefix=section)


def _no_json(content: Any) -> list[str]:
    """The path of the first value that JSON cannot represent."""
    if not isinstance(content, (dict, list)):
        return []
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        try:
            json.dumps({key: value})
        except TypeError:
            return [str(key), *_no_json(value)]
    return []
