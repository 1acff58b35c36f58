"""What a served model changes in MLflow's server: how it reads a request, and that it tells the model of a lost client.

MLflow has no setting for either. A server of another release that lacks a function named here is left as it is.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from mlflow.exceptions import MlflowException

SERVER = "mlflow.pyfunc.scoring_server"
BODY_BYTES = 8 << 20
"""Maximum size of a request; what is beyond it is received, but not kept."""

GONE: ContextVar[threading.Event | None] = ContextVar("gone", default=None)
"""Set when the client of the request has gone; None outside of a server."""


def invalid(sentence: str) -> MlflowException:
    """An error of the caller, which MLflow's server answers with 400."""
    return MlflowException.invalid_parameter_value(sentence)


def guard(server: Any, reads: Callable[[Any], Any]) -> None:
    """Change the server of a model that is being loaded; MLflow makes its routes after that.

    `reads`: how a request in JSON is handed on.
    """
    _read_strictly(server, reads)
    if hasattr(server, "_async_catch_mlflow_exception"):
        _bound(server)


def _bound(server: Any) -> None:
    """Let the server keep no more than BODY_BYTES of a request, and listen to its client while the model works."""
    from starlette.requests import Request

    catch: Callable[..., Any] = server._async_catch_mlflow_exception

    def bounded(answer: Callable[[Request], Awaitable[Any]]) -> Any:
        @wraps(answer)
        async def guarded(request: Request) -> Any:
            body = await read_body(request)

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            gone = threading.Event()
            GONE.set(gone)
            listening = asyncio.create_task(listen(request, gone))
            try:
                return await answer(Request(request.scope, receive))
            finally:
                listening.cancel()

        return catch(guarded)

    server._async_catch_mlflow_exception = bounded


async def read_body(request: Any) -> bytes:
    """The body of a request. Raises MlflowException for one that is too long, after all of it has come: a client that
    still sends would not hear an answer."""
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        body += part if size <= BODY_BYTES else b""
    if size > BODY_BYTES:
        raise invalid(f"a request of {size:,} bytes, more than the {BODY_BYTES:,} that a server accepts")
    return bytes(body)


async def listen(request: Any, gone: threading.Event) -> None:
    """Set `gone` when the client of a request closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _read_strictly(server: Any, reads: Callable[[Any], Any]) -> None:
    """Let MLflow's server refuse what it cannot read, and hand on what it was sent.

    Alone it answers deep nesting with 500, and makes one numpy array of fixed width of the texts: null becomes the
    text "None", and a long text costs its length for each of the others.
    """
    invocations: Callable[..., Any] = server.invocations

    @wraps(invocations)
    def strict(data: bytes, content_type: str | None, *more: Any) -> Any:
        content_type = content_type or ""
        if not content_type.lower().startswith("application/json"):
            return invocations(data, content_type, *more)
        try:
            content = reads(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise invalid(f"the request is no JSON that can be read: {error}") from None
        return invocations(content if isinstance(content, dict) else data, content_type, *more)

    server.invocations = strict


def as_table(request: Any) -> Any:
    """The `inputs` or `instances` of a request as a table of one column, which keeps each value as it is."""
    name = next((name for name in ("inputs", "instances") if isinstance(request, dict) and name in request), None)
    if name is None or isinstance(request[name], dict):
        return request
    texts = request.pop(name)
    texts = texts if isinstance(texts, list) else [texts]
    rows = [text if isinstance(text, list) and len(text) == 1 else [text] for text in texts]
    return {**request, "dataframe_split": {"columns": [0], "data": rows}}
