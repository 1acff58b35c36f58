"""`kind: url` with an object in a bucket, from a real server on loopback."""

import hashlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tasks.fetch.downloads import cache_folder
from tasks.ingest import s3
from tasks.stage.errors import GristmillError, RecipeError, TransientError
from tests.buckets import BUCKET

if TYPE_CHECKING:
    from s3fs import S3FileSystem

BODY = "".join(f"line {i} of a text in a bucket\n" for i in range(5_000)).encode()
SHA256 = hashlib.sha256(BODY).hexdigest()
SECTION = {"kind": "url", "url": f"s3://{BUCKET}/texts/text.txt", "sha256": SHA256}

Run = Callable[..., list[dict[str, Any]]]


def test_an_object_is_read_once_in_parts(run: Run, bucket: "S3FileSystem", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "CHUNK", 10_000)
    bucket.pipe(f"{BUCKET}/texts/text.txt", BODY)
    rows = run(**SECTION)
    assert [(row["id"], row["text"]) for row in rows] == [("text.txt", BODY.decode())]
    bucket.rm(f"{BUCKET}/texts/text.txt")
    assert run(**SECTION) == rows


def test_what_was_read_before_a_break_is_not_read_again(run: Run, bucket: "S3FileSystem") -> None:
    part = cache_folder(SHA256) / "text.txt.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(BODY[:40_000])
    bucket.pipe(f"{BUCKET}/texts/text.txt", b"#" * 40_000 + BODY[40_000:])
    assert run(**SECTION)[0]["text"] == BODY.decode()


def test_another_content_than_the_recipe_says_is_told(run: Run, bucket: "S3FileSystem") -> None:
    bucket.pipe(f"{BUCKET}/texts/text.txt", b"something else")
    with pytest.raises(RecipeError, match=r"ingest\.sha256: the checksum of s3://corpora/texts/text\.txt is"):
        run(**SECTION)


def test_an_object_that_is_not_there_is_told(run: Run, bucket: "S3FileSystem") -> None:
    with pytest.raises(RecipeError, match=r"ingest\.url: s3://corpora/texts/text\.txt: no such object"):
        run(**SECTION)


def test_a_server_that_is_away_may_come_back(run: Run, bucket: "S3FileSystem", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    type(bucket).clear_instance_cache()
    with pytest.raises(TransientError, match=r"ingest\.url: s3://corpora/texts/text\.txt: .*127\.0\.0\.1:9"):
        run(**SECTION)


def test_a_library_that_is_not_installed_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(GristmillError, match=r"is not installed: pip install 'gristmill\[s3\]'"):
        run(**SECTION)
