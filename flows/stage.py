"""A DVC stage as a Prefect task: DVC decides whether it runs, and its output goes to Prefect's log.

Only transient failures are retried: exit code 75 of a stage (network, server) and a DVC lock.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.tasks import exponential_backoff
from prefect.utilities.urls import url_for

from flows.api import ServerLost, told_if_lost
from flows.graph import Node
from flows.runner import reproduce
from flows.summary import Row
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError
from tasks.stage.runtime import retries

BACKOFF = 2.0
"""Seconds before the first retry; the delay doubles with each, plus or minus up to half."""


def as_task(work: Callable[..., State], address: str) -> Task[..., Any]:
    """A function as the Prefect task `stage@recipe`, without Prefect's caching, that retries transient failures."""
    name, _, recipe = address.partition("@")
    return Task(
        work,
        name=name,
        task_run_name=address,
        tags=[*filter(None, [recipe]), name],
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=retries(),
        retry_delay_seconds=exponential_backoff(BACKOFF),
        retry_jitter_factor=0.5,
        retry_condition_fn=_may_pass,
    )


def ask_dvc(node: Node, unchanged: bool, place: str) -> State:
    """Let DVC run a stage if it is stale; `unchanged` means that DVC has already found nothing to do, `place` is
    `stage 3 of 8`.

    The state's data is a Row, or a GristmillError if the stage failed; its last good outputs are then restored.
    """
    logger = get_run_logger()
    if unchanged:
        return Completed(name="Cached", message="unchanged", data=Row(node.address, "unchanged", 0.0))
    try:
        row = reproduce(node, logger.info, place_of_run(), place)
        if row.happened != "unchanged":
            with told_if_lost():
                _publish_report(node)
    except GristmillError as error:
        return Failed(message=str(error), data=error)
    except KeyboardInterrupt as stop:
        return Cancelled(message=str(stop), data=stop)
    if row.happened == "unchanged":
        return Completed(name="Cached", message="unchanged", data=row)
    if row.happened == "restored":
        return Completed(name="Restored", message="outputs restored from DVC's cache", data=row)
    return Completed(data=row)


def place_of_run() -> str:
    """The URL of the current flow run, or its id without a configured server."""
    return url_for("flow-run", flow_run.id) or str(flow_run.id)


def _may_pass(_task: Any, _task_run: TaskRun, state: State) -> bool:
    error = state.data
    if isinstance(error, ServerLost):
        return False
    return isinstance(error, GristmillError) and error.exit_code == EXIT_TRANSIENT


def _publish_report(node: Node) -> None:
    """The stage's report.json as a table in Prefect."""
    places = [Path(out) if Path(out).name == "report.json" else Path(out, "report.json") for out in node.outs]
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        return
    report = json.loads(place.read_text(encoding="utf-8"))
    rows = [
        {"what": what, "item": item, "count": count, "examples": ""}
        for what in ("received", "produced")
        for item, count in report.get(what, {}).items()
    ]
    rows += [
        {"what": "dropped", "item": drop["reason"], "count": drop["documents"], "examples": "; ".join(drop["examples"])}
        for drop in report.get("dropped", [])
    ]
    key = re.sub(r"[^a-z0-9]+", "-", f"{node.recipe}-{node.stage}-report".lower())
    create_table_artifact(rows, key=key, description=f"What `{node.address}` received, produced and dropped")
