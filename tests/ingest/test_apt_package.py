"""Files inside a Debian package, from a local repository, downloaded by the real apt-get; no network."""

import gzip
import hashlib
import io
import lzma
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tasks.fetch.archives import unpack
from tasks.ingest import apt_lists
from tasks.stage.errors import DataError, RecipeError
from tests.ingest.conftest import read_report
from tests.ingest.test_apt import write_repository

NO_APT = shutil.which("apt-get") is None or not apt_lists.HELPER.exists()

WORDS = b"""  1 This is a licence.
00001 03 n 02 Big_apple 0 thing 1 001 @ 00002 n 0000 | a fruit; "he ate it"
00002 03 n 01 ash(ip) 0 000 | a tree
"""
PATTERN = r'^\d{5} \d\d n \d\d (?P<word>[^\s(]+)(?:\(\w+\))? \d .*\| (?P<gloss>.*?)(?:;\s*".*)?$'
DOCUMENTS = {
    "row_pattern": PATTERN,
    "row_replace": {"_": " "},
    "prompt_template": "Define: {word}",
    "completion_column": "gloss",
    "group_column": "word",
}


def make_deb(files: dict[str, bytes], packed: str = "xz") -> bytes:
    """A Debian package (deb(5)) with these files."""
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = {"xz": lzma.compress, "gz": gzip.compress}[packed](tarred.getvalue())
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{packed}": data}
    parts = (
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
        for name, content in members.items()
    )
    return b"!<arch>\n" + b"".join(parts)


DEB = make_deb({"usr/share/words/data.noun": WORDS, "usr/share/doc/copyright": b"free"})


@pytest.fixture
def read(run, project):
    mirror = project.parent / "mirror"
    write_repository(mirror, {"words": (None, "text", "words\n Many.", None)}, debs={"words": DEB})

    def ingest(**more: Any) -> Any:
        own = {"kind": "apt", "mirror": f"copy:{mirror}", "release": "tiny", "trusted": True, "content": "package"}
        pinned = {"package": "words", "version": "1", "sha256": hashlib.sha256(DEB).hexdigest()}
        files = {"files": ["usr/share/words/data.*"], "documents": DOCUMENTS}
        return run("chat", **{**own, **pinned, **files, **more})

    return ingest


@pytest.mark.skipif(NO_APT, reason="this machine does not have Debian's apt-get")
def test_lines_of_a_file_in_a_package_become_conversations_and_a_second_run_needs_no_mirror(read, project):
    for _ in range(2):
        rows = read()
        assert [(row["id"], row["group"], row["text"], row["target"]) for row in rows] == [
            ("usr/share/words/data.noun#2", "Big apple", "Define: Big apple", "a fruit"),
            ("usr/share/words/data.noun#3", "ash", "Define: ash", "a tree"),
        ]
        assert rows[0]["source"] == "usr/share/words/data.noun line 2"
        assert read_report()["received"] == {"files": 1, "bytes": len(WORDS), "lines_without_a_row": 1}
        shutil.rmtree(project.parent / "mirror", ignore_errors=True)


@pytest.mark.skipif(NO_APT, reason="this machine does not have Debian's apt-get")
@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"version": "2"}, r"ingest\.version: tiny has no words=2: apt-get says: Version '2' for 'words' was"),
        ({"package": "wrods"}, r"ingest\.package: tiny has no wrods: apt-get says: Unable to locate package wrods"),
        ({"sha256": "0" * 64}, rf"ingest\.sha256: the checksum of words=1 is {hashlib.sha256(DEB).hexdigest()}"),
        ({"files": ["usr/*.csv"]}, r"ingest\.documents\.row_pattern: usr/\*\.csv is a table"),
        ({"files": ["usr/nothing"]}, r"ingest\.files\.0: 'usr/nothing': no such file"),
        ({"sha256": None}, r"ingest\.sha256: required for content: package"),
        ({"content": "synopses"}, r"ingest\.package: only valid with content: package"),
        ({"documents": {**DOCUMENTS, "completion_column": "glos"}},
         r"ingest\.documents\.completion_column: row_pattern has no group 'glos' \(available: word, gloss\)"),
        ({"documents": {**DOCUMENTS, "row_pattern": "x"}}, r"names no group; write one for each column"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named(read, keys, told):
    with pytest.raises(RecipeError, match=told):
        read(**keys)


@pytest.mark.skipif(NO_APT, reason="this machine does not have Debian's apt-get")
def test_a_pattern_that_no_line_matches_is_told(read):
    with pytest.raises(DataError, match=r"data\.noun: no line matches documents\.row_pattern, '\(\?P<a>zzz\)'"):
        read(documents={"row_pattern": "(?P<a>zzz)", "prompt_template": "{a}", "completion_column": "a"})


@pytest.mark.parametrize("packed", ["xz", "gz"])
def test_a_debian_package_is_an_archive(tmp_path: Path, packed: str) -> None:
    (tmp_path / "a.deb").write_bytes(make_deb({"usr/a": b"abc"}, packed))
    unpack(tmp_path / "a.deb", tmp_path / packed)
    assert (tmp_path / packed / "usr/a").read_bytes() == b"abc"


@pytest.mark.parametrize("damage", [DEB[:100], b"no ar at all", DEB[:-50], DEB.replace(b"data.tar", b"nada.tar")])
def test_a_damaged_package_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.deb").write_bytes(damage)
    with pytest.raises(DataError, match=r"a\.deb|data\.tar"):
        unpack(tmp_path / "a.deb", tmp_path / "out")
