"""OpenAI's routes in MLflow's server, for clients that know nothing of MLflow:

    POST /v1/chat/completions    a chat.completion, or with `stream` its chunks as server-sent events
    GET  /v1/models              the name of the model

MLflow's own route, /invocations, takes the same requests, but cannot stream.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

from mlflow.exceptions import MlflowException

from tasks.serve.server import GONE, invalid, listen, read_body


def as_conversations(request: Any) -> Any:
    """A request to /invocations as MLflow hands it on unread: OpenAI's without nulls, all others under `inputs`."""
    if not isinstance(request, dict):
        return request
    if "messages" in request:
        return {name: value for name, value in request.items() if value is not None or name == "messages"}
    params = {"params": request["params"]} if "params" in request else {}
    if "instances" in request:
        return {"inputs": request["instances"], **params}
    if "dataframe_records" in request:
        return {"inputs": request["dataframe_records"], **params}
    if "dataframe_split" in request:
        return {"inputs": _rows_of(request["dataframe_split"]), **params}
    return request


def _rows_of(table: Any) -> Any:
    try:
        columns, rows = table["columns"], table["data"]
        if "messages" in columns:
            return [dict(zip(columns, row, strict=True)) for row in rows]
        return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
    except (TypeError, KeyError, ValueError) as error:
        raise invalid(f"dataframe_split: not a table of columns and data: {error}") from None


def offer(model: Any) -> None:
    """Add the routes to the app that MLflow makes next, after it has loaded the model: it has no setting for more."""
    import fastapi

    plain = fastapi.FastAPI

    class WithRoutes(plain):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **named: Any) -> None:
            fastapi.FastAPI = plain  # type: ignore[misc]
            super().__init__(*args, **named)
            _add(self, model)

    fastapi.FastAPI = WithRoutes  # type: ignore[misc]


def _add(app: Any, model: Any) -> None:
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    async def completions(request: Request) -> Response:
        gone = threading.Event()
        try:
            content = _parsed(await read_body(request))
            if not content.get("stream"):
                return JSONResponse(await _whole(model, content, request, gone))
            chunks = await asyncio.to_thread(lambda: model.stream(model.read(content), gone))
        except MlflowException as error:
            return JSONResponse(_told(error), error.get_http_status_code())
        return Stream(chunks, gone, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def models(request: Request) -> Response:
        one = {"id": model.name, "object": "model", "created": 0, "owned_by": "gristmill"}
        return JSONResponse({"object": "list", "data": [one]})

    class Stream(Response):
        """Chunks as server-sent events, made while a client listens."""

        def __init__(self, chunks: Iterator[Any], gone: threading.Event, **how: Any) -> None:
            super().__init__(**how)
            del self.headers["content-length"]
            self.events, self.gone = _events(chunks), gone

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            listening = asyncio.create_task(listen(Request(scope, receive), self.gone))
            try:
                while (event := await asyncio.to_thread(next, self.events, None)) is not None:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                listening.cancel()
                self.gone.set()

    app.add_route("/v1/chat/completions", completions, methods=["POST"])
    app.add_route("/v1/models", models, methods=["GET"])


async def _whole(model: Any, content: dict[str, Any], request: Any, gone: threading.Event) -> Any:
    """All answers to a request; stops when its client has gone."""
    GONE.set(gone)
    listening = asyncio.create_task(listen(request, gone))
    try:
        return await asyncio.to_thread(model.predict, None, content)
    finally:
        listening.cancel()


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the request is no JSON that can be read: {error}") from None
    if not isinstance(content, dict):
        raise invalid(f"the request must be a JSON object with messages, not {content!r:.60}")
    return content


def _events(chunks: Iterator[Any]) -> Iterator[bytes]:
    """Server-sent events: the chunks, or what went wrong, and the one that ends a stream."""
    try:
        for chunk in chunks:
            yield _event(json.dumps(chunk))
    except MlflowException as error:
        yield _event(json.dumps(_told(error)))
    yield _event("[DONE]")


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def _told(error: MlflowException) -> dict[str, Any]:
    return {"error": {"message": error.message, "type": "invalid_request_error", "param": None, "code": None}}
