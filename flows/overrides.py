"""Settings of a recipe changed on the command line: `--set train.steps=20`, `--over train.optimizer.learning_rate=…`.

    KEY=1e-4..1e-2:log     a range, searched by its logarithm
    KEY=16..64             a range of integers; 0.0..0.5 one of numbers
    KEY=128,192            choices, also texts, true, false, null, [lists] and {mappings}, as YAML writes them

A change is checked before anything runs, by the classes and in the words of `gristmill check`.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flows.graph import replace_text
from flows.recipe_keys import Key, find, meet, stages_of
from flows.yaml_edit import as_yaml, comment_above, replace_value
from tasks.stage.errors import GristmillError, RecipeError
from tasks.stage.problems import TAGS
from tasks.stage.settings import read_yaml, recipe_path, validate

if TYPE_CHECKING:
    import optuna

    from tasks.recipe import Recipe

RANGE = re.compile(r"(?P<low>[^\s,'\"\[\]{}]+?)\.\.(?P<high>[^\s,'\"\[\]{}]+?)(?P<log>:log)?")
DIGITS = 4
"""Significant digits of a number that a sweep tries: what it writes can be read, and 0.05 % change no result."""
NO_STAGE = {
    "description": "no stage reads it, so it changes no model",
    "register": "no stage reads it: it decides after the training which model becomes champion",
}
LEARNING = ("base", "ingest", "validate", "clean", "tokenize", "train")
"""The stages that a validation loss comes from."""
MEASURING = ("train.evaluation_tokens", "train.evaluation_documents", "train.mask_probability", "train.next_sentence")
"""Keys of training that change what the validation loss is measured on."""


@dataclass(frozen=True)
class Over:
    """A setting that a sweep varies."""

    key: str
    choices: tuple[Any, ...] | None = None
    """One or more values; None for a range."""
    low: float = 0
    high: float = 0
    log: bool = False
    integer: bool = False

    def suggest(self, trial: "optuna.Trial") -> Any:
        """The value that a trial tries; not always what `trial.params` holds, see `value`."""
        if self.choices is not None:
            return self.value(trial.suggest_categorical(self.key, [_label(choice) for choice in self.choices]))
        if self.integer:
            return self.value(trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log))
        return self.value(trial.suggest_float(self.key, self.low, self.high, log=self.log))

    def value(self, param: Any) -> Any:
        """The recipe's value for what Optuna keeps: numbers have 4 digits, lists and mappings are kept as JSON."""
        if self.choices is not None:
            return next(choice for choice in self.choices if _label(choice) == param)
        if self.integer:
            return int(param)
        return min(max(float(f"{param:.{DIGITS}g}"), self.low), self.high)

    def param(self, value: Any) -> Any:
        """What Optuna keeps for a value."""
        return _label(value)

    @property
    def bounds(self) -> tuple[Any, ...]:
        """The values that must be valid for the whole to be: all choices, or both ends."""
        if self.choices is not None:
            return self.choices
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)

    @property
    def size(self) -> int | None:
        """How many values there are; None for a range of numbers."""
        if self.choices is not None:
            return len(self.choices)
        return int(self.high) - int(self.low) + 1 if self.integer else None


def parse_set(text: str) -> tuple[str, Any]:
    """`train.steps=20`: the key and its value, which is YAML. Raises GristmillError."""
    key, given = _split(text, "--set")
    value = _yaml(given, f"--set {text}")
    if value is None and given.lower() not in ("null", "~"):
        raise GristmillError(f"--set {text}: no value after the equals sign; write {key}=null for none")
    return key, value


def parse_over(text: str) -> Over:
    """`KEY=LOW..HIGH`, `KEY=LOW..HIGH:log` or `KEY=A,B,C`. Raises GristmillError."""
    key, given = _split(text, "--over")
    where = f"--over {text}"
    if found := RANGE.fullmatch(given):
        return _range(key, found, where)
    if given.endswith(":log"):
        raise GristmillError(f"{where}: only a range has a logarithm; write {key}=1e-4..1e-2:log")
    choices = _yaml(f"[{given}]", where)
    if not choices:
        raise GristmillError(f"{where}: no value after the equals sign; write {key}=A,B or {key}=LOW..HIGH")
    for number, choice in enumerate(choices):
        if any(_label(choice) == _label(other) for other in choices[:number]):
            raise GristmillError(f"{where}: {json.dumps(choice, default=str)} stands there twice; remove one")
    return Over(key, tuple(choices))


def require_keys(recipe: str, keys: Iterable[str]) -> None:
    """Raises RecipeError, a line per bad key: one that the recipe's task does not have, that no DVC stage reads, or
    that is given twice or lies inside another."""
    path = recipe_path(recipe)
    content, keys = read_yaml(path), list(keys)
    lines = [f"{path}: {problem}" for problem in _collisions(keys)]
    for key in dict.fromkeys(keys):
        try:
            find(_model(content), content, key, varied=keys)
            if not stages_of(recipe, key):
                told = NO_STAGE.get(key.partition(".")[0], "no stage of dvc.yaml reads it")
                raise RecipeError(f"{key}: {told}; to change it, edit the file")
        except RecipeError as error:
            lines.append(f"{path}: {error}")
    if lines:
        raise RecipeError("\n".join(lines))


def require_values(recipe: str, values: Mapping[str, Any]) -> "Recipe":
    """The recipe with other values. Raises RecipeError as `require_keys` and `gristmill check` do."""
    require_keys(recipe, values)
    return _validated(recipe, values)


def require_overs(recipe: str, overs: Sequence[Over], values: Mapping[str, Any] | None = None) -> tuple[Over, ...]:
    """What a sweep varies, with `values` set beside it: a range of whole numbers becomes one of numbers for a key that
    takes numbers, and the other way round.

    Raises RecipeError for a bad key, a key that the validation loss cannot depend on, and a choice or an end of a
    range that the recipe cannot have, whichever of the others' values it meets.
    """
    fixed = dict(values or {})
    keys = [*fixed, *(over.key for over in overs)]
    require_keys(recipe, keys)
    if fixed:
        _validated(recipe, fixed)
    path, content = recipe_path(recipe), read_yaml(recipe_path(recipe))
    overs = tuple(_fitted(over, find(_model(content), changed(content, fixed), over.key, keys)) for over in overs)
    lines: list[str] = []
    for over in overs:
        if set(stages := stages_of(recipe, over.key)) & set(LEARNING):
            others = [other for other in overs if other is not over]
            lines += [told for bound in over.bounds if (told := _refused(recipe, over.key, bound, others, fixed))]
        else:
            told = "which the validation loss does not depend on; trials would all be the same"
            read = "reads" if len(stages) == 1 else "read"
            lines.append(f"{path}: {over.key}: only {' and '.join(stages)} {read} it, {told}")
    if lines:
        raise RecipeError("\n".join(dict.fromkeys("\n".join(lines).splitlines())))
    return overs


def other_measure(recipe: str, keys: Iterable[str]) -> list[str]:
    """Those of these keys that change what the validation loss is measured on, by which trials are hard to compare."""
    early = {key: set(stages_of(recipe, key)) & set(LEARNING[1:-1]) for key in keys}
    return [key for key, stages in early.items() if stages or key in MEASURING]


def changed(content: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's content with other values; a section that it leaves to its defaults keeps their kind.

    Raises RecipeError for a key that a recipe of its task cannot have.
    """
    try:
        new = _copy(content)
    except RecursionError as error:
        raise RecipeError("a YAML anchor refers to itself") from error
    for key, value in _kinds_first(values):
        found = find(_model({**new, **values}), new, key)
        for parents, fill in found.fills.items():
            _put(new, parents, _copy(fill))
        _put(new, found.path, _copy(value))
    return dict(new)


def write_into(recipe: str, values: Mapping[str, Any], comment: str) -> None:
    """Put values into the file of a recipe; every other byte stays. Above each key stands a comment, which replaces
    the one of the last sweep: `# steps: 400 instead of 800, by the sweep …`; `comment` is from `by the sweep` on.

    Raises RecipeError, and changes nothing, if the recipe becomes invalid, or an anchor or merge stands in the way.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    require_values(recipe, values)
    path = recipe_path(recipe)
    content = read_yaml(path)
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    try:
        for key, value in _kinds_first(values):
            found, after = find(_model(content), content, key), changed(content, {key: value})
            name, told, old = str(found.path[-1]), as_yaml(value), _look(content, found.path)
            told = told if old in (None, told) else f"{told} instead of {old}"
            place = min(found.fills, key=len, default=found.path)
            text = replace_value(text, place, _value(after, place))
            last = rf"# {re.escape(name)}: .*, by the sweep .*"
            text = comment_above(text, found.path, f"{name}: {told}, {comment}", replaces=last)
            content = after
        good = YAML(typ="safe").load(text) == content
    except YAMLError:
        good = False
    if not good:
        lines = ", ".join(f"{key}: {as_yaml(value)}" for key, value in values.items())
        raise RecipeError(f"{path}: an anchor, an alias or a long text stands in the way; write it yourself: {lines}")
    replace_text(path, text)


def _kinds_first(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The kind of a section decides which other keys it has."""
    return sorted(values.items(), key=lambda item: item[0].rpartition(".")[2] not in TAGS)


def _look(content: Any, path: Sequence[str | int]) -> str | None:
    """A value parsed as YAML; None if it is missing."""
    try:
        return as_yaml(_value(content, path))
    except (KeyError, IndexError, TypeError):
        return None


def _value(content: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        content = content[part]
    return content


def _range(key: str, found: re.Match[str], where: str) -> Over:
    low, high = (_yaml(found[end], where) for end in ("low", "high"))
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            told = json.dumps(end, default=str)
            raise GristmillError(
                f"{where}: a range needs two numbers, and {told} is none; put texts with dots in quotes"
            )
    log, integer = found["log"] is not None, isinstance(low, int) and isinstance(high, int)
    if not low < high:
        raise GristmillError(f"{where}: the lower end must be less than the upper one")
    if log and low <= 0:
        raise GristmillError(f"{where}: a logarithm needs a lower end above 0, not {low}")
    return Over(key, None, low, high, log, integer)


def _split(text: str, option: str) -> tuple[str, str]:
    key, equals, given = (part.strip() for part in text.partition("="))
    if not equals or not key or not all(key.split(".")):
        raise GristmillError(f"{option} {text}: expected KEY=VALUE, such as train.optimizer.learning_rate=0.001")
    if not given:
        raise GristmillError(f"{option} {text}: no value after the equals sign")
    return key, given


def _yaml(text: str, where: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise GristmillError(f"{where}: {text} is not valid YAML; put texts with , : # [ ] {{ }} in quotes") from error


def _collisions(keys: Sequence[str]) -> Iterable[str]:
    for number, key in enumerate(keys):
        for other in keys[:number]:
            if key == other:
                yield f"{key}: given twice; give it once"
            elif meet(key, other):
                inner, outer = sorted((key, other), key=len, reverse=True)
                yield f"{inner}: lies inside {outer}, which is given, too; give one of them"


def _model(content: Mapping[str, Any]) -> type["Recipe"]:
    from tasks.recipe import RECIPES, Recipe

    task = content.get("task")
    return RECIPES.get(task, Recipe) if isinstance(task, str) else Recipe


def _validated(recipe: str, values: Mapping[str, Any]) -> "Recipe":
    path = recipe_path(recipe)
    content = changed(read_yaml(path), values)
    return validate(_model(content), content, path)


def _refused(recipe: str, key: str, value: Any, others: Sequence[Over], fixed: Mapping[str, Any]) -> str | None:
    """Why a recipe cannot have a value, whether the other keys are as they stand, at their lower or upper ends."""
    told = None
    for place in (None, 0, -1):
        around = {} if place is None else {other.key: other.bounds[place] for other in others}
        try:
            _validated(recipe, {**fixed, **around, key: value})
        except RecipeError as error:
            told = told or str(error)
        else:
            return None
    return told


def _fitted(over: Over, key: Key) -> Over:
    if over.choices is not None:
        return over
    if over.integer and key.takes(float) and not key.takes(int):
        return replace(over, low=float(over.low), high=float(over.high), integer=False)
    if not over.integer and key.takes(int) and not key.takes(float) and over.low % 1 == 0 == over.high % 1:
        return replace(over, low=int(over.low), high=int(over.high), integer=True)
    return over


def _label(choice: Any) -> Any:
    """A choice as Optuna can keep it."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else json.dumps(choice, default=str)


def _copy(value: Any) -> Any:
    """A copy in which nothing is shared: in YAML, an alias is the same object as its anchor."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _put(content: Any, path: Sequence[str | int], value: Any) -> None:
    for part in path[:-1]:
        content = content[part]
    content[path[-1]] = value
