"""Schedules a recipe: a deployment `gristmill/<recipe>` of the flow on the configured Prefect server.

A worker (`prefect worker start --pool gristmill`) starts the runs in the folder from which the recipe was scheduled, so
each workspace needs its own pool.
"""

from contextlib import suppress
from pathlib import Path

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.schedules import Cron, Schedule
from prefect.settings import PREFECT_API_URL

from flows.api import reachable_api
from tasks.stage.errors import GristmillError

POOL = "gristmill"
ENTRYPOINT = "flows/pipeline.py:gristmill"


def schedule(recipe: str, cron: str, timezone: str = "UTC", pool: str = POOL) -> str:
    """Create or update the deployment of a recipe; returns a sentence that says how to start a worker.

    Raises GristmillError if no server is configured or the schedule is invalid, TransientError if the server is down.
    """
    if not PREFECT_API_URL.value():
        raise GristmillError(
            "PREFECT_API_URL: not set, but a schedule needs a server; run `python -m flows.server` and "
            "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )
    try:
        CronSchedule(cron=cron, timezone=timezone or "none")  # unlike Cron, checks the time zone
        when = Cron(cron, timezone=timezone)
    except ValueError as error:
        raise GristmillError(f"--cron {cron!r}, --timezone {timezone!r}: not a valid schedule") from error
    with reachable_api():
        with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        _deploy(recipe, when, pool)
    return (
        f"gristmill/{recipe}: scheduled at {cron!r} ({timezone}) in this folder; start a worker on this machine: "
        f"prefect worker start --pool {pool}"
    )


def _deploy(recipe: str, when: Schedule, pool: str) -> None:
    # No concurrency limit: a killed run keeps its slot. A run that is due during another one ends itself (`workspace`).
    flow = Flow.from_source(source=Path.cwd(), entrypoint=ENTRYPOINT)
    assert isinstance(flow, Flow)
    deployment = flow.to_deployment(
        name=recipe,
        schedule=when,
        parameters={"recipe": recipe},
        tags=[recipe],
        work_pool_name=pool,
    )
    assert isinstance(deployment, RunnerDeployment)
    deployment.apply()
