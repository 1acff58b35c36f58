"""Prefect's API for a run: the configured server, or else a temporary one over the same database, as Prefect's own."""

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
    """Run flows in this block against the configured server, or a temporary one: `starting`, or one of its own.

    Raises TransientError for one that is away, GristmillError for one that refuses, or an address that is none.
    """
    if configured := PREFECT_API_URL.value():
        _require(configured)
        yield
        return
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    with nullcontext(starting) if starting else temporary_server(**settings) as server:
        server.wait(max(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), STARTUP))
        # It has no pages, so there are no links to them.
        with temporary_settings({PREFECT_API_URL: server.url, PREFECT_UI_URL: ""}):
            yield
            EventsWorker.drain_all()  # the states of tasks travel as events
            APILogHandler().flush()


def _require(url: str) -> None:
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
        with get_client(sync_client=True) as client:  # the health of a server needs no password
            client.hello()
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise GristmillError(f"PREFECT_API_URL: {url} is no address of a server: {error}") from error
    except httpx.HTTPStatusError as error:
        raise GristmillError(f"PREFECT_API_URL: {url} answers {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise TransientError(f"PREFECT_API_URL: no Prefect server answers at {url}: {error}") from error
