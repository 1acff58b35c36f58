"""`gristmill rollback`: an earlier champion reigns again, at once and without training."""

from typing import TYPE_CHECKING

from tasks.register import aliases
from tasks.register.aliases import REPLACED
from tasks.register.champion import require_version, warned
from tasks.register.ledger import ROLLED_BACK, Ledger, read_ledger
from tasks.register.package import FILES, is_whole
from tasks.register.promotion import CHAMPION
from tasks.register.registered import Registered, read_registered
from tasks.register.registry import model_name
from tasks.register.seen import keep, read_seen
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import GristmillError, TransientError, one_line
from tasks.stage.settings import read_section
from tasks.tracking.client import connect, lost_is_transient, patience

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def rollback(recipe: str, number: int | None, reason: str) -> str:
    """Make `number`, or the champion before, champion; returns a sentence that says what changed, and warnings.

    A rollback that was cut off is finished; then nothing else is done, unless `number` is another version.
    Raises RecipeError for a broken recipe; GristmillError if there is no such version or no former champion, or if its
    files are gone or damaged; TransientError, which says how to finish, if a tracking server is unreachable.
    """
    name = model_name(recipe, read_section(recipe, "register", RegisterSettings))
    chosen = number
    try:
        with patience(retries=3, seconds=30), lost_is_transient():
            client = connect()
            model = read_registered(client, name, read_seen(recipe, name))
            if model is None:
                raise GristmillError(f"{name} is not registered yet; run: gristmill run {recipe}")
            if number is not None:
                require_version(model, name, number)
            finished = aliases.adopt(client, model)
            old = model.aliases.get(CHAMPION)
            resumed = finished is not None and finished.event == ROLLED_BACK and number in (None, finished.after)
            chosen = old if resumed else number or _former(model, read_ledger(model), recipe)
            assert chosen is not None
            if chosen != old:
                _require_files(client, model.versions[chosen], recipe)
                aliases.promote(client, model, chosen, ROLLED_BACK, reason)
            keep(recipe, model)
    except TransientError as error:
        again = f"gristmill rollback {recipe}{f' --to {chosen}' if chosen else ''} --reason …"
        raise TransientError(f"{error}; nothing is lost: run `{again}` again when MLflow is reachable") from error
    if resumed:
        told = f"finished a rollback that was cut off: version {chosen} of {name} is champion again"
    elif chosen == old:
        told = f"version {chosen} of {name} is already champion"
    else:
        before = f"version {old} was before" if old else "there was none before"
        told = f"version {chosen} of {name} is champion again; {before}"
    return warned(recipe, told)


def _former(model: Registered, ledger: Ledger, recipe: str) -> int:
    """The last champion before the present one that is still there and was not itself rolled back from.

    Raises GristmillError if there is none.
    """
    reigned, rejected = ledger.reigns()
    now = model.aliases.get(CHAMPION)
    for number in reversed(reigned):
        version = model.versions.get(number)
        if number != now and number not in rejected and version is not None and REPLACED not in version.tags:
            return number
    others = ", ".join(str(number) for number in sorted(model.versions) if number != now)
    present = f"version {now} is champion" if now else "there is no champion"
    way = f"; name a version: gristmill rollback {recipe} --to N --reason … (N: {others})" if others else ""
    raise GristmillError(f"{model.name} has no former champion to roll back to ({present}){way}")


def _require_files(client: "MlflowClient", version: "ModelVersion", recipe: str) -> None:
    """Raises GristmillError if the files of a version are gone or damaged."""
    from mlflow.artifacts import list_artifacts
    from mlflow.exceptions import MlflowException

    number, kind, _, source = version.version, *(version.source or "").partition("models:/")
    way = f"; `gristmill promote {recipe} {number}` makes it champion without looking at its files"
    try:
        if kind == "" and source.startswith("m-"):
            model = client.get_logged_model(source)
            whole = is_whole(client, model) if FILES in model.tags else bool(list_artifacts(model.artifact_location))
        else:
            whole = bool(list_artifacts(version.source))
    except (MlflowException, OSError, ImportError) as error:
        if isinstance(error, MlflowException) and error.get_http_status_code() >= 500 and kind == "":
            raise
        raise GristmillError(
            f"the files of version {number} of {version.name} cannot be read ({one_line(error)[:200]}){way}"
        ) from error
    if not whole:
        raise GristmillError(f"the files of version {number} of {version.name} are missing or damaged{way}")
