"""`kind: files`: text files and tables in the project, by glob."""

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tasks.formats.folders import require_no_gaps
from tasks.ingest.documents import documents_of_files
from tasks.ingest.formats import SourceFile
from tasks.ingest.look import look_at_files
from tasks.ingest.source import Bench, Document, Source
from tasks.stage.errors import DataError
from tasks.stage.problems import nearest
from tasks.stage.settings import possible_path

WILD = "*?["
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _inside(pattern: str) -> str:
    if URL.match(pattern):
        raise ValueError(
            f"{pattern} is a URL, not a path; fetch it into the project with `dvc import-url` (docs/servers.md, Shared "
            "cache and buckets), or pin one file with kind: url"
        )
    if pattern.startswith("~") or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise ValueError("must be relative to the project, without .. and ~")
    if any("**" in part and part != "**" for part in PurePosixPath(pattern).parts):
        raise ValueError("** must be a whole path component, as in texts/**/*.txt")
    if not PurePosixPath(pattern).parts:
        raise ValueError("is a folder; name its files, for example *.txt")
    return possible_path(pattern)


Globs = Annotated[tuple[Annotated[str, Field(min_length=1), AfterValidator(_inside)], ...], Field(min_length=1)]


class FilesSource(Source):
    """Files in the project: text and source code (.txt .md .py …), tables (.jsonl .json .csv .tsv), each also with .gz,
    .zst, .bz2 or .xz, and .parquet."""

    kind: Literal["files"]
    files: Globs
    """Globs relative to the project root; `**` matches folders at any depth. Links to folders are refused."""

    def read(self, bench: Bench) -> Iterator[Document]:
        """See `Source.read`."""
        return documents_of_files(find_files(Path(), self.files, bench), self.documents, bench)

    def look(self, bench: Bench, most: float = 1) -> None:
        """See `Source.look`."""
        look_at_files(find_files(Path(), self.files, bench), self.documents, bench, most)

    def local_paths(self) -> list[str]:
        """See `Source.local_paths`: each glob up to its first wild part."""
        return [_tame(pattern).as_posix() for pattern in self.files]

    def title(self) -> str:
        """See `Source.title`."""
        return ", ".join(self.files)


def _tame(pattern: str) -> PurePosixPath:
    return PurePosixPath(*takewhile(lambda part: not any(sign in part for sign in WILD), PurePosixPath(pattern).parts))


def find_files(root: Path, globs: Globs, bench: Bench) -> list[SourceFile]:
    """The files under `root` that match the globs, each once, sorted by name.

    Raises RecipeError for a glob without a match, DataError for a name that is not UTF-8, and for links and other
    entries that would be left out in silence.
    """
    found: dict[str, SourceFile] = {}
    for number, pattern in enumerate(globs):
        tame = _tame(pattern)
        require_no_gaps(root / tame, PurePosixPath(pattern).parts[len(tame.parts) :])
        paths = [path for path in root.glob(pattern) if not path.is_dir()]
        if not paths:
            raise bench.wrong(f"files.{number}", f"{pattern!r}: {_absent(root, pattern)}")
        for path in paths:
            if not path.is_file():
                raise DataError(f"{path}: neither a file nor a folder")
            name = path.relative_to(root).as_posix()
            found[name] = SourceFile(name, path)
    for number, pattern in enumerate(globs):
        for path in _other_case(root, pattern):
            if path.relative_to(root).as_posix() not in found:
                told = (
                    f"leaves out {path.relative_to(root)}, which differs only by case; add a glob for it, or rename it"
                )
                raise bench.wrong(f"files.{number}", f"{pattern!r} {told}")
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{name.encode(errors='surrogateescape')!r}: the file name is not UTF-8") from None
    return [found[name] for name in sorted(found)]


def _absent(root: Path, pattern: str) -> str:
    """Why a glob matches no file, and what may have been meant."""
    if not any(sign in pattern for sign in WILD):
        path = root / pattern
        if path.is_dir():
            return f"a folder; name its files, such as {PurePosixPath(pattern) / '**/*.txt'}"
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        return f"no such file{nearest(path.name, beside)}"
    if other := next(_other_case(root, pattern), None):
        return f"matches no file, but {other.relative_to(root)} differs only by case"
    return "matches no file" + ("; braces are not expanded: write one glob for each" if "{" in pattern else "")


def _other_case(root: Path, pattern: str) -> Iterator[Path]:
    """The files that a glob would match if its letters could be small or capital."""
    if any(sign in pattern for sign in "[]"):
        return
    letters = (f"[{sign.lower()}{sign.upper()}]" if sign.isalpha() else sign for sign in PurePosixPath(pattern).name)
    if any(sign in pattern for sign in WILD):
        yield from sorted(
            path for path in root.glob(str(PurePosixPath(pattern).with_name("".join(letters)))) if path.is_file()
        )
