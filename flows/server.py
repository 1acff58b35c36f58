"""`python -m flows.server`: Prefect's server for this project; also the one of `make ui` and the temporary one.

A browser lets any web page send requests to this machine. This server answers only requests that name it as their Host
(a page may give its own name our address) and that come from its own page if they come from a page, WebSockets
included; and Prefect wants a token for every change (CSRF protection). It keeps its runs in `.prefect` of this project.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.runtime import LOOPBACK, switch_off_telemetry

RETRY_AFTER = b"0.5"
"""Seconds until a client retries after a busy database; by default it waits for 2 s or more."""


def main() -> None:
    """Serve until SIGINT or SIGTERM; a start that fails ends with a sentence, and 75 if it may pass, else 2."""
    parser = argparse.ArgumentParser(prog="python -m flows.server", description="Prefect's server for this project")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=4200, help="default: %(default)s")
    parser.add_argument("--allowed-hosts", default="", help="comma-separated names by which clients call this server")
    given = parser.parse_args()
    names = [*LOOPBACK, given.host, *filter(None, given.allowed_hosts.lower().split(","))]
    switch_off_telemetry()
    for name, value in {**own_home(), **_guarded(names, given.port)}.items():
        os.environ.setdefault(name, value)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{given.port}/api"  # where its own page finds it
    import uvicorn

    failed: list[str] = []
    try:
        gc.disable()  # nothing that is imported is garbage: a quarter of the time to start
        app = create_app(names, failed.append)
        gc.freeze()
        gc.enable()
        uvicorn.run(app, host=given.host, port=given.port, log_level="error")
    except SystemExit:
        if not failed:  # uvicorn has said why
            raise
    if failed:
        error = _explain(failed[0])
        print(error, file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def own_home() -> dict[str, str]:
    """The environment in which Prefect keeps runs in this project, unless PREFECT_HOME names a place; profiles stay."""
    if os.environ.get("PREFECT_HOME"):
        return {}
    profiles = Path.home() / ".prefect" / "profiles.toml"
    return {"PREFECT_HOME": str(Path(".prefect").absolute()), "PREFECT_PROFILES_PATH": str(profiles)}


def _guarded(names: list[str], port: int) -> dict[str, str]:
    hosts = [f"[{name}]" if ":" in name else name for name in dict.fromkeys(names)]
    return {
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}:{port}" for host in hosts),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT__SERVER_FINAL": "1",
    }


def create_app(names: list[str], fail: Callable[[str], None]) -> Any:
    """Prefect's API and pages as an ASGI application that answers under these host names only.

    `fail` hears the traceback of a start that failed.

    SQLite refuses a write in a transaction that has read since-changed rows. Prefect then answers 503, several times in
    a run; the client waits as long as Retry-After says.
    """
    from prefect.server.api.server import create_app as create

    inner = create()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def amend(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                message = {**message, "headers": [*message.get("headers", ()), (b"retry-after", RETRY_AFTER)]}
            elif message["type"] == "lifespan.startup.failed":
                fail(message["message"])
                message = {**message, "message": ""}
            await send(message)

        if scope["type"] == "lifespan" or (refusal := _refusal(scope["headers"], names)) is None:
            await inner(scope, receive, amend)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": refusal.encode()})

    return application


def _refusal(headers: list[tuple[bytes, bytes]], names: list[str]) -> str | None:
    """Why a request is refused: it names another host, or another page sent it; None if it is not."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    here = [_place(f"http://{host}") for host in hosts]
    if len(here) != 1 or here[0] is None or here[0][0] not in names:
        return f"this server has another name than {', '.join(hosts) or 'none'}; start it with --allowed-hosts\n"
    for origin in origins:
        there = _place(origin)
        if there is None or there[0] not in names or there[1] != here[0][1]:
            return f"this server takes no requests from pages of {origin}\n"
    return None


def _place(url: str) -> tuple[str, int | None] | None:
    """Host name and port (None: the scheme's own); None if it is not a URL."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "", parts.port)
    except ValueError:
        return None


def _explain(traceback: str) -> GristmillError:
    from prefect import __version__
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
    from sqlalchemy import make_url

    url = make_url(str(PREFECT_API_DATABASE_CONNECTION_URL.value()))
    place = url.database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    if "Can't locate revision" in traceback:
        way = f"was written by a newer Prefect than {__version__}; move it away (past runs are then no longer listed)"
    elif any(sign in traceback for sign in ("unable to open database file", "readonly database", "PermissionError")):
        way = "cannot be written; set PREFECT_HOME to a folder that can"
    elif any(sign in traceback for sign in ("file is not a database", "disk image is malformed")):
        way = "is damaged; move it away (past runs are then no longer listed)"
    else:
        way = f"Prefect's server does not start with it: {traceback.strip().splitlines()[-1]}"
        if "ConnectionRefusedError" in traceback or "TimeoutError" in traceback:
            return TransientError(f"{place}: {way}")
    return GristmillError(f"{place}: {way}")


if __name__ == "__main__":
    main()
