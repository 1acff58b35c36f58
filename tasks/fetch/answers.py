"""What a server's answer means: whether the same request may succeed later."""

PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may be temporary (RFC 9110)."""


def may_pass(error: BaseException) -> bool:
    """Whether what a library of the Hub raised may pass: there was no answer, or a temporary one.

    The answer may be deep in the chain of causes: some report a refusal (401, 403) as "not in the cache".
    """
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status is not None:
            return status in PASSING
        cause = cause.__cause__ or cause.__context__
    return True


def hub_errors() -> tuple[type[Exception], ...]:
    """What libraries of the Hub raise where it cannot be reached, or where its answer decides; see `may_pass`."""
    import httpx
    import httpx2  # of huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    away = (httpx.TransportError, httpx2.TransportError, TimeoutError, ConnectionError, OfflineModeIsEnabled)
    return (*away, HfHubHTTPError)
