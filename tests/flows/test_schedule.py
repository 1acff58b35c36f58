"""A schedule on a real server, and the errors if it cannot be created."""

import pytest

from tasks.stage.errors import GristmillError, TransientError
from tests.scratch import ROOT


def test_a_recipe_has_one_deployment_with_its_last_schedule(prefect_api, monkeypatch) -> None:
    from prefect.client.orchestration import get_client

    from flows.schedule import pause, schedule, unschedule

    monkeypatch.chdir(ROOT)
    assert "worker start --pool mill" in schedule("toy", "0 2 * * *", pool="mill")
    schedule("toy", "0 3 * * *", "Europe/Berlin", pool="mill")
    with get_client(sync_client=True) as client:
        found = client.read_deployments()
    (mine,) = (deployment for deployment in found if deployment.name == "toy")
    assert [(one.schedule.cron, one.schedule.timezone) for one in mine.schedules] == [("0 3 * * *", "Europe/Berlin")]
    assert (mine.parameters, mine.work_pool_name) == ({"recipe": "toy"}, "mill")
    assert mine.global_concurrency_limit.limit == 1
    assert pause("toy") == "gristmill/toy: paused; gristmill pause toy --resume"
    with get_client(sync_client=True) as client:
        assert client.read_deployment(mine.id).paused
        assert pause("toy", resume=True).endswith("runs again as scheduled")
        assert not client.read_deployment(mine.id).paused
    assert unschedule("toy") == "gristmill/toy: no longer scheduled"
    for work in (unschedule, pause):
        with pytest.raises(GristmillError, match="gristmill/toy: not scheduled on this Prefect server"):
            work("toy")


@pytest.mark.parametrize(("cron", "timezone"), [("at noon", "UTC"), ("0 2 * * *", "Mars"), ("0 2 * * *", "")])
def test_what_is_no_schedule_is_told(prefect_api, cron: str, timezone: str) -> None:
    from flows.schedule import schedule

    with pytest.raises(GristmillError, match=f"--cron '.*', --timezone '{timezone}': not a valid schedule"):
        schedule("toy", cron, timezone)


@pytest.mark.parametrize(
    ("url", "error", "sentence"),
    [
        ("", GristmillError, "PREFECT_API_URL: not set"),
        ("http://host:port/api", GristmillError, "is not a valid URL"),
        ("nowhere", GristmillError, "is not a valid URL"),
        ("http://127.0.0.1:9/api", TransientError, "no Prefect server answers"),
    ],
)
def test_a_server_that_is_none_is_told(url: str, error: type[GristmillError], sentence: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.schedule import schedule

    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(error, match=sentence) as told:
        schedule("toy", "0 2 * * *")
    assert type(told.value) is error
