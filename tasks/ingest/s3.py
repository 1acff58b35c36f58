"""An object in a bucket, resumed at the first missing byte, through s3fs.

Credentials, region and endpoint come from AWS's own settings: AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL…
"""

from pathlib import Path

from tasks.fetch.answers import PASSING
from tasks.fetch.downloads import require_room
from tasks.ingest.source import Bench
from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.progress import progress

CHUNK = 8 << 20
"""Bytes per request."""


def fetch(url: str, part: Path, had: int, bench: Bench) -> None:
    """Append the missing bytes to `part`, which has `had`. Raises TransientError, RecipeError or GristmillError."""
    try:
        from botocore.exceptions import BotoCoreError, ConnectionError, HTTPClientError
        from s3fs import S3FileSystem
    except ModuleNotFoundError as error:
        raise GristmillError(f"{url}: {error.name} is not installed: pip install 'gristmill[s3]'") from error

    place = f"{bench.recipe}: {bench.section}.url: {url}"
    try:
        store = S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
        size = store.size(url)
        require_room(place, part, size - had)
        with part.open("ab") as out, progress("download", size, "bytes") as shown:
            for start in range(had, size, CHUNK):
                shown.advance(out.write(store.cat_file(url, start=start, end=min(start + CHUNK, size))))
    except FileNotFoundError as error:
        raise bench.wrong("url", f"{url}: no such object") from error
    except PermissionError as error:
        raise GristmillError(f"{place}: the server rejected the credentials: {error}") from error
    except (ConnectionError, HTTPClientError, OSError) as error:
        told = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
        raise (TransientError if told in PASSING else GristmillError)(f"{place}: {error}") from error
    except BotoCoreError as error:
        raise GristmillError(f"{place}: {error}") from error
