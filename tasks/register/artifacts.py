"""The files of a run or a logged model in MLflow: are they there, and whole?"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.stage.identity import hash_file
from tasks.tracking.embedded import local_folder, stored_files

if TYPE_CHECKING:
    from mlflow.entities import FileInfo


def find_files(uri: str, ask: Callable[[str | None], list["FileInfo"]]) -> dict[str, str]:
    """Path in MLflow → the file's mark, see `mark`; `ask` lists a folder, if `uri` is not one of this machine."""
    if (folder := local_folder(uri)) is not None:
        return {path.relative_to(folder).as_posix(): mark(path, uri) for path in stored_files(folder)}
    found: dict[str, str] = {}
    folders: list[str | None] = [None]
    while folders:
        for item in ask(folders.pop()):
            if item.is_dir:
                folders.append(item.path)
            else:
                found[item.path] = str(item.file_size)
    return found


def mark(path: Path, uri: str) -> str:
    """What shows that its copy at `uri` is whole: SHA-256, or elsewhere than on this machine the size."""
    return str(path.stat().st_size) if local_folder(uri) is None else hash_file(path)


def holds(there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether all wanted files are there and whole."""
    return wanted.items() <= there.items()
