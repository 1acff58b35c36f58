"""All built-in expectations of Great Expectations and their arguments, read from its source code.

Importing the library takes seconds, reading its source a fraction of one. A test compares the two.
"""

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from tasks.stage.errors import GristmillError

OUR_OWN = frozenset(
    ("id", "meta", "result_format", "catch_exceptions", "rendered_content", "severity", "batch_id", "windows")
) | {"library_metadata"}
"""Fields of the library's classes that a recipe cannot set: the stage sets them, or they need the library's cloud."""

FIRST_METHOD = re.compile(r"^    (?:@|def |async def )", re.MULTILINE)


@dataclass(frozen=True)
class Signature:
    """The arguments of an expectation."""

    class_name: str
    arguments: frozenset[str]
    required: frozenset[str]
    sql_only: bool
    """It works on database tables only."""


@lru_cache
def expectation_names() -> frozenset[str]:
    """Canonical names of all built-in expectations, such as `expect_column_values_to_not_be_null`."""
    return frozenset(_classes())


def canonical_name(name: str) -> str | None:
    """The canonical name for `ExpectColumnToExist` or `expect_column_to_exist`; None if unknown."""
    if name in _classes():
        return name
    return next((known for known, class_name in _classes().items() if class_name == name), None)


@lru_cache
def signature(name: str) -> Signature:
    """The arguments of an expectation by its canonical name."""
    path, class_name = _room() / "core" / f"{name}.py", _classes()[name]
    text = path.read_text(encoding="utf-8")
    fields = _fields(text, class_name)
    arguments = frozenset(fields) - OUR_OWN
    required = frozenset(field for field, needed in fields.items() if needed) - OUR_OWN
    sql_only = "SUPPORTED_DATA_SOURCES" in text and "PANDAS" not in text and "import pandas" not in text
    return Signature(class_name, arguments, required, sql_only)


@lru_cache
def _room() -> Path:
    spec = find_spec("great_expectations")  # finds the package without importing it
    if spec is None or spec.origin is None:
        raise GristmillError("great_expectations is not installed: pip install great-expectations")
    return Path(spec.origin).parent / "expectations"


@lru_cache
def _classes() -> dict[str, str]:
    """Class names by canonical name, from the package's `core/__init__.py`."""
    tree = ast.parse((_room() / "core" / "__init__.py").read_text(encoding="utf-8"))
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module)
    pairs = ((str(node.module).rsplit(".", 1)[-1], alias.name) for node in imports for alias in node.names)
    return {
        name: class_name for name, class_name in pairs if name.endswith("expectation") or name.startswith("expect_")
    }


def _fields(text: str, class_name: str) -> dict[str, bool]:
    """Fields of a class and its bases, and whether each is required."""
    node = _class_head(text, class_name)
    origin = text
    if node is None:
        origin = _base_classes()
        node = _class_head(origin, class_name)
    if node is None:
        return {}
    fields: dict[str, bool] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name):
            fields |= _fields(origin, base.id)
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            name, annotation = line.target.id, ast.unparse(line.annotation)
            if not name.startswith("_") and "ClassVar" not in annotation:
                fields[name] = not _has_default(line.value) and not re.search(r"\bNone\b|\bOptional\b", annotation)
        elif isinstance(line, ast.Assign):
            fields.update(
                {target.id: False for target in line.targets if isinstance(target, ast.Name) and target.id in fields}
            )
    return fields


@lru_cache
def _base_classes() -> str:
    return (_room() / "expectation.py").read_text(encoding="utf-8")


def _class_head(text: str, class_name: str) -> ast.ClassDef | None:
    """A class up to its first method: its fields come first, and parsing the rest would take longer."""
    start = re.search(rf"^class {class_name}\b", text, re.MULTILINE)
    if start is None:
        return None
    rest = text[start.start() :]
    end = FIRST_METHOD.search(rest) or re.search(r"\n\n\n(?=\S)", rest)
    head = ast.parse(rest[: end.start()] if end else rest).body[0]
    assert isinstance(head, ast.ClassDef)
    return head


def _has_default(value: ast.expr | None) -> bool:
    if value is None:
        return False
    if isinstance(value, ast.Call) and ast.unparse(value.func).rsplit(".", 1)[-1] == "Field":
        given = [*value.args, *(word.value for word in value.keywords if word.arg in ("default", "default_factory"))]
        return bool(given) and ast.unparse(given[0]) not in ("...", "Ellipsis")
    return True
