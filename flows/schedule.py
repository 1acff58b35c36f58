"""A recipe on a schedule: a deployment `gristmill/<recipe>` of the flow on the configured Prefect server.

Runs are started by a worker in the project's folder: prefect worker start --pool gristmill
"""

from pathlib import Path

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.schedules import Cron, Schedule
from prefect.settings import PREFECT_API_URL

from flows.api import reachable_api
from tasks.contract.errors import GristmillError

POOL = "gristmill"
ENTRYPOINT = "flows/pipeline.py:gristmill"


def schedule(recipe: str, cron: str, timezone: str = "UTC") -> str:
    """Create or change the deployment of a recipe; returns what was done and how to start a worker.

    Raises GristmillError where no server is configured, it is away, or the schedule is none.
    """
    if PREFECT_API_URL.value() is None:
        raise GristmillError(
            "PREFECT_API_URL: not set, and a schedule needs a server; run `prefect server start` and "
            "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )
    try:
        when = Cron(cron, timezone=timezone)
    except ValueError as error:
        raise GristmillError(f"--cron {cron!r}, --timezone {timezone!r}: no such schedule") from error
    with reachable_api():
        _ensure_pool()
        _deploy(recipe, when)
    return (
        f"gristmill/{recipe}: scheduled at {cron!r} ({timezone}); runs start where a worker is: "
        f"prefect worker start --pool {POOL}"
    )


def _ensure_pool() -> None:
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            return


def _deploy(recipe: str, when: Schedule) -> None:
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
        work_pool_name=POOL,
    )
    assert isinstance(deployment, RunnerDeployment)
    deployment.apply()
