"""Takes passwords, tokens and signatures out of text: errors, logs, reports, parameters, tags, the model card."""

import re
from collections.abc import Iterator
from typing import Any

USER = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/?#'\"<>]+|[^\s/?#:@'\"<>]+:[^\s@'\"<>]+)@", re.IGNORECASE)
"""User and password of a URL; a password may hold a slash that is not quoted."""
QUERY = re.compile(
    r"([?&;#](?:[\w.-]*(?:token|secret|passw(?:or)?d|pwd|signature|credential|(?:api|access|account)_?key(?:_?id)?)"
    r"|(?:[\w.-]*[-_.])?(?:sig|key|auth|jwt|pass|pw))=)[^&;\s'\"<>)]+",
    re.IGNORECASE,
)
"""A value in a URL's query that lets its owner in: `token=`, `X-Amz-Signature=`, `sig=`, …"""
HEADER = re.compile(r"(\bAuthorization\W{1,4}(?:(?:Basic|Bearer|Token)\s+)?|\bBearer\s+)[^\s'\",]+", re.IGNORECASE)
TOKEN = re.compile(
    r"\b(?:(?:hf|gh[oprsu])_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16})\b"
)
"""Tokens of well-known services, recognizable by themselves."""


def redact(text: str) -> str:
    """The text without secrets."""
    text = USER.sub(r"\1", text)
    return TOKEN.sub("***", HEADER.sub(r"\1***", QUERY.sub(r"\1***", text)))


def redact_all(value: Any) -> Any:
    """A JSON value without secrets in its texts."""
    if isinstance(value, dict):
        return {key: redact_all(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_all(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def secret_keys(value: Any, key: str = "") -> Iterator[str]:
    """The keys of all texts that hold a secret: `ingest.url`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from secret_keys(item, f"{key}.{name}" if key else str(name))
    if isinstance(value, str) and redact(value) != value:
        yield key
