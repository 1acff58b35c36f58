"""A stage's code: the content of `data/code/<stage>.json`, and the hash in it.

The hash covers every project file that the stage imports, lazily or not, and all other files in its package. Comments,
docstrings and blank lines of Python files do not count, so only changed behavior, or a rename, changes the hash.
"""

import ast
import io
import json
import tokenize
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tasks.stage.errors import DataError
from tasks.stage.identity import fingerprint, hash_file

OURS = ("tasks", "flows")
ROOT = Path(__file__).resolve().parents[2]
"""The folder with our own code; recipes and data may be elsewhere."""
FOLDER = Path("data/code")


def read_code(stage: str) -> dict[str, Any]:
    """`data/code/<stage>.json`: the version or hash of the stage's code, and the versions of its libraries.

    Raises DataError if the stage `code` has not written it.
    """
    path = FOLDER / f"{stage}.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: missing or damaged; run: dvc repro code") from error


def hash_stage(stage: str, root: Path = ROOT) -> str:
    """16 hex digits for the code of a stage, independent of the Python version."""
    room = root / "tasks" / stage
    own = [path.relative_to(root) for path in room.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return hash_files({*own, *import_closure(f"tasks.{stage}.__main__", root)}, root)


def hash_files(files: Iterable[Path], root: Path = ROOT) -> str:
    """16 hex digits for files under `root`: their names, and their content without comments and docstrings."""
    contents = {path.as_posix(): _content(root / path) for path in files}
    return fingerprint({name: content for name, content in contents.items() if content})[:16]


def _content(path: Path) -> str:
    now = path.stat()
    return _text(path, now.st_mtime_ns, now.st_size) if path.suffix == ".py" else hash_file(path)


@cache
def _text(path: Path, changed: int, size: int) -> str:
    return "\n".join(line for _, line in without_remarks(path.read_text(encoding="utf-8")))


def without_remarks(source: str) -> list[tuple[int, str]]:
    """Numbered lines of Python source, without comments, docstrings and blank lines; other strings stay unchanged."""
    lines = source.splitlines()
    in_strings: set[int] = set()
    remarks: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno:
            in_strings.update(range(node.lineno, node.end_lineno or node.lineno))  # code may follow on the last line
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            remarks.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return [
        (number, line if number in in_strings else line.rstrip())
        for number, line in enumerate(lines, 1)
        if number not in remarks and (line.strip() or number in in_strings)
    ]


def import_closure(module: str, root: Path = ROOT) -> list[Path]:
    """All project files that `module` imports, directly or not, lazily or not: sorted, relative to `root`.

    Parses the source and imports nothing. Raises ModuleNotFoundError if `module` is not ours.
    """
    open_files = _files_of(module, root)
    if not open_files:
        raise ModuleNotFoundError(f"{module}: not found under {root.resolve()}")
    found: set[Path] = set()
    while open_files:
        path = open_files.pop()
        if path not in found:
            found.add(path)
            now = path.stat()
            for name in _names(path.absolute(), now.st_mtime_ns, now.st_size):
                open_files += _files_of(name, root)
    return sorted(path.relative_to(root) for path in found)


@cache
def _names(path: Path, changed: int, size: int) -> list[str]:
    """Project modules that a file imports; parsed again when its time or size changes."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path} line {node.lineno}: relative import; write the full name")
            module = node.module or ""
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return [name for name in found if name.split(".")[0] in OURS]


def _files_of(module: str, root: Path) -> list[Path]:
    """The file of a module and the `__init__.py` of each package around it; none if the module is not ours."""
    path = root.joinpath(*module.split("."))
    own = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    around = (parent / "__init__.py" for parent in path.parents if parent.is_relative_to(root) and parent != root)
    return [] if own is None else [own, *(file for file in around if file.is_file())]
