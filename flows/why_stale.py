"""Why DVC would run the stages of a recipe again: the inputs, keys, code and libraries that changed, from what to what.

Looks further than `dvc status`: after an edit of the code that names the stage `code` alone, while here the stages
follow whose code is another; and a stage follows if one before it runs. Runs nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.graph import CODE, LOCK, Node, look, opened
from flows.recipes import locked_stages
from flows.stale_code import files_since, find_code_change
from tasks.changes.settings import find_settings
from tasks.code.versions import find_versions
from tasks.stage.code import FOLDER
from tasks.stage.settings import recipe_path

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

NAMED = 12
"""Files of a folder that are named."""


@dataclass(frozen=True)
class Reason:
    """One change."""

    kind: str
    """never ran, command, setting, input, output, code, library, before (a stage before it runs)"""
    what: str
    """The file, key, library or stage."""
    old: str | None = None
    new: str | None = None
    told: str = ""
    """What else there is to say."""
    runs: bool = True
    """False where the outputs are only restored or put into the cache."""

    def sentence(self) -> str:
        """On one line."""
        change = f": {self.old or 'not there'} → {self.new or 'not there'}" if self.old or self.new else ""
        return (
            f"{self.what}{change}{f' ({self.told})' if self.told and change else f': {self.told}' if self.told else ''}"
        )


NEVER_RAN = Reason("never ran", "it never ran", told=f"{LOCK} does not know it")
BEFORE = "runs before it, and may give other bytes than last time"
LOST = "lost from DVC's cache, where `gristmill run` puts it back"


@dataclass(frozen=True)
class Stale:
    """A stage that would run, or whose outputs would be restored."""

    address: str
    reasons: tuple[Reason, ...]

    @property
    def runs(self) -> bool:
        """False if nothing but its outputs is restored."""
        return any(reason.runs for reason in self.reasons)

    def to_json(self) -> dict[str, Any]:
        """As values of JSON."""
        return {"stage": self.address, "runs": self.runs, "reasons": [asdict(reason) for reason in self.reasons]}


def why_stale(recipe: str) -> list[Stale]:
    """The stale stages of a recipe and of the recipes that it starts from, in order, each with its reasons.

    Raises RecipeError for an unknown recipe, TransientError while another DVC process holds the lock.
    """
    recipe_path(recipe)
    found: dict[str, Stale] = {}
    with opened() as repo:
        nodes, status = look(recipe, repo)
        stages = {stage.addressing: stage for stage in repo.index.stages}
        locked = locked_stages()
        versions = find_versions() if any(node.address == CODE for node in nodes) else {}
        for node in nodes:
            if not node.runs:
                continue
            before = [address for address in node.upstream if address != CODE and address in found]
            stage, changed = stages[node.address], node.address in status
            # A recipe from scratch has its code in the place of a base, too.
            reasons = tuple(dict.fromkeys(_reasons(repo, stage, node, changed, locked, versions)))
            if reasons[:1] != (NEVER_RAN,):
                reasons += tuple(Reason("before", name, told=BEFORE) for name in before if found[name].runs)
            if reasons:
                found[node.address] = Stale(node.address, reasons)
    return list(found.values())


def _reasons(
    repo: "Repo",
    stage: "Stage",
    node: Node,
    changed: bool,
    locked: Mapping[str, Any],
    versions: Mapping[str, dict[str, Any]],
) -> Iterator[Reason]:
    if node.address not in locked:
        yield NEVER_RAN
        return
    code = f"{FOLDER.as_posix()}/{node.stage}.json"
    for dep in stage.deps:
        if str(dep.def_path) == code and node.stage in versions and dep.hash_info:
            yield from _code(repo, dep, node.stage, versions[node.stage])
        elif changed:
            yield from _dependency(dep)
    if not changed:
        return
    if getattr(stage, "cmd_changed", False):
        yield Reason("command", "command", str(locked[node.address].get("cmd")), str(stage.cmd))
    outs = [reason for out in stage.outs for reason in _output(out)]
    lost = [reason for reason in outs if reason.told == LOST]
    yield from (reason for reason in outs if reason not in lost)
    if lost:
        yield Reason("output", ", ".join(reason.what for reason in lost), told=LOST, runs=False)


def _code(repo: "Repo", dep: Any, stage: str, now: dict[str, Any]) -> Iterator[Reason]:
    digest = str(dep.hash_info.value)
    change = find_code_change(stage, digest, Path(repo.cache.local.oid_to_path(digest)), now)
    if change is None:
        return
    for library, old, new in change.libraries:
        yield Reason("library", library, old, new)
    if change.old == change.new:
        return
    files = _some([f"{path} {how}" for path, how in change.files])
    told = f"since commit {change.commit[:10]}: {files}" if change.commit else "no commit has the recorded code"
    yield Reason("code", f"code of {stage}", change.old, change.new, told)


def _dependency(dep: Any) -> Iterator[Reason]:
    from dvc.dependency.param import ParamsDependency

    path = str(dep.def_path)
    if isinstance(dep, ParamsDependency):
        for setting in find_settings(dict(dep.hash_info.value or {}), dep.read_params()):
            yield Reason("setting", f"{path}: {setting.key}", setting.old or "default", setting.new or "default")
        return
    state = dep.status().get(str(dep))
    if state is None:
        return
    old = _short(dep.hash_info)
    if not dep.exists:
        yield Reason("input", path, old, None, "it is gone")
        return
    yield Reason("input", path, old, _short(dep.get_hash()), _files(dep))


def _files(dep: Any) -> str:
    """Which files of a folder differ; empty for a file."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.tree import Tree

    if not dep.isdir() or not (dep.hash_info and dep.hash_info.isdir):
        return ""
    try:
        before = _hashes(Tree.load(dep.cache, dep.hash_info))
    except FileNotFoundError:  # of a folder that no stage writes, DVC keeps no list
        found = files_since(str(dep.hash_info.value), str(dep.def_path))
        return f"since commit {found[0][:10]}: {_some(found[1])}" if found else "DVC keeps no list of its old files"
    _, _, tree = build(dep.cache, dep.fs_path, dep.fs, dep.hash_name, ignore=dep.dvcignore, dry_run=True)
    after = _hashes(tree)
    told = [
        f"{name} {'added' if name not in before else 'removed' if name not in after else 'changed'}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return _some(told)


def _hashes(tree: Any) -> dict[str, str]:
    return {"/".join(key): info.value for key, _, info in tree}


def _output(out: Any) -> Iterator[Reason]:
    state, path = out.status().get(str(out)), str(out.def_path)
    if state is None:
        return
    lost = not out.hash_info or out.changed_cache()
    if not out.exists:
        told = "it is gone, from DVC's cache, too" if lost else "it is gone; DVC restores it from its cache"
        yield Reason("output", path, told=told, runs=lost)
    elif state == "not in cache":
        changed = bool(out.hash_info) and out.changed_checksum()
        yield Reason("output", path, told="lost from DVC's cache, and changed here" if changed else LOST, runs=changed)
    else:
        yield Reason("output", path, _short(out.hash_info), _short(out.get_hash()), _changed_output(out), runs=lost)


def _changed_output(out: Any) -> str:
    return ", ".join(filter(None, ("changed since the stage made it; DVC restores it from its cache", _files(out))))


def _short(info: Any) -> str | None:
    value = str(info.value) if info else ""
    return f"{value[:8]}{'.dir' if value.endswith('.dir') else ''}" if value else None


def _some(told: list[str], join: Callable[[list[str]], str] = ", ".join) -> str:
    more = len(told) - NAMED
    return join(told[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
