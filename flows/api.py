"""Prefect's API for a run: the configured server, or a temporary one over Prefect's default database."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import httpx
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_UI_URL,
    get_current_settings,
    temporary_settings,
)

from flows.temporary import STARTUP, TemporaryServer, temporary_server
from tasks.stage.errors import GristmillError, TransientError


@contextmanager
def reachable_api(starting: TemporaryServer | None = None) -> Iterator[None]:
    """Run flows in this block against the configured server, or else a temporary one (`starting`, or a new one).

    Raises TransientError if the server is unreachable, GristmillError if it refuses or its URL is invalid.
    """
    if configured := PREFECT_API_URL.value():
        _require(configured)
        yield
        return
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    with nullcontext(starting) if starting else temporary_server(**settings) as server:
        server.wait(max(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), STARTUP))
        # The temporary server has no UI to link to.
        with temporary_settings({PREFECT_API_URL: server.url, PREFECT_UI_URL: ""}):
            yield
            EventsWorker.drain_all()  # task states are sent as events
            APILogHandler().flush()


def _require(url: str) -> None:
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
        with get_client(sync_client=True) as client:  # unlike /health, needs the password
            client.hello()
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise GristmillError(f"PREFECT_API_URL: {url} is not a valid URL: {error}") from error
    except httpx.HTTPStatusError as error:
        raise GristmillError(f"PREFECT_API_URL: {url} answers with HTTP {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise TransientError(f"PREFECT_API_URL: no Prefect server answers at {url}: {error}") from error
