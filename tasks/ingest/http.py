"""A file from the web, resumed at the first missing byte."""

import os
from netrc import NetrcParseError
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.fetch.answers import PASSING
from tasks.fetch.downloads import require_room
from tasks.ingest.source import Bench
from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.progress import progress

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0
"""Seconds without a byte."""


def fetch(url: str, part: Path, had: int, bench: Bench) -> None:
    """Append the missing bytes to `part`, which has `had`; overwrite it if the server sends the whole file.

    Raises TransientError, RecipeError or GristmillError.
    """
    import httpx

    place = f"{bench.recipe}: {bench.section}.url: {url}"
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    try:
        with httpx.stream(
            "GET", url, headers=headers, auth=_password(), follow_redirects=True, timeout=TIMEOUT
        ) as response:
            status = response.status_code
            if status == 416 and had:  # complete, or the file is now shorter: the checksum decides
                return
            if status not in (200, 206):
                failure = TransientError if status in PASSING else GristmillError
                raise failure(f"{place}: the server returned {status}")
            goes_on = status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {had}-")
            if status == 206 and not goes_on:
                raise TransientError(f"{place}: the server sent a different range than requested")
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            room = require_room(place, part, total or 0)
            with part.open("ab" if goes_on else "wb") as out, progress("download", total, "bytes") as shown:
                for chunk in response.iter_raw():
                    shown.advance(out.write(chunk))
                    room -= len(chunk)
                    if room < 0:
                        part.unlink()
                        raise GristmillError(f"{place}: more bytes than the disk of {part.parent} has room for")
    except httpx.UnsupportedProtocol as error:  # by a redirect, to file:// for example
        raise bench.wrong("url", f"{url}: redirects to an address that is not read: {_words(error)}") from error
    except httpx.TransportError as error:
        raise TransientError(f"{place}: {_words(error)}") from error
    except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.DecodingError) as error:
        raise bench.wrong("url", f"{url}: {_words(error)}") from error


def _password() -> "httpx.Auth | None":
    """Users and passwords by server, from ~/.netrc or the file in NETRC. Raises GristmillError for a damaged one."""
    import httpx

    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return httpx.NetRCAuth(str(path)) if path.is_file() else None
    except (NetrcParseError, OSError) as error:
        raise GristmillError(f"{path}: cannot be read: {error}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
