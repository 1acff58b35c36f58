"""`data/<recipe>/ledger.json`: what this workspace saw of the ledger when it last looked.

    {"place": "mlflow.db", "model": "shakespeare", "events": 12, "ends": ["9f…"], "appended": [{…}]}

With `events` and `ends` a workspace notices that the end of a ledger is lost, also where the registered model was
changed to match. `appended` holds the events of the last command or flow run, for those who tell them to Prefect.
"""

import json
import os
from typing import Any

from tasks.register.ledger import read_ledger
from tasks.register.registered import Registered
from tasks.stage.redact import redact
from tasks.stage.run import DATA, write_json
from tasks.stage.runtime import flow_run
from tasks.tracking.embedded import find_uri, is_embedded

NAME = "ledger.json"


def read_seen(recipe: str, name: str) -> dict[str, Any]:
    """What this workspace noted of the ledger of a registered model; empty if it noted nothing, or of another place."""
    try:
        found = json.loads((DATA / recipe / NAME).read_text(encoding="utf-8"))
        known = isinstance(found, dict) and (found.get("place"), found.get("model")) == (_place(), name)
    except (OSError, ValueError):
        return {}
    return found if known and isinstance(found.get("ends"), list) else {}


def keep(recipe: str, model: Registered) -> None:
    """Note the end of the ledger, and the events of this command or flow run."""
    ledger, run = read_ledger(model), flow_run()
    ours = [e for e in ledger.events if e.hash in model.appended or (run is not None and e.person == f"flow run {run}")]
    folder = DATA / recipe
    if not ours and not folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    noted = {"place": _place(), "model": model.name, "events": len(ledger.events), "ends": ledger.ends}
    partial = folder / f".partial-{os.getpid()}-{NAME}"  # two commands at once do not meet
    write_json(partial, {**noted, "appended": [event.to_json() for event in ours]})
    partial.replace(folder / NAME)


def _place() -> str:
    uri = find_uri()
    return "mlflow.db" if is_embedded(uri) else redact(uri)
