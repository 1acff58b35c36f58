"""All built-in expectations of Great Expectations and their arguments, from the files of the package.

Importing the library takes seconds, reading its files a fraction of one. A test compares the two.
"""

import ast
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from tasks.stage.errors import GristmillError

OUR_OWN = frozenset(
    ("id", "meta", "result_format", "catch_exceptions", "rendered_content", "severity", "batch_id", "windows")
) | {"library_metadata", "metadata"}
"""Fields of the library's classes that a recipe cannot set: the stage sets them, or they need the library's cloud."""

MAPPED = frozenset(("column", "condition_parser", "description", "mostly", "notes", "row_condition"))
WITHOUT_SCHEMA = {
    "ExpectColumnValuesToBeDateutilParseable": (),
    "ExpectColumnValuesToBeDecreasing": ("strictly",),
    "ExpectColumnValuesToBeIncreasing": ("strictly",),
    "ExpectColumnValuesToBeJsonParseable": (),
    "ExpectColumnValuesToMatchJsonSchema": ("json_schema",),
    "ExpectMulticolumnValuesToBeUnique": ("column_list", "ignore_row_if"),
}
"""Expectations that the package has no JSON schema for, with their arguments besides MAPPED."""


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
    class_name = _classes()[name]
    if (own := WITHOUT_SCHEMA.get(class_name)) is not None:
        arguments = MAPPED.union(own)
        required = arguments & {"column", "column_list", "json_schema"}
    else:
        schema = json.loads((_core() / "schemas" / f"{class_name}.json").read_text(encoding="utf-8"))
        arguments = frozenset(schema["properties"]) - OUR_OWN
        required = frozenset(schema.get("required", ())) - OUR_OWN
    text = (_core() / f"{name}.py").read_text(encoding="utf-8")
    sql_only = "SUPPORTED_DATA_SOURCES" in text and "PANDAS" not in text and "import pandas" not in text
    return Signature(class_name, arguments, required, sql_only)


@lru_cache
def _core() -> Path:
    spec = find_spec("great_expectations")  # finds the package without importing it
    if spec is None or spec.origin is None:
        raise GristmillError("great_expectations is not installed: pip install great-expectations")
    return Path(spec.origin).parent / "expectations" / "core"


@lru_cache
def _classes() -> dict[str, str]:
    """Class names by canonical name, from the package's `core/__init__.py`."""
    tree = ast.parse((_core() / "__init__.py").read_text(encoding="utf-8"))
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module)
    pairs = ((str(node.module).rsplit(".", 1)[-1], alias.name) for node in imports for alias in node.names)
    return {
        name: class_name for name, class_name in pairs if name.endswith("expectation") or name.startswith("expect_")
    }
