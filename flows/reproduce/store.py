"""Recorded content in DVC's cache and remote, by its hash, and DVC's hash of any path.

Every object is hashed when it is read: DVC trusts the objects of its cache. Nothing here changes one.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows.sentences import as_sentence
from tasks.stage.errors import GristmillError

if TYPE_CHECKING:
    from dvc.repo import Repo

DIRECTORY = ".dir"
FILE = ""
"""The name of a single file in a listing."""

Listing = dict[str, str]
"""Path inside an output → MD5 of the file; a single file has the path FILE."""


class Missing(GristmillError):
    """Recorded content that neither the cache nor the remote has."""


class Damaged(GristmillError):
    """An object of the cache whose bytes are not what its name says."""


class Store:
    """DVC's cache and remote of this project."""

    def __init__(self, repo: "Repo", say: Callable[[str], None]) -> None:
        self._repo, self._say = repo, say
        self._remote = repo.config["core"].get("remote")
        self._asked: set[str] = set()

    def listing(self, md5: str) -> Listing:
        """The files of an output. Raises Missing or Damaged."""
        if not md5.endswith(DIRECTORY):
            return {FILE: md5}
        path = self.object(md5)
        self._require_whole(path, md5)
        return {item["relpath"]: item["md5"] for item in json.loads(path.read_text(encoding="utf-8"))}

    def object(self, md5: str) -> Path:
        """The object in the cache, fetched from the remote if need be. Raises Missing."""
        path = Path(self._repo.cache.local.oid_to_path(md5))
        if not path.is_file() and self._remote and md5 not in self._asked:
            self._asked.add(md5)
            self._fetch(md5)
        if not path.is_file():
            where = (
                f"DVC's cache and remote {self._remote} do not have it"
                if self._remote
                else "DVC's cache does not have it"
            )
            raise Missing(f"{where} ({md5})")
        return path

    def copy(self, md5: str, place: Path, below: str = "") -> None:
        """Copy recorded content to a new path; `below`: only this folder of it. Raises Missing or Damaged."""
        for name, own in self._below(md5, below).items():
            path = place / name if name else place
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.object(own), path)
            self._require_whole(path, own)

    def damaged(self, md5: str) -> list[str]:
        """Files of recorded content whose objects in the cache are damaged; those that are missing do not count."""
        found = []
        try:
            listing = self.listing(md5)
        except Missing:
            return []
        except Damaged:
            return [FILE]
        for name, own in listing.items():
            path = Path(self._repo.cache.local.oid_to_path(own))
            if path.is_file() and hash_path(path) != own:
                found.append(name)
        return found

    def is_ignored(self, path: Path) -> bool:
        """Whether .dvcignore names a file of the project."""
        return bool(self._repo.dvcignore.is_ignored_file(str(path)))

    def _below(self, md5: str, below: str) -> Listing:
        listing = self.listing(md5)
        if not below:
            return listing
        inside = {name.removeprefix(f"{below}/"): own for name, own in listing.items() if name.startswith(f"{below}/")}
        single = {FILE: listing[below]} if below in listing else {}
        if not (inside or single):
            raise Missing(f"the recorded folder has no {below}")
        return inside or single

    def _require_whole(self, path: Path, md5: str) -> None:
        if hash_path(path) != md5.removesuffix(DIRECTORY):
            raise Damaged(f"the copy in DVC's cache is damaged ({self._repo.cache.local.oid_to_path(md5)})")

    def _fetch(self, md5: str) -> None:
        from dvc_data.hashfile.hash_info import HashInfo

        self._say(f"fetching {md5} from the remote {self._remote}")
        try:
            self._repo.cloud.pull([HashInfo("md5", md5)])
        except Exception as error:
            told = as_sentence(error)
            if told is None and not isinstance(error, OSError):
                raise
            self._say(f"the remote {self._remote} does not give it: {told or error}")


def hash_path(path: Path, skip: Callable[[Path], bool] = lambda _: False) -> str:
    """DVC's MD5 of a file or folder, from all of its bytes; without the files to `skip`."""
    from dvc_data.hashfile.hash import file_md5

    if path.is_file():
        return str(file_md5(str(path), name="md5"))
    return hash_listing(list_files(path, skip))


def list_files(path: Path, skip: Callable[[Path], bool] = lambda _: False) -> Listing:
    """The files of a path with their MD5."""
    if path.is_file():
        return {FILE: hash_path(path)}
    files = (file for file in sorted(path.rglob("*")) if file.is_file() and not skip(file))
    return {file.relative_to(path).as_posix(): hash_path(file) for file in files}


def hash_listing(listing: Mapping[str, str]) -> str:
    """DVC's hash of a folder."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for name, md5 in listing.items():
        tree.add(tuple(name.split("/")), Meta(), HashInfo("md5", md5))
    tree.digest(name="md5")
    assert tree.hash_info is not None
    return str(tree.hash_info.value)
