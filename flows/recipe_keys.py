"""The keys that a recipe can have, by the classes that check it: `train.optimizer.learning_rate`, `evaluate.prompts.0`.

A part of a key is a key of a section, of a mapping with free keys (`model.config`), or the number of a list's item.
Sections of several kinds are told apart by their `kind` or `name`, in the recipe or by default.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined

from flows.recipes import SOME, load_graph, variable
from tasks.stage.errors import RecipeError
from tasks.stage.problems import TAGS, nearest
from tasks.stage.settings import recipe_path


@dataclass(frozen=True)
class Key:
    """A key that a recipe can have."""

    path: tuple[str | int, ...]
    """Its parts; an item of a list is a number."""
    kinds: list[Any]
    """The types that its value can have."""
    fills: Mapping[tuple[str | int, ...], Any]
    """What its parents need first, where the recipe leaves them to their defaults: `{"name": "muon"}`, a list."""

    def takes(self, kind: type) -> bool:
        """Whether the value can be of a type; a free key can be anything."""
        return kind in self.kinds or Any in self.kinds


def find(model: type[BaseModel], content: Any, key: str, varied: Collection[str] = ()) -> Key:
    """A key, by the class of the recipe and its content; sections whose kind is `varied` can be of any kind.

    Raises RecipeError with a line about the first bad part.
    """
    kinds: list[Any] = [model]
    default: Any = None
    fills: dict[tuple[str | int, ...], Any] = {}
    path: list[str | int] = []
    parts = key.split(".")
    for number, part in enumerate(parts):
        where, told = ".".join(parts[:number]), ".".join(parts[: number + 1])
        if content is None and number:
            content = fills[tuple(path)] = _minimum(default)
        if isinstance(content, list):
            path.append(_item(content, part, told))
            kinds, default, content = _kinds_of_item(kinds, int(part)), None, content[int(part)]
            continue
        if not isinstance(content, dict):
            raise RecipeError(f"{where}: {json.dumps(content, default=str)} has no keys; set {where} as a whole")
        path.append(part)
        open_kind = any(f"{where}.{tag}" in varied for tag in TAGS)
        here = _sections(kinds) if open_kind else _narrowed(_sections(kinds), content)
        found = [field for section in here for name, field in _fields(section) if name == part]
        if found:
            kinds, default = [kind for field in found for kind in _parts(field.annotation)], _default(found[0])
        elif free := [get_args(kind)[1] for kind in kinds if get_origin(kind) is dict]:
            kinds, default = _parts(free[0]), None
        elif Any in kinds or any(section.model_config.get("extra") == "allow" for section in here):
            kinds, default = [Any], None
        elif not here:
            raise RecipeError(f"{where}: has no keys; set {where} as a whole")
        else:
            raise RecipeError(f"{told}: unknown key{_similar(part, here, model)}")
        content = content.get(part)
    return Key(tuple(path), kinds, fills)


def stages_of(recipe: str, key: str) -> list[str]:
    """The stages of dvc.yaml that read a key of a recipe, or a part of it, in order."""
    graph, found = load_graph(), []
    absent = {f"${{{key}}}" for key in SOME.values() if recipe not in (variable(graph, key) or {})}
    for name, stage in (graph.get("stages") or {}).items():
        if stage.get("foreach") in absent:
            continue  # the recipe has no such stage
        for params in stage.get("do", stage).get("params") or []:
            for file, read in params.items() if isinstance(params, dict) else ():
                own = file.replace("${key}", recipe) == recipe_path(recipe).as_posix()
                if own and any(meet(key, section) for section in read or [key]):  # no section: the whole file
                    found.append(name)
    return list(dict.fromkeys(found))


def meet(key: str, other: str) -> bool:
    """Whether one key is the other, or lies inside it."""
    return key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.")


def _sections(kinds: Iterable[Any]) -> list[type[BaseModel]]:
    """The sections among types."""
    found = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    roots = [
        root for kind in found if issubclass(kind, RootModel) for root in _parts(kind.model_fields["root"].annotation)
    ]
    return [kind for kind in found if not issubclass(kind, RootModel)] + (_sections(roots) if roots else [])


def _parts(kind: Any) -> list[Any]:
    """The members of a union, without annotations; any other type by itself."""
    if get_origin(kind) is Annotated:
        return _parts(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [part for each in get_args(kind) for part in _parts(each)]
    return [kind]


def _item(content: list[Any], part: str, told: str) -> int:
    if not part.isascii() or not part.isdigit() or int(part) >= len(content):
        last = f"numbered from 0 to {len(content) - 1}" if content else "so set the list as a whole"
        raise RecipeError(f"{told}: the list has {len(content)} items, {last}")
    return int(part)


def _kinds_of_item(kinds: Iterable[Any], number: int) -> list[Any]:
    """The types of a list's item."""
    for kind in kinds:
        if get_origin(kind) in (tuple, list):
            items = [item for item in get_args(kind) if item is not Ellipsis]
            return _parts(items[min(number, len(items) - 1)])
    return [Any]


def _fields(section: type[BaseModel]) -> list[tuple[str, Any]]:
    return [(field.alias or name, field) for name, field in section.model_fields.items()]


def _default(field: Any) -> Any:
    default = field.get_default(call_default_factory=True)
    return None if default is PydanticUndefined else default


def _minimum(default: Any) -> Any:
    """What a section or list must have so that setting one of its keys leaves the others at their defaults."""
    if isinstance(default, BaseModel):
        return {tag: getattr(default, tag) for tag in TAGS if tag in type(default).model_fields}
    return list(default) if isinstance(default, tuple | list) else {}


def _narrowed(kinds: list[type[BaseModel]], content: Mapping[str, Any]) -> list[type[BaseModel]]:
    """The sections that content can be, by its tags."""
    for tag in TAGS:
        fitting = [kind for kind in kinds if content.get(tag) in _tag(kind, tag)]
        kinds = fitting or kinds
    return kinds


def _tag(section: type[BaseModel], tag: str) -> tuple[Any, ...]:
    return get_args(section.model_fields[tag].annotation) if tag in section.model_fields else ()


def _similar(part: str, here: list[type[BaseModel]], model: type[BaseModel]) -> str:
    """Where the key could belong: a similar one of its section, or the same one elsewhere."""
    if similar := nearest(part, [name for section in here for name, _ in _fields(section)]):
        return similar
    elsewhere = {path for path in _paths([model]) if path.rpartition(".")[2] == part}
    return f"; did you mean {elsewhere.pop()}?" if len(elsewhere) == 1 else ""


def _paths(kinds: Iterable[Any]) -> Iterable[str]:
    """The dotted paths of all keys of types."""
    for section in _sections(kinds):
        for name, field in _fields(section):
            yield name
            yield from (f"{name}.{path}" for path in _paths(_parts(field.annotation)))
