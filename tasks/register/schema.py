"""What a registered model takes and gives: columns, parameters with their defaults, an example.

The defaults of what writes texts are those with which the recipe's evaluation wrote its own, so that what is served is
what was scored, but for the precision: what is served always multiplies in fp32.
"""

from typing import TYPE_CHECKING, Any

from tasks.register.results import Results
from tasks.stage.errors import DataError

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

KINDS = {
    "causal-lm": "causal", "translation": "pairs", "summarization": "pairs", "masked-lm": "masked",
    "classification": "classes",
}  # fmt: skip
"""`task` of a recipe → the module of `tasks.serve` that answers for its models."""

Defaults = dict[str, bool | int | float]

SAMPLING: Defaults = {"max_new_tokens": 200, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "seed": 0}
"""Of causal models, where `evaluate.generation` of the recipe says nothing else."""

GENERATION = {
    "num_beams": int, "max_new_tokens": int, "length_penalty": float, "repetition_penalty": float,
    "no_repeat_ngram_size": int, "early_stopping": bool,
}  # fmt: skip
"""What `details.generation` of evaluation/report.json says for pairs."""

BATCH: Defaults = {"batch_size": 32}
EXAMPLES = {"masked": "A text with a [MASK] in it."}


def defaults(results: Results) -> Defaults:
    """The parameters of a prediction. Raises DataError where the evaluation does not say how it wrote its texts."""
    match KINDS[results.task]:
        case "causal":
            said = (results.settings.get("evaluate") or {}).get("generation") or {}
            return {name: type(value)(said.get(name, value)) for name, value in SAMPLING.items()}
        case "pairs":
            return _generation(results) | BATCH
        case "masked":
            return {"top_k": 5} | BATCH
        case _:
            return BATCH


def signature(results: Results) -> "ModelSignature":
    """A column of texts in, a prediction for each out, and the parameters with their defaults."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    types = {bool: DataType.boolean, int: DataType.long, float: DataType.double}
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=_outputs(KINDS[results.task]),
        params=ParamSchema([ParamSpec(name, types[type(value)], value) for name, value in defaults(results).items()]),
    )


def example(results: Results) -> list[str]:
    """A text that fits the model: the first prompt of the evaluation, where it has one."""
    prompts = (sample.get("prompt") for sample in results.samples)
    return [next((str(prompt) for prompt in prompts if prompt), EXAMPLES.get(KINDS[results.task], "A text."))]


def _generation(results: Results) -> Defaults:
    path = results.folder / "evaluation" / "report.json"
    said = results.evaluation.get("generation")
    found: Defaults = {}
    for name, kind in GENERATION.items():
        value = said.get(name) if isinstance(said, dict) else None
        if not isinstance(value, (int, float)):
            raise DataError(f"{path}: details.generation.{name}: not there; what is served is what was evaluated")
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
