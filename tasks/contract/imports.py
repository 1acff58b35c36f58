"""Which of our own files a module needs, read from the source without importing anything.

`dvc.yaml` must name them all as dependencies of a stage (a test holds it), and they are part of a training's identity.
"""

import ast
from functools import cache
from pathlib import Path

OURS = ("tasks", "flows")


def import_closure(module: str, root: Path = Path()) -> list[Path]:
    """All our files that `module` imports, directly or not, lazily or not: sorted, relative to `root`.

    Raises ModuleNotFoundError where `module` is none of ours.
    """
    start = _file_of(module, root)
    if start is None:
        raise ModuleNotFoundError(f"{module}: not found under {root.resolve()}")
    found: set[Path] = set()
    open_files = [start, *_packages(module, root)]
    while open_files:
        path = open_files.pop()
        if path not in found:
            found.add(path)
            open_files.extend(_imports(path, root))
    return sorted(path.relative_to(root) for path in found)


def _imports(path: Path, root: Path) -> list[Path]:
    now = path.stat()
    files: list[Path] = []
    for name in _names(path.absolute(), now.st_mtime_ns, now.st_size):
        if (file := _file_of(name, root)) is not None:
            files += [file, *_packages(name, root)]
    return files


@cache
def _names(path: Path, changed: int, size: int) -> list[str]:
    """What of ours a file imports; it is read again where its time or size is another one."""
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


def _file_of(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _packages(module: str, root: Path) -> list[Path]:
    parts = module.split(".")
    files = (root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts)))
    return [file for file in files if file.is_file()]
