"""What each stage of a reproduction reads: the recorded content, so that one fault names one stage.

Where neither DVC's cache nor its remote has it, the stage reads what was reproduced before. A folder of texts, which
DVC hashes and does not keep, comes from the commit if git tracks it, else from the project as it is.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.reproduce.differ import find_difference
from flows.reproduce.store import Damaged, Missing, Store, hash_path
from tasks.register.reproduction import Entry, Item, Recorded
from tasks.stage.code import FOLDER as CODE
from tasks.stage.errors import GristmillError
from tasks.stage.run import DATA


@dataclass
class Inputs:
    """Places inputs into a work tree."""

    recorded: Recorded
    store: Store
    tree: Path
    """The project's folder in the work tree."""
    bounds: Path
    """The temporary folder, outside of which nothing is written."""
    made: Path
    """Reproduced outputs, by their path."""
    project: Path = field(default_factory=Path.cwd)

    def place(self, entry: Entry) -> list[str]:
        """Empty the data folder and put every input of a stage there; returns what is worth knowing about them.

        Raises GristmillError for an input that is gone.
        """
        for folder in (self.tree / DATA).glob("*"):
            if folder.name != CODE.name and folder.is_dir():
                shutil.rmtree(folder)
        return [note for dep in entry.deps for note in self._place(dep)]

    def _place(self, dep: Item) -> Iterator[str]:
        if Path(dep.path).is_relative_to(CODE):
            yield from self._code(dep)
            return
        owner = next((out for out in self._outs() if Path(dep.path).is_relative_to(out.path)), None)
        if owner is None:
            yield from self._source(dep)
            return
        below = Path(dep.path).relative_to(owner.path).as_posix()
        place = self._inside(dep)
        try:
            self._copy_recorded(dep, owner, "" if below == "." else below, place)
        except (Missing, Damaged) as error:
            if not (made := self.made / dep.path).exists():
                raise GristmillError(f"its input {dep.path} is gone: {error}") from error
            _remove(place)  # half of it
            _copy(made, place)
            if hash_path(place) != dep.md5:
                yield f"it read the reproduced {dep.path}, which is not the recorded one: {error}"
            return
        if dep.md5 and hash_path(place) != dep.md5:
            yield f"dvc.lock does not agree with itself: this stage read another {dep.path} than it records as made"

    def _copy_recorded(self, dep: Item, owner: Item, below: str, place: Path) -> None:
        if not below and dep.md5:
            self.store.copy(dep.md5, place)
        elif owner.md5:
            self.store.copy(owner.md5, place, below)
        else:
            raise Missing(f"dvc.lock has no hash of {owner.path}")

    def _outs(self) -> Iterator[Item]:
        for entry in self.recorded.stages.values():
            yield from entry.outs

    def _code(self, dep: Item) -> Iterator[str]:
        """Whether the code of the work tree is the recorded one; see `tasks.code`."""
        path = self.tree / dep.path
        if not path.is_file() or dep.md5 is None:
            yield f"{dep.path}: not recorded or not made, so its code is unknown"
        elif hash_path(path) != dep.md5:
            told = "its code or libraries are not the recorded ones"
            try:
                content = self.made / "code" / path.name
                content.parent.mkdir(parents=True, exist_ok=True)
                content.unlink(missing_ok=True)
                self.store.copy(dep.md5, content)
                told += f" ({find_difference(content, path).sentence})"
            except (Missing, Damaged):
                pass  # the sentence says less
            yield told

    def _source(self, dep: Item) -> Iterator[str]:
        """A folder or file that no stage makes."""
        if Path(dep.path).is_absolute():
            if not Path(dep.path).exists():
                raise GristmillError(f"its input {dep.path} is gone")
            if hash_path(Path(dep.path)) != dep.md5:
                yield self._changed(dep)
            return
        place, here = self._inside(dep), self.project / dep.path
        if place.exists() and hash_path(place) == dep.md5:
            return
        try:
            if dep.md5 is None:
                raise Missing(f"dvc.lock has no hash of {dep.path}")
            partial = self.bounds / "source"
            _remove(partial)
            self.store.copy(dep.md5, partial)
            _remove(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(place)
            return
        except (Missing, Damaged) as error:
            if not (here.exists() or place.exists()):
                raise GristmillError(f"its input {dep.path} is gone: {error}") from error
        if here.exists():
            _remove(place)
            _copy(here, place)
            for file in [file for file in place.rglob("*") if self.store.is_ignored(here / file.relative_to(place))]:
                _remove(file)
        if hash_path(place) != dep.md5:
            yield self._changed(dep)

    def _changed(self, dep: Item) -> str:
        gone = "is not what the run read, and no cache has that"
        return f"{dep.path} {gone}; it was taken from the project as it is now"

    def _inside(self, dep: Item) -> Path:
        place = (self.tree / dep.path).absolute()
        if not place.resolve().is_relative_to(self.bounds.resolve()):
            raise GristmillError(f"its input {dep.path} is outside of the project, and no work tree can hold it")
        return place


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place)
    else:
        shutil.copyfile(source, place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
