"""A recipe on a schedule: a deployment `gristmill/<recipe>` of the flow on the configured Prefect server.

Runs are started by a worker, prefect worker start --pool gristmill, in the folder from which the recipe was scheduled;
so each workspace needs a pool of its own.
"""

from pathlib import Path

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
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
    """Create or change the deployment of a recipe; returns what was done and how to start a worker.

    Raises GristmillError where no server is configured, it is away, or the schedule is none.
    """
    if not PREFECT_API_URL.value():
        raise GristmillError(
            "PREFECT_API_URL: not set, and a schedule needs a server; run `prefect server start` and "
            "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )
    try:
        CronSchedule(cron=cron, timezone=timezone or "none")  # this one looks whether there is such a zone
        when = Cron(cron, timezone=timezone)
    except ValueError as error:
        raise GristmillError(f"--cron {cron!r}, --timezone {timezone!r}: no such schedule") from error
    with reachable_api():
        _ensure_pool(pool)
        _deploy(recipe, when, pool)
    return (
        f"gristmill/{recipe}: scheduled at {cron!r} ({timezone}), in this folder; it needs a worker on this machine: "
        f"prefect worker start --pool {pool}"
    )


def _ensure_pool(pool: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        except ObjectAlreadyExists:
            return


def _deploy(recipe: str, when: Schedule, pool: str) -> None:
    # A run that falls due while another one is at work is left out: the next one sees what is new by then.
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    flow = Flow.from_source(source=Path.cwd(), entrypoint=ENTRYPOINT)
    assert isinstance(flow, Flow)
    deployment = flow.to_deployment(
        name=recipe,
        schedule=when,
        parameters={"recipe": recipe},
        tags=[recipe],
        concurrency_limit=limit,
        work_pool_name=pool,
    )
    assert isinstance(deployment, RunnerDeployment)
    deployment.apply()
