"""Runs the champion for the command line; it is looked up in the registry once."""

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tasks.register.package import MODEL
from tasks.register.promotion import CHAMPION
from tasks.register.registered import read_registered
from tasks.register.registry import model_name, warn_of_champion
from tasks.register.settings import RegisterSettings
from tasks.register.variants import alias_of
from tasks.stage.errors import GristmillError, TransientError, one_line
from tasks.stage.problems import nearest
from tasks.stage.redact import redact
from tasks.stage.runtime import find_device
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import CHATS, read_task
from tasks.tracking.client import IDENTITY, connect, lost_is_transient
from tasks.tracking.embedded import local_folder

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

TYPES: dict[str, type] = {"boolean": bool, "long": int, "integer": int, "double": float, "float": float, "string": str}
"""MLflow's parameter types → Python's."""

VARIANT = "GRISTMILL_VARIANT"
LONG = 2**63 - 1
"""The largest integer that MLflow accepts."""


class Champion:
    """The champion of a recipe. Weights load with the first text, after errors in parameters are reported."""

    def __init__(self, recipe: str, variant: str | None = None) -> None:
        """`variant`: a smaller one of its section `compress` instead of the model itself, of the version with its
        alias `champion-<variant>` if there is one.

        Raises RecipeError for the recipe, GristmillError without a champion or variant, TransientError if a server is
        down.
        """
        settings = read_section(recipe, "register", RegisterSettings)
        name = model_name(recipe, settings)
        with lost_is_transient():
            client = connect()
            model = read_registered(client, name)
            version = None if model is None else model.holder(CHAMPION)
            if variant is not None and model is not None:
                version = model.holder(alias_of(variant)) or version
            if model is None or not model.versions:
                raise GristmillError(f"{name} has no champion yet; run `gristmill run {recipe}`")
            if version is None:
                there = ", ".join(map(str, sorted(model.versions)))
                raise GristmillError(f"{name} has no champion; make one: gristmill promote {recipe} N (N: {there})")
            for warning in warn_of_champion(model, recipe):
                print(f"warning: {warning}", file=sys.stderr)
            self._uri = f"models:/{name}/{version.version}"
            folder = local_folder(client.get_model_version_download_uri(name, version.version))
            if folder is not None and "%" in str(folder):  # MLflow would read `%41` in a path as `A`
                self._link = TemporaryDirectory()
                link = Path(self._link.name, "model")
                link.symlink_to(folder.parent)
                self._uri = str(link / folder.name)
            self.named = f"version {version.version} of {name}"
            self._way_out = f"; `gristmill run {recipe}` stores the model again" if IDENTITY in version.tags else ""
        with self._loading():
            from mlflow.models import Model

            record = Model.load(self._uri)
            schema = record.get_params_schema()
        if variant is not None:
            known = [name for name in record.flavors["python_function"].get("artifacts", {}) if name != MODEL]
            if variant not in known:
                told = f"(available: {', '.join(known) or 'none'}){nearest(variant, known)}"
                raise GristmillError(f"{self.named} has no variant {variant!r} {told}")
        self._variant = variant
        self.types = {spec.name: TYPES[spec.dtype.name] for spec in (schema.params if schema else ())}
        self._defaults = {spec.name: spec.default for spec in (schema.params if schema else ())}

    def read_parameters(self, given: Sequence[str]) -> dict[str, Any]:
        """Parse `name=value` into the model's types. Raises GristmillError for an unknown name or a bad value."""
        return dict(self._read_parameter(text) for text in given)

    @property
    def chats(self) -> bool:
        """Whether the model answers conversations."""
        return hasattr(self._inside(), "talk")

    def predict(self, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
        """A prediction for each text, or for a chat model each conversation (`{"messages": […]}`).

        Raises GristmillError for a parameter or input that the model rejects.
        """
        if not inputs:
            return []  # MLflow finds no column in an empty list
        with _as_sentence():
            return list(self._model.predict(list(inputs), params=dict(parameters)))

    def talk(self, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]) -> Generator[str]:
        """The answer of a chat model to a conversation, piece by piece; closing the iterator stops it.

        Raises GristmillError, while it is iterated, too, for what the model rejects.
        """
        inside = self._inside()
        with _as_sentence(), closing(inside.talk(list(messages), {**self._defaults, **parameters})) as pieces:
            yield from pieces

    def check(self, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> dict[int, str]:
        """Index of each input that the model cannot process → the reason. Raises GristmillError for a parameter that a
        chat model rejects."""
        check = getattr(self._inside(), "check", None)
        with _as_sentence():
            return {} if check is None else check(inputs, parameters) if self.chats else check(inputs)

    def count_cut(self, inputs: Sequence[Any], parameters: Mapping[str, Any]) -> int:
        """How many inputs exceed the model's maximum length; 0 for a foreign model, which does not say."""
        count = getattr(self._inside(), "count_cut", None)
        return 0 if count is None else count(inputs, parameters) if self.chats else count(inputs)

    def _read_parameter(self, given: str) -> tuple[str, Any]:
        name, equals, text = given.partition("=")
        if name not in self.types or not equals:
            known = ", ".join(self.types) or "none"
            raise GristmillError(
                f"--param {given}: expected NAME=VALUE with a parameter of this model (available: {known})"
            )
        kind = self.types[name]
        try:
            value = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, ValueError) as error:
            wanted = {bool: "true or false", int: "an integer", float: "a number"}[kind]
            raise GristmillError(f"--param {given}: {name} must be {wanted}") from error
        if kind is int and not -LONG <= value <= LONG:
            raise GristmillError(f"--param {given}: {name} must be an integer from {-LONG} to {LONG}")
        return name, value

    @cached_property
    def _model(self) -> "PyFuncModel":
        import mlflow.pyfunc

        find_device()  # the model asks for it, too, but not in our words
        with self._loading(), _chosen(self._variant):
            return mlflow.pyfunc.load_model(self._uri)

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Name the version in whatever its store or its code raises: it may be somebody else's, anywhere."""
        try:
            with lost_is_transient():
                yield
        except TransientError:
            raise
        except Exception as error:
            cause = error.__cause__ if isinstance(error, GristmillError) else error
            if cause is not error and isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
                raise  # a read-only folder, a missing permission: the model is not at fault
            reason = redact(one_line(cause or error))[:300] or type(error).__name__
            raise GristmillError(f"{self.named} cannot be loaded ({reason}){self._way_out}") from error

    def _inside(self) -> Any:
        """The model's Python code, ours or a foreign one's; None without Python code."""
        from mlflow.exceptions import MlflowException

        try:
            return self._model.unwrap_python_model()
        except MlflowException:  # not a Python model: has `predict` only
            return None


@contextmanager
def _chosen(variant: str | None) -> Iterator[None]:
    """Let the code of the model, which reads GRISTMILL_VARIANT, load a variant."""
    before = os.environ.get(VARIANT)
    try:
        if variant is not None:
            os.environ[VARIANT] = variant
        yield
    finally:
        if variant is not None:
            os.environ.pop(VARIANT)
            os.environ |= {} if before is None else {VARIANT: before}


@contextmanager
def _as_sentence() -> Iterator[None]:
    """Raise GristmillError for what the model rejects."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise GristmillError(error.message) from error


def generate(recipe: str, prompt: str, variant: str | None = None, **parameters: float) -> str:
    """The prompt and its continuation by the champion; parameters default to the recipe's `evaluate.generation`.

    Raises GristmillError for a recipe of another task or without a champion.
    """
    if (task := read_task(recipe)) != "causal-lm":
        word = "chat" if task in CHATS else "predict"
        raise GristmillError(
            f"{recipe_path(recipe)}: task: {task} models do not continue text; use `gristmill {word} {recipe}`"
        )
    return str(Champion(recipe, variant).predict([prompt], parameters)[0])
