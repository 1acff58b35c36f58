"""`gristmill history`: the events of a recipe's registered model, and who was champion at a time."""

from dataclasses import dataclass
from datetime import datetime

from tasks.register.aliases import reconcile
from tasks.register.ledger import Event, Ledger, read_ledger
from tasks.register.promotion import CHAMPION
from tasks.register.registered import read_registered
from tasks.register.registry import model_name
from tasks.register.seen import keep, read_seen
from tasks.register.settings import RegisterSettings
from tasks.stage.errors import GristmillError
from tasks.stage.settings import read_section
from tasks.tracking.client import connect, lost_is_transient


@dataclass(frozen=True)
class History:
    """The events of a registered model, the oldest first; its champion now; what is wrong with the ledger."""

    model: str
    ledger: Ledger
    champion: int | None
    faults: tuple[str, ...]
    """One sentence each: those of now, then those that events tell of earlier."""

    def at(self, time: datetime) -> Event:
        """The event that made the champion of that time, or took it away. Raises GristmillError for an earlier time."""
        if (found := self.ledger.at(time)) is not None:
            return found
        first = next((event for event in self.ledger.events if event.moves), None)
        began = f"it begins with {first.time}" if first is not None else "it has had no champion yet"
        raise GristmillError(f"the ledger of {self.model} does not tell who was champion then; {began}")


def history(recipe: str) -> History:
    """The ledger of a recipe's registered model; what a hand did in MLflow's pages is written down first.

    A model without a ledger has no events: a ledger begins with the next registration, promotion or rollback.
    Raises GristmillError if nothing is registered, TransientError if a tracking server is unreachable.
    """
    name = model_name(recipe, read_section(recipe, "register", RegisterSettings))
    with lost_is_transient():
        client = connect()
        model = read_registered(client, name, read_seen(recipe, name))
        if model is None:
            raise GristmillError(f"{name} is not registered yet; run: gristmill run {recipe}")
        found = read_ledger(model)
        faults = [*found.faults]
        if found.events:
            reconcile(client, model)
            found = read_ledger(model)
            keep(recipe, model)
    for event in found.events:
        faults += [f"noted on {event.time[:10]}: {fault}" for fault in event.faults if fault not in faults]
    return History(name, found, model.aliases.get(CHAMPION), tuple(faults))
