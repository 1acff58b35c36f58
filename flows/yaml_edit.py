"""Change values of a YAML file in its text: every byte but the changed values stays, with comments, order and quotes.

A library that loads and dumps the file would write its quotes, indents and long lines anew.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.stage.errors import RecipeError

Path = Sequence[str | int]


def replace_value(text: str, path: Path, value: Any) -> str:
    """The text with another value at a path: `("train", "schedule", "decay")`; a key that is missing is added behind
    the last one of its mapping, and its parents with it. The parents that exist must be mappings, lists or null.

    A key below an alias or a merge is changed where the anchor stands, and for others, too: compare what the new text
    says with what it should say.
    """
    parent, name = None, None
    node = _root(text)
    for number, part in enumerate(path):
        name, below = _child(node, part)
        if below is None:
            for key in reversed(path[number + 1 :]):
                value = {key: value}
            if node.id == "mapping":
                return _add(text, node, str(part), value)
            return _put(text, parent, node, {part: value})  # null
        parent, node = name, below
    return _put(text, parent, node, value)


def comment_above(text: str, path: Path, comment: str, replaces: str) -> str:
    """The text with a comment on a line of its own above a key; a comment there that is like the pattern `replaces`
    goes."""
    node, place = _root(text), 0
    for part in path:
        name, below = _child(node, part)
        place, node = (below if name is None else name).start_mark.index, below
    begin = text.rfind("\n", 0, place) + 1
    indent = text[begin : begin + len(text[begin:place]) - len(text[begin:place].lstrip(" "))]
    above, line = text[:begin].splitlines(keepends=True), f"{indent}# {comment}{_line_end(text)}"
    for number in range(len(above) - 1, -1, -1):
        if not above[number].lstrip().startswith("#"):
            break
        if re.fullmatch(replaces, above[number].strip()):
            return "".join([*above[:number], line, *above[number + 1 :], text[begin:]])
    return f"{text[:begin]}{line}{text[begin:]}"


def as_yaml(value: Any) -> str:
    """A value on one line, as it can stand anywhere in a YAML file."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{as_yaml(str(key))}: {as_yaml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    quoted = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.isascii() and value.isprintable() and _says(value, value):
        return value
    return quoted


def _says(plain: str, value: str) -> bool:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return bool(YAML(typ="safe").load(f"{{key: {plain}}}") == {"key": value})
    except (YAMLError, ValueError):
        return False


def _root(text: str) -> Any:
    """The node of the whole file; nodes know where they begin and end in the text."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).compose(text)


def _child(node: Any, part: str | int) -> tuple[Any, Any]:
    """The nodes of a key and its value; no key for an item of a list, no value for a missing key."""
    if node.id == "sequence":
        return None, node.value[int(part)]
    if node.id == "mapping":
        return next(((key, value) for key, value in node.value if key.value == part), (None, None))
    if node.tag.endswith(":null"):
        return None, None
    raise RecipeError(f"{part}: stands below a value that is not a mapping")


def _end(node: Any) -> int:
    """The end of a node's text: of its last value, for a block that has no end of its own."""
    while node.id in ("mapping", "sequence") and not node.flow_style and node.value:
        node = node.value[-1][1] if node.id == "mapping" else node.value[-1]
    return int(node.end_mark.index)


def _put(text: str, name: Any, node: Any, value: Any) -> str:
    """The text with another value for a node, which has this key."""
    new, begin, end = as_yaml(value), node.start_mark.index, _end(node)
    if name is not None and begin < name.end_mark.index:  # an alias: the node is that of the anchor
        begin, end = re.compile(r"\*[^\s,\]}]+").search(text, name.end_mark.index).span()  # type: ignore[union-attr]
        return text[:begin] + new + text[end:]
    block = node.id != "scalar" and not node.flow_style
    if node.id == "scalar" and node.style in ("|", ">"):
        end = begin + len(text[begin:end].rstrip())
    if name is not None and (block or begin == end):  # a block begins on the next line, nothing has no place
        begin = text.index(":", name.end_mark.index) + 1
        end, new = max(begin, end), f" {new}"
    return text[:begin] + new + text[end:]


def _add(text: str, node: Any, key: str, value: Any) -> str:
    """The text with one more key of a mapping."""
    entry = f"{as_yaml(key)}: {as_yaml(value)}"
    if node.flow_style:
        end = _end(node.value[-1][1]) if node.value else node.start_mark.index + 1
        return f"{text[:end]}{', ' if node.value else ''}{entry}{text[end:]}"
    first, last = node.value[0][0], node.value[-1][1]
    end = max(_end(last), node.value[-1][0].end_mark.index + 1)
    if last.id == "scalar" and last.style in ("|", ">"):
        end = last.start_mark.index + len(text[last.start_mark.index : end].rstrip())
    after = text.find("\n", end)
    line = f"{' ' * first.start_mark.column}{entry}"
    if after < 0:
        return f"{text}{_line_end(text)}{line}{_line_end(text)}"
    return f"{text[: after + 1]}{line}{_line_end(text)}{text[after + 1 :]}"


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
