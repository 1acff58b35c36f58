"""The champion at work, for the command line: found in the registry once, then asked as often as there are texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.register.promotion import CHAMPION
from tasks.register.registry import find_alias, model_name
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import GristmillError
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import read_task
from tasks.tracking.client import connect, lost_is_transient

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

TYPES: dict[str, type] = {"boolean": bool, "long": int, "integer": int, "double": float, "float": float, "string": str}
"""MLflow's types of parameters."""

LONG = 2**63 - 1
"""The largest whole number that MLflow takes."""


class Champion:
    """The champion of a recipe. Its weights are loaded with the first text, so that mistakes are told before that."""

    def __init__(self, recipe: str) -> None:
        """Raises RecipeError for the recipe, GristmillError where it has no champion, TransientError where a tracking
        server is away."""
        name = model_name(recipe, read_section(recipe, "register", RegisterSettings))
        with lost_is_transient():
            version = find_alias(connect(), name, CHAMPION)
            if version is None:
                raise GristmillError(f"no champion of {name} yet: run `gristmill run {recipe}`")
            from mlflow.models import Model

            self._uri = f"models:/{name}/{version.version}"
            schema = Model.load(self._uri).get_params_schema()
        self.types = {spec.name: TYPES[spec.dtype.name] for spec in (schema.params if schema else ())}
        self._model: PyFuncModel | None = None

    def read_parameters(self, given: Sequence[str]) -> dict[str, Any]:
        """`name=value` → the values in the types that the model wants. Raises GristmillError for what is none."""
        return dict(self._read_parameter(text) for text in given)

    def predict(self, texts: Sequence[str], parameters: Mapping[str, Any]) -> list[Any]:
        """A prediction for each text. Raises GristmillError for a parameter or a text that the model does not take."""
        from mlflow.exceptions import MlflowException

        if not texts:
            return []  # MLflow takes a list without a text for one without a column
        try:
            return list(self._load().predict(list(texts), params=dict(parameters)))
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise GristmillError(error.message) from error

    def check(self, texts: Sequence[str]) -> dict[int, str]:
        """Place of a text that the model cannot answer → why."""
        check = getattr(self._inside(), "check", None)
        return check(texts) if check is not None else {}

    def count_cut(self, texts: Sequence[str]) -> int:
        """How many texts are longer than what the model takes; 0 for a model of another make, which cannot tell."""
        count = getattr(self._inside(), "count_cut", None)
        return count(texts) if count is not None else 0

    def _read_parameter(self, given: str) -> tuple[str, Any]:
        name, equals, text = given.partition("=")
        if name not in self.types or not equals:
            known = ", ".join(self.types) or "none"
            raise GristmillError(
                f"--param {given}: name=value wanted, of a parameter of this model (there are: {known})"
            )
        kind = self.types[name]
        try:
            value = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, ValueError) as error:
            wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
            raise GristmillError(f"--param {given}: {name} is {wanted}") from error
        if kind is int and not -LONG <= value <= LONG:
            raise GristmillError(f"--param {given}: {name} is a whole number from {-LONG} to {LONG}")
        return name, value

    def _load(self) -> "PyFuncModel":
        if self._model is None:
            import mlflow.pyfunc

            with lost_is_transient():
                self._model = mlflow.pyfunc.load_model(self._uri)
        return self._model

    def _inside(self) -> Any:
        """Our code in the model, or that of whoever registered it by other means."""
        from mlflow.exceptions import MlflowException

        try:
            return self._load().unwrap_python_model()
        except MlflowException:  # not of Python code, and so without more to ask than `predict`
            return None


def generate(recipe: str, prompt: str, **parameters: float) -> str:
    """The prompt and what the registered champion makes of it; what is not given is as in the recipe's evaluation.

    Raises GristmillError for a recipe of another task, and where there is no champion.
    """
    if (task := read_task(recipe)) != "causal-lm":
        raise GristmillError(f"{recipe_path(recipe)}: task: {task} continues no text; use `gristmill predict {recipe}`")
    return str(Champion(recipe).predict([prompt], parameters)[0])
