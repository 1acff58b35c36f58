"""Create, rename and remove recipes: their files, their lines in dvc.yaml, their stages in dvc.lock, their data.

Everything is checked before anything changes, and each file is replaced as a whole. What is interrupted goes on when
the same command is called again. The record in MLflow and deployments in Prefect are left alone.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from flows.graph import LOCK, edit_lock, held, replace_text, users
from flows.recipes import (
    GRAPH,
    LISTS,
    RENAMING,
    SOME,
    entry,
    half_renamed,
    load_graph,
    locked_stages,
    mapping,
    require_none_half_renamed,
    variable,
)  # fmt: skip
from flows.workspace import claim
from tasks.stage.errors import RecipeError
from tasks.stage.run import DATA
from tasks.stage.settings import RECIPES, read_yaml, recipe_path, require_name

NOTES = ("registration.json", "recorded.json")
"""Files of register, which name the model: under its new name it is registered anew."""


def new_recipe(name: str, like: str) -> Path:
    """Copy the recipe `like` to `name`, add it to dvc.yaml, and return the path of the new file.

    Raises RecipeError if `name` is invalid or taken, `like` is missing, or dvc.yaml has no block of recipes.
    """
    require_none_half_renamed()
    _require_free(name, (RECIPES / f"{name}.yaml",))
    parsed = load_graph()
    wired, source = mapping(parsed), recipe_path(like)
    graph = GRAPH.read_text(encoding="utf-8")
    if like not in wired:
        raise RecipeError(f"{GRAPH}: vars: cannot add {name}: {like} is not in a `- recipes:` block")
    alone = variable(parsed, "alone") or {}
    own = {key: path for key, path in (wired[like] or {}).items() if path != alone.get(key)}
    text = _added(graph, "recipes", f"{name}: {entry(own)}")
    for key in SOME.values():
        if like in (variable(parsed, key) or {}):
            text = _added(text, key, f"{name}: {{}}")
    _require_mapping(text, {**wired, name: wired[like]})
    path = RECIPES / f"{name}.yaml"
    replace_text(path, source.read_text(encoding="utf-8"))
    try:
        replace_text(GRAPH, text)
    except OSError:
        path.unlink()
        raise
    return path


def _added(graph: str, block: str, line: str) -> str:
    """dvc.yaml with a line at the end of one of its mappings."""
    found = LISTS[block].search(graph)
    if found is None:
        raise RecipeError(f"{GRAPH}: vars: cannot add `{line}`: there is no block `- {block}:`")
    end = found.start() + len(found[0].rstrip()) + 1
    return f"{graph[:end]}{found['indent']}    {line}\n{graph[end:]}"


def _without(graph: str, name: str) -> str:
    """dvc.yaml without the lines of a recipe; a mapping that has lost its last line is `{}`."""
    for found in _lines(graph, name):
        graph = graph[: found.start()] + graph[found.end() :]
    for key in SOME.values():
        block = LISTS[key].search(graph)
        if block is not None and variable(_parsed(graph), key) is None:
            empty = block[0].replace(f"- {key}:", f"- {key}: {{}}", 1)
            graph = graph[: block.start()] + empty + graph[block.end() :]
    return graph


def removal(name: str) -> list[str]:
    """What `remove_recipe` removes. Raises RecipeError if the recipe is missing, the last one, or read by another."""
    require_none_half_renamed()
    require_name(name)
    wired, folder = mapping(load_graph()), DATA / name
    path = RECIPES / f"{name}.yaml" if name in wired else recipe_path(name)
    _require_unread(name, wired, "remove {reader} first")
    if list(wired) == [name]:
        raise RecipeError(f"{GRAPH}: vars.recipes: {name} is the only recipe; create another one first (gristmill new)")
    things = [str(path)] if path.exists() else []
    if name in wired:
        _lines(GRAPH.read_text(encoding="utf-8"), name)
        things.append(f"its line in {GRAPH}")
    if _is_locked(name):
        things.append(f"its stages in {LOCK}")
    if folder.is_symlink():
        things.append(f"the link {folder}, not the folder {folder.resolve()}")
    elif folder.exists():
        things.append(str(folder))
    return things


def remove_recipe(name: str) -> list[str]:
    """Remove a recipe, and return what is gone; DVC's cache and MLflow's record stay. Raises what `removal` raises."""
    things = removal(name)
    wired, folder = mapping(load_graph()), DATA / name
    with claim(name, [], print), held([folder]):
        if name in wired:
            text = _without(GRAPH.read_text(encoding="utf-8"), name)
            _require_mapping(text, {key: item for key, item in wired.items() if key != name})
            replace_text(GRAPH, text)
        edit_lock(lambda stages: [stages.pop(address) for address in _addresses(stages, name)])
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        (RECIPES / f"{name}.yaml").unlink(missing_ok=True)  # the last, so that an interrupted removal can be repeated
    return things


def rename_recipe(old: str, new: str) -> list[str]:
    """Rename a recipe with its data, so that no stage runs again; returns what has another name now.

    Raises RecipeError, before anything changes, if `new` is invalid or taken, `old` is missing or read by another
    recipe or stage. What an interrupted call has left is completed.
    """
    if half_renamed() != (old, new):
        require_none_half_renamed()
        recipe_path(old)
        _require_free(new, (RECIPES / f"{new}.yaml", DATA / new))
        wired = mapping(load_graph())
        if old in wired:
            _lines(GRAPH.read_text(encoding="utf-8"), old)
        if _is_locked(new):
            raise RecipeError(f"{LOCK}: has stages of {new}, of an earlier recipe of this name; choose another name")
        own = [(key, item) for key, item in (wired.get(old) or {}).items() if _is_inside(str(item), old)]
        if own:
            raise RecipeError(f"{GRAPH}: vars.recipes.{old}.{own[0][0]}: reads {own[0][1]}, which would move")
        _require_unread(old, wired, "{reader} would run again; keep the name, or remove {reader} first")
    with claim(old, [], print), claim(new, [], print), held([DATA / old, DATA / new]):
        replace_text(RENAMING, f"{old} {new}")
        return list(_rename(old, new, RECIPES / f"{old}.yaml", RECIPES / f"{new}.yaml"))


def _rename(old: str, new: str, path: Path, place: Path) -> Iterator[str]:
    """Each step does nothing if it is done."""
    if path.is_file():
        path.rename(place)
    yield str(place)
    text = GRAPH.read_text(encoding="utf-8")
    wired = mapping(read_yaml(GRAPH))
    if old in wired:
        for found in _lines(text, old):
            text = f"{text[: found.start()]}{found['indent']}{new}{text[found.end('name') :]}"
        _require_mapping(text, {new if key == old else key: item for key, item in wired.items()})
        replace_text(GRAPH, text)
    if new in wired or old in wired:
        yield f"its line in {GRAPH}"
    commands = {stage: spec.get("do", spec).get("cmd") for stage, spec in read_yaml(GRAPH)["stages"].items()}
    edit_lock(lambda stages: _rename_stages(stages, old, new, commands))
    if _is_locked(new):
        yield f"its stages in {LOCK}"
    if (DATA / old).exists() or (DATA / old).is_symlink():
        (DATA / old).rename(DATA / new)
    if (DATA / new).exists():
        for name in NOTES:
            (DATA / new / name).unlink(missing_ok=True)
        yield str(DATA / new)
    RENAMING.unlink()


def _rename_stages(stages: Any, old: str, new: str, commands: dict[str, Any]) -> None:
    """Rename the entries of a recipe in dvc.lock; a stage that was up to date stays so."""
    for address in _addresses(stages, old):
        stage, spec = address.partition("@")[0], stages[address]
        command = commands.get(stage)
        if _filled(command, old) == spec.get("cmd"):
            spec["cmd"] = _filled(command, new)
        for item in [*(spec.get("deps") or ()), *(spec.get("outs") or ())]:
            if _is_inside(item["path"], old):
                item["path"] = str(DATA / new / PurePosixPath(item["path"]).relative_to(DATA / old))
        params: Any = spec.get("params") or {}
        recipe = f"{RECIPES}/{old}.yaml"
        if recipe in params:
            params.insert(list(params).index(recipe), f"{RECIPES}/{new}.yaml", params[recipe])
            del params[recipe]
        stages.insert(list(stages).index(address), f"{stage}@{new}", spec)
        del stages[address]


def _filled(command: Any, name: str) -> Any:
    if isinstance(command, list):
        return [_filled(line, name) for line in command]
    return command.replace("${key}", name) if isinstance(command, str) else command


def _require_free(name: str, paths: Sequence[Path]) -> None:
    require_name(name)
    taken = next((path for path in paths if os.path.lexists(path)), None)
    if taken is None and name in mapping(load_graph()):
        taken = GRAPH
    if taken is not None and taken.parent == DATA:
        raise RecipeError(f"{taken}: left by an earlier recipe {name}; remove it, or choose another name")
    if taken is not None:
        raise RecipeError(f"{taken}: the recipe {name} already exists")


def _require_unread(name: str, wired: dict[str, Any], out: str) -> None:
    """Raises RecipeError if another recipe or stage uses the data of a recipe."""
    for other, item in wired.items():
        for key, place in (item or {}).items():
            if other != name and _is_inside(str(place), name):
                where = f"{GRAPH}: vars.recipes.{other}.{key}: {place}"
                raise RecipeError(f"{where} is of {name}; {out.format(reader=other)}")
    for address, place in users(name).items():
        raise RecipeError(f"{GRAPH}: {address}: {place} is of {name}; {out.format(reader=address)}")


def _is_inside(path: str, name: str) -> bool:
    return PurePosixPath(path).is_relative_to(DATA / name)


def _lines(text: str, name: str) -> list[re.Match[str]]:
    """The lines of a recipe in dvc.yaml, the last first, each with those below it that belong to it."""
    line = re.compile(rf"^(?P<indent> +)(?P<name>{re.escape(name)})(?=:).*\n(?:(?P=indent) +.*\n)*", re.MULTILINE)
    blocks = {key: block.search(text) for key, block in LISTS.items()}
    found = {key: line.search(text, block.start(), block.end()) for key, block in blocks.items() if block is not None}
    if found.get("recipes") is None:
        raise RecipeError(
            f"{GRAPH}: vars.recipes.{name}: not on a line of its own in a `- recipes:` block; put it there"
        )
    return sorted(filter(None, found.values()), key=lambda match: -match.start())


def _require_mapping(text: str, wanted: dict[str, Any]) -> None:
    """Raises RecipeError if an edited dvc.yaml would not say what it should."""
    from ruamel.yaml.error import YAMLError

    try:
        says_it = mapping(_parsed(text)) == wanted
    except (YAMLError, RecipeError):
        says_it = False
    if not says_it:
        raise RecipeError(f"{GRAPH}: vars.recipes: cannot be edited line by line (anchors?); edit it by hand")


def _parsed(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)


def _addresses(stages: Any, name: str) -> list[str]:
    return [address for address in stages if address.partition("@")[2] == name]


def _is_locked(name: str) -> bool:
    return bool(_addresses(locked_stages(), name))
