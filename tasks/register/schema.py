"""The signature of a registered model: columns, parameters with defaults, an example.

Generation defaults are those of the recipe's evaluation, so the served model is the scored one, except that serving
always computes in fp32.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks.formats.sampling import GenerationSettings
from tasks.register.results import Results
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

KINDS = {
    "causal-lm": "causal", "translation": "pairs", "summarization": "pairs", "masked-lm": "masked",
    "classification": "classes", "chat": "chat", "preference": "chat",
}  # fmt: skip
"""The module of `tasks.serve` for each task."""

Defaults = dict[str, bool | int | float]

GENERATION = {
    "num_beams": int, "max_new_tokens": int, "length_penalty": float, "repetition_penalty": float,
    "no_repeat_ngram_size": int, "early_stopping": bool,
}  # fmt: skip
"""Pairs: the keys of `details.generation` in evaluation/report.json."""
SAMPLING = {"temperature": float, "top_k": int, "top_p": float, "seed": int}
"""Chat: more keys."""
BATCH: Defaults = {"batch_size": 32}
EXAMPLES = {"masked": "A text with a [MASK] in it."}


def defaults(results: Results) -> Defaults:
    """The parameters of a prediction. Raises DataError if the evaluation does not state its generation settings."""
    match KINDS[results.task]:
        case "causal":
            said = (results.settings.get("evaluate") or {}).get("generation") or {}
            return GenerationSettings.model_validate(said).model_dump()
        case "pairs":
            return _generation(results, GENERATION) | BATCH
        case "chat":
            return _generation(results, GENERATION | SAMPLING) | BATCH
        case "masked":
            return {"top_k": 5} | BATCH
        case _:
            return BATCH


def signature(results: Results) -> "ModelSignature":
    """A column of texts in, one prediction per text out, and parameters with defaults; for chat, MLflow's signature of
    chat models."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA

    types = {bool: DataType.boolean, int: DataType.long, float: DataType.double}
    params = ParamSchema([ParamSpec(name, types[type(value)], value) for name, value in defaults(results).items()])
    if KINDS[results.task] == "chat":
        found = ModelSignature(CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA, params)
        # MLflow then hands inputs on as they are: it would refuse content in parts, and questions without messages.
        found._is_signature_from_type_hint = True
        return found
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]), outputs=_outputs(KINDS[results.task]), params=params
    )


def example(results: Results) -> list[str] | dict[str, Any]:
    """An input example: the first prompt of the evaluation, if it has one; for chat, a request of OpenAI."""
    if KINDS[results.task] == "chat":
        return {"messages": first_history(results)}
    return [_first_prompt(results) or EXAMPLES.get(KINDS[results.task], "A text.")]


def first_history(results: Results) -> list[dict[str, str]]:
    """Chat: the first conversation of the evaluation up to a question, if it has one."""
    histories = (sample.get("messages") for sample in results.samples)
    found = next((history for history in histories if history), None)
    turns = found or [{"role": "user", "content": _first_prompt(results) or "Hello!"}]
    return [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns]


def _first_prompt(results: Results) -> str | None:
    prompts = (sample.get("prompt") for sample in results.samples)
    return next((str(prompt) for prompt in prompts if prompt), None)


def _generation(results: Results, keys: Mapping[str, type]) -> Defaults:
    path = results.folder / "evaluation" / "report.json"
    said = results.evaluation.get("generation")
    found: Defaults = {}
    for name, kind in keys.items():
        value = said.get(name) if isinstance(said, dict) else None
        if not isinstance(value, (int, float)):
            raise DataError(f"{path}: details.generation.{name}: missing; serving needs the settings of the evaluation")
        found[name] = kind(value)
    return found


def _outputs(kind: str) -> "Schema":
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array, Map, Object, Property

    text, number = DataType.string, DataType.double
    token: Any = Object([Property("token", text), Property("probability", number)])
    columns: dict[str, list[Any]] = {
        "masked": [ColSpec(text, "text"), ColSpec(Array(Array(token)), "masks")],
        "classes": [ColSpec(text, "label"), ColSpec(number, "score"), ColSpec(Map(number), "scores")],
    }
    return Schema(columns.get(kind, [ColSpec(text)]))
