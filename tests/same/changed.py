"""Lines of Python that differ between two trees, even after a move to another file, and which of them did not run."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from tasks.stage.code import without_remarks


@dataclass(frozen=True)
class Unit:
    """A function, a method, or another statement of a module or of a class."""

    file: str
    name: str
    lines: tuple[tuple[int, str], ...]
    """Numbers and text, without imports, comments, docstrings and blank lines."""

    @property
    def text(self) -> str:
        """The code, independent of its position and indentation."""
        return "\n".join(line.strip() for _, line in self.lines)


def units(root: Path, files: Iterable[Path], renamed: Mapping[str, str], messages: bool = False) -> list[Unit]:
    """All units of some files under a folder; `renamed` maps old names to new ones, `messages` ignores quoted text."""
    found = [unit for file in files for unit in _units(root, file, renamed)]
    return [_without_text(unit) for unit in found] if messages else found


def _without_text(unit: Unit) -> Unit:
    lines = [(number, re.sub(r"f?(\"[^\"]*\"|'[^']*')", '""', line)) for number, line in unit.lines]
    return Unit(unit.file, unit.name, tuple((number, line) for number, line in lines if line.strip(' ",')))


def not_run(changed: Iterable[Unit], others: Iterable[Unit], ran: dict[str, list[int]], root: Path) -> Iterator[str]:
    """`file:line: text` of lines in `changed` that the unit of the same name in `others` lacks and that never ran.

    A line counts as run if its statement ran. Code that ends in an error writes no output and need not run.
    """
    by_text = {unit.text for unit in others}
    by_name: dict[str, list[Unit]] = {}
    for unit in others:
        by_name.setdefault(unit.name, []).append(unit)
    for unit in changed:
        if unit.text in by_text or not unit.lines:
            continue
        was = max(by_name.get(unit.name, []), key=lambda other: _likeness(unit, other), default=None)
        statements = _statements(root / unit.file)
        for number, line in _differing(unit, was):
            here = [span for span in statements if span[0] <= number <= span[1]]
            start, stop, kind = min(here, key=lambda span: span[1] - span[0], default=(number, number, ast.stmt))
            if kind is not ast.Raise and not set(range(start, stop + 1)) & set(ran.get(unit.file, ())):
                yield f"{unit.file}:{number}: {line.strip()}"


def _units(root: Path, file: Path, renamed: Mapping[str, str]) -> Iterator[Unit]:
    source = (root / file).read_text(encoding="utf-8")
    kept = {
        number: re.sub(r"\w+", lambda name: renamed.get(name[0], name[0]), line)
        for number, line in without_remarks(source)
    }
    pending = [("", node) for node in ast.parse(source).body]
    while pending:
        scope, node = pending.pop()
        own = str(getattr(node, "name", ""))
        name = f"{scope}{renamed.get(own, own)}"
        if isinstance(node, ast.ClassDef):
            pending += [(f"{name}.", child) for child in node.body]
            stop = node.body[0].lineno - 1
        else:
            stop = node.end_lineno or node.lineno
        start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        imported = {number for each in ast.walk(node) for number in _lines_of_import(each)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            name = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        numbers = [number for number in range(start, stop + 1) if number in kept and number not in imported]
        yield Unit(file.as_posix(), name, tuple((number, kept[number]) for number in numbers))


def _lines_of_import(node: ast.AST) -> range:
    """Imports do not count: the type checker verifies their names."""
    for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if for_types or isinstance(node, ast.Import | ast.ImportFrom):
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return range(0)


def _likeness(unit: Unit, other: Unit) -> tuple[bool, float]:
    return unit.file == other.file, SequenceMatcher(None, unit.text, other.text, autojunk=False).quick_ratio()


def _differing(unit: Unit, was: Unit | None) -> list[tuple[int, str]]:
    if was is None:
        return list(unit.lines)
    new, old = ([line.strip() for _, line in one.lines] for one in (unit, was))
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    same = {block.b + offset for block in blocks for offset in range(block.size)}
    return [line for place, line in enumerate(unit.lines) if place not in same]


def _statements(path: Path) -> list[tuple[int, int, type[ast.AST]]]:
    """First and last line of every statement, or of its head. What ends in an error counts as a raise."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    failing = {id(each) for node in ast.walk(tree) if _fails(node) for each in ast.walk(node)}
    spans = []
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            body = getattr(node, "body", None)
            stop = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
            spans.append((start, max(start, stop), ast.Raise if id(node) in failing else type(node)))
    return spans


def _fails(node: ast.AST) -> bool:
    """Whether a statement always ends in an error: `raise`, a returned error, `except` or `if` around these."""
    if isinstance(node, ast.Return):
        return isinstance(node.value, ast.Call) and ast.unparse(node.value.func).endswith("Error")
    if isinstance(node, ast.If | ast.ExceptHandler):
        leaves = any(isinstance(each, ast.Return | ast.Continue | ast.Break) for each in ast.walk(node))
        return isinstance(node.body[-1], ast.Raise) and not leaves and not getattr(node, "orelse", None)
    return isinstance(node, ast.Raise)
