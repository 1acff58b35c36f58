"""`gristmill schema`: write recipes/schema.json for editors and docs/recipe.md from the settings classes."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.stage.errors import GristmillError

SCHEMA = Path("recipes/schema.json")
REFERENCE = Path("docs/recipe.md")
HEAD = """# All keys of a recipe

<!-- Written by `gristmill schema` from the docstrings in tasks/*/settings.py. Do not edit. -->

A recipe is a file `recipes/NAME.yaml` with the keys below. Unknown keys are errors, and values are never converted.
Editors with a YAML language server read `recipes/schema.json` and complete and check keys as you type;
`gristmill check NAME` also checks that keys fit together.
"""
ROW = re.compile(r"(\S+) {2,}(\S.*)")
"""A docstring line that explains one value: `wsd      at 1, then …`."""

Node = Mapping[str, Any]


def write_schema() -> list[Path]:
    """Write both files and return their paths. Raises GristmillError outside a project."""
    if not SCHEMA.parent.is_dir():
        raise GristmillError(f"{SCHEMA.parent}: not found; run gristmill in the project's folder")
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [SCHEMA, REFERENCE]


def files() -> dict[Path, str]:
    """Path → text of both files."""
    from tasks.recipe_schema import recipe_schema

    schema = recipe_schema()
    return {SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n", REFERENCE: reference(schema)}


def reference(schema: Node) -> str:
    """The schema as Markdown, with a table of keys for each section, nested section and kind."""
    text = "\n".join([HEAD, *_Reference(schema).lines()])
    return re.sub(r"\n{3,}", "\n\n", text) + "\n"


class _Reference:
    """A walk over the schema that describes each definition once, where it is first reached."""

    def __init__(self, schema: Node) -> None:
        self.schema = schema
        self.described: set[str] = set()

    def lines(self) -> Iterator[str]:
        yield from _table(self.schema)
        by_task: dict[str, dict[str, Node]] = {}
        for case in self.schema["allOf"]:
            task = case["if"]["properties"]["task"]["const"]
            for section, node in case["then"]["properties"].items():
                by_task.setdefault(section, {})[task] = node
        for section, node in self.schema["properties"].items():
            if section in ("train", "evaluate"):
                yield from self._by_task(section, by_task[section])
            elif _references(node):
                yield from self._node(section, node, "##")
            if section == "validate":
                yield from _columns()
            elif section == "register":
                yield from _metrics(by_task["register"])

    def _node(self, path: str, node: Node, level: str, label: str = "") -> Iterator[str]:
        """The section that a key refers to, or its kinds."""
        names = _references(node)
        if len(names) == 1:
            name = names.pop()
            if name in self.described:
                return
            self.described.add(name)
            found = self.schema["$defs"][name]
            yield f"\n{level} `{path}`{label}\n"
            yield from _prose(found.get("description", ""))
            if "oneOf" in found:
                yield from self._node(path, found, level, label)
                return
            if names := found.get("patternProperties"):  # a mapping of names that the user chooses
                for each in names.values():
                    yield from self._node(f"{path}.NAME", each, "###")
                return
            yield from _table(found)
            yield from self._below(path, found, label)
            return
        if more := self._beyond(names):
            yield f"\n{level} `{path}`{label}\n"
            yield "The keys of a source by its `kind`, and:\n"
            yield from _table({"properties": more})
            return
        for name in names:
            properties = self.schema["$defs"][name]["properties"]
            tags = [f"`{key}: {value['const']}`" for key, value in properties.items() if "const" in value]
            tag = tags[0] if tags else f"`{next(iter(properties))}`"
            yield from self._node(path, {"$ref": f"#/$defs/{name}"}, "###", f", {tag}")

    def _beyond(self, names: list[str]) -> dict[str, Node]:
        """The keys of parts of a mixture beyond those of the sources that they extend; empty for other definitions."""
        found: dict[str, Node] = {}
        for name in names:
            source = self.schema["$defs"].get(f"{name.removesuffix('Part')}Source")
            if source is None or not name.endswith("Part"):
                return {}
            own = self.schema["$defs"][name]["properties"]
            found |= {key: node for key, node in own.items() if key == "name" or key not in source["properties"]}
        return found

    def _below(self, path: str, section: Node, label: str = "") -> Iterator[str]:
        """The nested sections; one shared by several keys gets the heading `path.*`."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for key, node in section.get("properties", {}).items():
            if names := _references(node):
                groups.setdefault(tuple(names), []).append(key)
        for keys in groups.values():
            node = section["properties"][keys[0]]
            item = "[]" if node.get("type") == "array" else ""
            below = f"{path}.{keys[0]}{item}" if len(keys) == 1 else f"{path}.*"
            yield from self._node(below, node, "###", label if "`" not in label else "")

    def _by_task(self, section: str, nodes: Mapping[str, Node]) -> Iterator[str]:
        """Keys that all tasks share, then those of each task."""
        found = {task: self.schema["$defs"][_references(node)[0]] for task, node in nodes.items()}
        first, *others = found.values()
        shared = {
            key: node
            for key, node in first["properties"].items()
            if all(other["properties"].get(key) == node for other in others)
        }
        yield f"\n## `{section}`\n"
        yield "For every task:\n"
        yield from _table({"properties": shared})
        yield from self._below(section, {"properties": shared})
        tasks: dict[str, list[str]] = {}
        for task, node in nodes.items():
            tasks.setdefault(_references(node)[0], []).append(task)
        for name, having in tasks.items():
            node = self.schema["$defs"][name]
            own = {key: value for key, value in node["properties"].items() if key not in shared}
            yield f"\n### `{section}`: {', '.join(having)}\n"
            yield from _prose(node.get("description", ""))
            if own:
                yield from _table({**node, "properties": own})
            for key, value in own.items():
                sharing = [task for task in found if found[task]["properties"].get(key) == value]
                yield from self._below(section, {"properties": {key: value}}, f": {', '.join(sharing)}")


def _references(node: Node) -> list[str]:
    """Names of the definitions that a key refers to, those of list items included."""
    if "$ref" in node:
        return [node["$ref"].rpartition("/")[2]]
    parts = [*node.get("oneOf", ()), *node.get("anyOf", ()), *([node["items"]] if "items" in node else [])]
    return list(dict.fromkeys(name for part in parts for name in _references(part)))


def _table(section: Node) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    required = section.get("required", ())
    keys = section["properties"].items()
    for key, node in sorted(keys, key=lambda item: "const" not in item[1]):
        default = "required" if key in required else _code(node["default"]) if "default" in node else ""
        yield f"| `{key}` | {_cell(_type(node))} | {_cell(default)} | {_meaning(node.get('description', ''))} |"


def _type(node: Node) -> str:
    """A type and its range in words: `integer ≥ 1`, `number in [0, 1)`, list of strings."""
    if "$ref" in node:
        return "mapping"
    if "const" in node:
        return _code(node["const"])
    if "enum" in node:
        return ", ".join(map(_code, node["enum"]))
    if parts := node.get("anyOf") or node.get("oneOf"):
        return ", or ".join(dict.fromkeys(map(_type, parts)))
    match node.get("type"):
        case "integer" | "number":
            return f"{node['type']}{_range(node)}"
        case "string":
            return "string" + (f" matching `{node['pattern']}`" if "pattern" in node else "")
        case "array" if "prefixItems" in node:
            return f"list of {len(node['prefixItems'])}: {', '.join(map(_type, node['prefixItems']))}"
        case "array":
            return f"{'non-empty list' if node.get('minItems') else 'list'} of {_type(node['items'])}"
    return {"object": "mapping", "boolean": "boolean", "null": "`null`"}.get(str(node.get("type")), "any")


def _range(node: Node) -> str:
    low, high = node.get("minimum", node.get("exclusiveMinimum")), node.get("maximum", node.get("exclusiveMaximum"))
    if low is not None and high is not None:
        opening = "[" if "minimum" in node else "("
        closing = "]" if "maximum" in node else ")"
        return f" in {opening}{_number(low)}, {_number(high)}{closing}"
    if low is not None:
        return f" {'≥' if 'minimum' in node else '>'} {_number(low)}"
    if high is not None:
        return f" {'≤' if 'maximum' in node else '<'} {_number(high)}"
    return ""


def _number(value: float) -> str:
    power = int(value).bit_length() - 1
    return f"2^{power}" if value >= 1 << 20 and value == 1 << power else f"{value:g}"


def _code(value: Any) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"[^\s\"'`]+", value)
    return f"`{value}`" if plain else f"`{json.dumps(value, ensure_ascii=False)}`"


def _meaning(docstring: str) -> str:
    return _cell("<br>".join(f"`{value}`: {text}" if value else text for value, text in _parts(docstring)))


def _prose(docstring: str) -> Iterator[str]:
    for paragraph in filter(None, docstring.split("\n\n")):
        for value, text in _parts(paragraph):
            yield f"- `{value}`: {text}" if value else text
        yield ""


def _parts(docstring: str) -> list[tuple[str, str]]:
    """Prose as (``, text), rows of aligned values as (value, meaning); continuation lines are joined."""
    parts: list[tuple[str, str]] = []
    for line in docstring.splitlines():
        if row := ROW.fullmatch(line):
            parts.append((row[1], row[2]))
        elif parts and line:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {line.strip()}")
        elif line:
            parts.append(("", line))
    return parts


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _columns() -> Iterator[str]:
    from tasks.validate.settings import COLUMNS

    yield "\n### Columns for expectations\n"
    yield "| column | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{name}` | {_cell(meaning)} |" for name, meaning in COLUMNS.items())


def _metrics(by_task: Mapping[str, Node]) -> Iterator[str]:
    yield "\n### Metrics and baselines\n"
    yield "| task | `metric`, the headline first | `beat` |"
    yield "| --- | --- | --- |"
    for task, node in by_task.items():
        keys = node["properties"]
        metrics = ", ".join(f"`{name}`" for name in keys["metric"]["enum"] if name is not None)
        baselines = ", ".join(f"`{name}`" for name in keys["beat"]["items"]["enum"])
        yield f"| {task} | {metrics} | {baselines} |"
