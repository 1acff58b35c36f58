"""Prefect's API for a run: the configured server, or a temporary one with the runs of this project."""

import asyncio
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import UUID

import httpx
from prefect._internal.concurrency.threads import get_global_loop
from prefect._internal.urls import strip_auth_from_url
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_UI_URL,
    get_current_settings,
    temporary_settings,
)
from prefect.states import Crashed

from flows.launch import THEIRS
from flows.stop import last_stop
from flows.temporary import STARTUP, TemporaryServer, temporary_server
from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.runtime import LOOPBACK

RETRIES = 2
"""Of a request, after 2 and 4 s, unless the user has set PREFECT_CLIENT_MAX_RETRIES."""

PASSWORD = "; set PREFECT_API_AUTH_STRING (user:password), PREFECT_API_KEY or PREFECT_CLIENT_CUSTOM_HEADERS"
WAYS_OUT = {401: PASSWORD, 403: PASSWORD, 404: "; Prefect's API usually ends with /api"}
"""By the status with which a server refuses."""

PATIENCE = 10.0
"""Seconds for the last logs and events to reach the server."""


class ServerLost(TransientError):
    """The server does not answer any more; another try in this run is of no use."""


@contextmanager
def reachable_api(starting: TemporaryServer | None = None) -> Iterator[None]:
    """Run flows in this block against the configured server, or else a temporary one (`starting`, or a new one).

    Raises TransientError if the server is unreachable or lost, GristmillError if it refuses or its URL is invalid.
    """
    settings = get_current_settings()
    changes: dict[Any, Any] = {}
    if "max_retries" not in settings.client.model_fields_set:
        changes[PREFECT_CLIENT_MAX_RETRIES] = RETRIES
    if configured := PREFECT_API_URL.value():
        with temporary_settings(changes), _direct(configured):
            _require(configured)
            with _sends_the_rest(), told_if_lost():
                yield
        return
    variables = settings.to_environment_variables(exclude_unset=True)
    with nullcontext(starting) if starting else temporary_server(**variables) as server:
        server.wait(max(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value(), STARTUP))
        # The temporary server has no UI to link to.
        changes |= {PREFECT_API_URL: server.url, PREFECT_UI_URL: ""}
        with temporary_settings(changes), _direct(server.url), _sends_the_rest(), told_if_lost():
            yield


@contextmanager
def _direct(url: str) -> Iterator[None]:
    """Speak to a server on this machine although httpx cannot use the proxy of the environment, such as SOCKS.

    Programs launched in the block see the environment of before. Raises GristmillError for a server elsewhere.
    """
    try:
        httpx.Client(verify=False).close()
    except (ImportError, ValueError) as error:
        if httpx.URL(url).host not in LOOPBACK:
            raise GristmillError(
                f"the proxy in {', '.join(_proxies())} cannot be used for PREFECT_API_URL: {_reason(error)}"
            ) from error
    else:
        yield
        return
    ours = {name: os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")}
    os.environ.update(dict.fromkeys(ours, "*"))
    THEIRS.update(ours)
    try:
        yield
    finally:
        os.environ.update(ours)
        THEIRS.clear()


def _proxies() -> list[str]:
    return sorted(name for name, value in os.environ.items() if name.lower().endswith("_proxy") and "://" in value)


@contextmanager
def told_if_lost() -> Iterator[None]:
    """Raises ServerLost if the server no longer answers in the block, and lets no later request wait for it.

    Whoever has stopped the command hears that instead: Stopped.
    """
    try:
        yield
    except (httpx.TransportError, httpx.HTTPStatusError) as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code not in (502, 503, 504):
            raise
        get_current_settings().client.max_retries = 0
        url = strip_auth_from_url(PREFECT_API_URL.value() or "")
        raise last_stop() or ServerLost(
            f"the Prefect server at {url} no longer answers ({_reason(error)}); "
            "finished stages are kept: run again when it is back"
        ) from error


def end_killed(flow_runs: set[str]) -> list[str]:
    """Mark these flow runs, whose processes are gone, and their tasks as crashed where they seem to run.

    Returns the flow runs that did.
    """
    ended = []
    with get_client(sync_client=True) as client:
        for flow_run in sorted(flow_runs):
            chosen = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run)]))
            for found in client.read_flow_runs(flow_run_filter=chosen):  # none if another server knows it
                if found.state is None or not found.state.is_final():
                    state: State[Any] = Crashed(
                        message="killed, or its server was lost; the next run of its recipe found out"
                    )
                    for task in client.read_task_runs(flow_run_filter=chosen):
                        if task.state is None or not task.state.is_final():
                            client.set_task_run_state(task.id, state, force=True)
                    client.set_flow_run_state(found.id, state, force=True)
                    ended.append(flow_run)
    return ended


@contextmanager
def _sends_the_rest() -> Iterator[None]:
    """However the block ends, send what Prefect's workers hold while the server is there, and never wait for long."""
    patience = PATIENCE
    logging.raiseExceptions = False  # else each batch of lost lines is told on stderr
    logging.getLogger("prefect.flow_runs").addFilter(_is_no_lost_request)
    try:
        yield
    except BaseException as error:
        if isinstance(error.__cause__, httpx.HTTPError):  # lost
            patience = 0
        raise
    finally:
        # The events first: task states are sent as events. `at_exit` would wait for both without an end.
        left = [worker.drain_all(timeout=patience)[1] for worker in (EventsWorker, APILogWorker)]  # type: ignore[index]
        if any(left):
            _abandon()


def _is_no_lost_request(record: logging.LogRecord) -> bool:
    """False for the tracebacks that Prefect logs when it cannot report a state: `told_if_lost` tells it."""
    return not (record.exc_info and isinstance(record.exc_info[1], httpx.TransportError))


def _abandon() -> None:
    """End Prefect's workers with what they hold: the interpreter would wait for them without an end."""
    logging.getLogger("prefect._internal.concurrency").disabled = True
    loop = get_global_loop()._loop
    assert loop is not None
    for task in asyncio.all_tasks(loop):
        if "QueueService" in getattr(task.get_coro(), "__qualname__", ""):
            loop.call_soon_threadsafe(task.cancel)


def _require(url: str) -> None:
    url = strip_auth_from_url(url)
    where = f"PREFECT_API_URL: {url}"
    try:
        with get_client(sync_client=True) as client:
            hello = client.hello()  # unlike /health, needs the password
            if hello.history:  # a redirected POST becomes a GET
                raise GristmillError(f"{where} redirects to {str(hello.url).removesuffix('/hello')}; set it to that")
            client.api_version()
            client.raise_for_api_version_mismatch()
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise GristmillError(f"{where} is not a valid URL: {error}") from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        passing = status == 429 or status >= 500
        way = WAYS_OUT.get(status, "")
        raise (TransientError if passing else GristmillError)(f"{where} answers with HTTP {status}{way}") from error
    except httpx.HTTPError as error:
        if isinstance(error.__context__, ssl.SSLError) or "CERTIFICATE" in str(error):
            raise GristmillError(
                f"{where}: its certificate is not trusted ({_reason(error)}); set PREFECT_API_SSL_CERT_FILE"
            ) from error
        if "WRONG_VERSION_NUMBER" in str(error):
            raise GristmillError(f"{where} does not speak https; set it to http://…") from error
        raise TransientError(f"PREFECT_API_URL: no Prefect server answers at {url}: {_reason(error)}") from error
    except RuntimeError as error:
        raise GristmillError(f"{where}: {error}") from error
    except OSError as error:  # ssl.SSLError is one
        ours, general = PREFECT_API_SSL_CERT_FILE.value(), os.environ.get("SSL_CERT_FILE")
        named = f"PREFECT_API_SSL_CERT_FILE: {ours}" if ours else f"SSL_CERT_FILE: {general}"
        raise GristmillError(f"{named}: not a file of certificates ({_reason(error)})") from error
    except ValueError as error:
        raise GristmillError(f"{where} is not Prefect's API, which usually ends with /api") from error


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
