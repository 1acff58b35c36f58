"""The bytes in DVC's cache: DVC trusts every write-protected object; here they are hashed, as their names say."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.output import Output


def discard_damaged(outs: Iterable["Output"], listings_only: bool = False) -> list[str]:
    """Remove the damaged objects of these outputs from the cache, so that DVC writes or fetches them again.

    A directory's listing (`.dir`) is small; its files may be large, and `listings_only` does not read them. Returns the
    outputs that had damaged objects.
    """
    return [str(out.def_path) for out in outs if out.use_cache and out.hash_info and _discard(out, listings_only)]


def discard_damaged_listings(folder: Path) -> bool:
    """Remove every damaged listing from the cache in `folder`; returns whether there was one."""
    return any([_discard_object(path, path.parent.name + path.name, "md5") for path in folder.glob("*/*.dir")])


def _discard(out: "Output", listings_only: bool) -> bool:
    from dvc_data.hashfile.tree import Tree

    def discard(name: str) -> bool:
        return _discard_object(Path(out.cache.oid_to_path(name)), name, out.hash_info.name)

    if not out.hash_info.isdir:
        return not listings_only and discard(out.hash_info.value)
    if discard(out.hash_info.value):
        return True
    if not listings_only:
        with suppress(FileNotFoundError):  # a lost listing: DVC sees that
            return any([discard(found.value) for _, _, found in Tree.load(out.cache, out.hash_info)])
    return False


def _discard_object(path: Path, name: str, algorithm: str) -> bool:
    from dvc_data.hashfile.hash import file_md5

    if not path.is_file() or file_md5(str(path), name=algorithm) == name.removesuffix(".dir"):
        return False
    path.unlink()
    return True
