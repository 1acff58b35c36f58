"""Schedules a recipe: a deployment `gristmill/<recipe>` of the flow on the configured Prefect server.

A worker (`prefect worker start --pool gristmill`) starts the runs in the folder from which the recipe was scheduled, so
each workspace needs its own pool.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.schedules import Cron, Schedule
from prefect.settings import PREFECT_API_URL

from flows.api import reachable_api
from tasks.stage.errors import GristmillError

POOL = "gristmill"
ENTRYPOINT = "flows/pipeline.py:gristmill"


def unschedule(recipe: str) -> str:
    """Delete the deployment of a recipe; returns a sentence. Raises like `schedule`, and for a recipe without one."""
    with _deployment(recipe) as (client, found):
        client.delete_deployment(found)
    return f"gristmill/{recipe}: no longer scheduled"


def pause(recipe: str, resume: bool = False) -> str:
    """Stop the schedule of a recipe for a while, or resume it; returns a sentence. Raises what `unschedule` raises."""
    with _deployment(recipe) as (client, found):
        client.update_deployment(found, DeploymentUpdate(paused=not resume))
    return f"gristmill/{recipe}: " + (
        "runs again as scheduled" if resume else f"paused; gristmill pause {recipe} --resume"
    )


@contextmanager
def _deployment(recipe: str) -> Iterator[tuple[SyncPrefectClient, UUID]]:
    """A client, and the id of the deployment of a recipe."""
    _require_server()
    with reachable_api(), get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(f"gristmill/{recipe}").id
        except ObjectNotFound as error:
            raise GristmillError(f"gristmill/{recipe}: not scheduled on this Prefect server") from error
        yield client, found


def _require_server() -> None:
    if not PREFECT_API_URL.value():
        raise GristmillError(
            "PREFECT_API_URL: not set, but a schedule needs a server; run `python -m flows.server` and "
            "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )


def schedule(recipe: str, cron: str, timezone: str = "UTC", pool: str = POOL) -> str:
    """Create or update the deployment of a recipe; returns a sentence that says how to start a worker.

    Raises GristmillError if no server is configured or the schedule is invalid, TransientError if the server is down.
    """
    _require_server()
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
