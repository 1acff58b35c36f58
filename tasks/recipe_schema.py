"""The JSON Schema of a recipe, for editors and for the reference in docs/recipe.md.

Pydantic generates the schema from the settings classes. Added here: attribute docstrings as descriptions, defaults
from factories, shorthands such as `init: scratch`, and the keys that depend on the task.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from tasks.formats import origin
from tasks.recipe import RECIPES, Recipe
from tasks.stage.settings import NAME, Section
from tasks.stage.task import FAMILIES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BY_TASK = ("train", "evaluate")
"""Sections whose keys depend on the task."""
SHORTHANDS: dict[Callable[..., Any], list[dict[str, Any]]] = {
    origin._spelled_out: [
        {"const": "scratch", "description": "Random weights."},
        {"type": "string", "pattern": f"^recipe:{NAME.pattern}$", "description": "The model of another recipe."},
    ]
}
"""Other forms that a key accepts, by the validator that expands them. A new validator needs an entry."""


def recipe_schema() -> dict[str, Any]:
    """One schema for recipes of all tasks: `if` the task is this, `then` these keys."""
    places, made = models_json_schema(
        [(model, "validation") for model in RECIPES.values()],
        schema_generator=_Generator,
        ref_template="#/$defs/{model}",
    )
    definitions: dict[str, Any] = made["$defs"]
    of_task = {task: definitions.pop(_name(places[model, "validation"])) for task, model in RECIPES.items()}
    whole = next(iter(of_task.values()))
    sections = {
        name: {"type": "object", "description": section["description"]} if name in BY_TASK else section
        for name, section in whole["properties"].items()
    }
    return {
        "$schema": DIALECT,
        "title": "A recipe of Gristmill",
        "description": inspect.getdoc(Recipe),
        "type": "object",
        "properties": sections,
        "required": whole["required"],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"task": {"const": task}}, "required": ["task"]},
                "then": {"properties": _of_task(task, recipe["properties"])},
            }
            for task, recipe in of_task.items()
        ],
        "$defs": definitions,
    }


def _of_task(task: str, sections: dict[str, Any]) -> dict[str, Any]:
    measured = FAMILIES[task].metrics
    baselines = dict.fromkeys(name for names in measured.values() for name in names)
    promotion = {"metric": {"enum": [*measured, None]}, "beat": {"items": {"enum": list(baselines)}}}
    return {**{name: sections[name] for name in BY_TASK}, "register": {"properties": promotion}}


def _name(reference: Any) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, with descriptions, all defaults and shorthands, and without titles."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        made = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        for field, meaning in _meanings(model).items():
            key = model.model_fields[field].alias or field
            made["properties"][key]["description"] = meaning
        made.pop("title", None)
        if not inspect.getdoc(model):
            made.pop("description", None)
        return made

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        factory: Any = schema.get("default_factory")
        return super().get_default_value(schema) if factory is None else factory()

    def encode_default(self, default: Any) -> Any:
        """The default as a recipe would write it: a section without its own defaults."""
        if isinstance(default, BaseModel):
            return default.model_dump(mode="json", exclude_defaults=True)
        if isinstance(default, tuple):
            return [self.encode_default(item) for item in default]
        return super().encode_default(default)

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> dict[str, Any]:
        spelled_out = super().function_before_schema(schema)
        return {"anyOf": [*SHORTHANDS[schema["function"]["function"]], spelled_out]}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> dict[str, Any]:
        union = super().tagged_union_schema(schema)
        union.pop("discriminator", None)  # OpenAPI's, not JSON Schema's
        if isinstance(tag := schema["discriminator"], str):
            union |= {"required": [tag], "properties": {tag: {"enum": list(schema["choices"])}}}
        return union

    def str_schema(self, schema: core_schema.StringSchema) -> dict[str, Any]:
        made = super().str_schema(schema)
        if "pattern" in made:
            made["pattern"] = made["pattern"].replace('\\"', '"')  # JavaScript refuses needless escapes
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Key → attribute docstring; a subclass overrides its bases."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Section) and base not in RECIPES.values():
            found.update(_strings(base))
    return {key: meaning for key, meaning in found.items() if key in model.model_fields}


def _strings(model: type[BaseModel]) -> dict[str, str]:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(node, ast.ClassDef)
    return {
        key.target.id: inspect.cleandoc(below.value.value)
        for key, below in zip(node.body, node.body[1:], strict=False)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
