"""The stage graph of `dvc.yaml` as DVC resolves it, and DVC's status of it.

DVC runs in this process: a status takes 0.25 s, the `dvc` command three times as long.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cache import discard_damaged, discard_damaged_listings
from flows.locks import by_hardlinks, release_of_killed
from flows.sentences import as_sentence
from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.runtime import switch_off_telemetry

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

ALWAYS = "always changed"
"""DVC's only reason to run an unchanged stage with `always_changed`, or without dependencies."""

CODE = "code"
"""The stage that hashes the code of all others; it belongs to no recipe."""

LOCK = Path("dvc.lock")

PATIENCE = 15.0
"""Seconds to wait for another DVC process; DVC itself waits for 3 s per attempt."""


@dataclass(frozen=True)
class Node:
    """A stage of a recipe (`train@shakespeare`), or `code`; paths are relative to the project root."""

    address: str
    stage: str
    recipe: str
    outs: tuple[str, ...]
    upstream: tuple[str, ...]
    """Addresses of the stages whose outputs this one reads."""
    runs: bool = True
    """False for a frozen stage and for data without a command, whose outputs DVC only restores."""


@contextmanager
def opened() -> Iterator["Repo"]:
    """A fresh DVC repo of this folder, for several queries; its errors become GristmillError."""
    switch_off_telemetry()
    from dvc.repo import Repo

    if not Path("dvc.yaml").is_file():
        raise GristmillError("dvc.yaml: not found; run gristmill in the project's folder")
    try:
        with Repo(".") as repo:
            yield repo
    except GristmillError:
        raise
    except Exception as error:
        if (told := as_sentence(error)) is None:
            raise
        raise told from error


def read_graph(recipe: str) -> list[Node]:
    """The stages of a recipe and all upstream stages, other recipes included, in topological order.

    Raises GristmillError if `dvc.yaml` is broken, lacks the recipe, or is not in a git repository.
    """
    with opened() as repo:
        return _nodes(repo, recipe)


def changes(addresses: Sequence[str]) -> dict[str, str]:
    """Which of these stages DVC would run, each with a short reason. Like `dvc status`, runs nothing.

    Raises TransientError while another DVC process holds the lock.
    """
    with opened() as repo:
        found = _patiently(repo, lambda: _status(repo, addresses))
    return {address: _reasons(status) for address, status in found.items()}


def look(recipe: str, repo: "Repo") -> tuple[list[Node], dict[str, str]]:
    """`read_graph` and `changes` from one reading of dvc.yaml and dvc.lock. Raises what they raise."""

    def ask() -> tuple[list[Node], dict[str, Any]]:
        nodes = _nodes(repo, recipe)
        return nodes, _status(repo, [node.address for node in nodes])

    nodes, found = _patiently(repo, ask)
    return nodes, {address: _reasons(status) for address, status in found.items()}


def fill_cache(addresses: Sequence[str]) -> list[str]:
    """Re-add unchanged outputs that DVC's cache has lost or that are damaged there; otherwise their stages would rerun.

    Returns the addresses of these stages. Raises TransientError as `changes` does.
    """
    with opened() as repo:
        found = _patiently(repo, lambda: _status(repo, addresses))
        lost = [stage for stage in repo.index.stages if _says_only_lost(found.get(stage.addressing, ()))]
        discard_damaged(out for stage in lost for out in stage.outs)  # DVC would keep what is there
        kept = [
            stage.addressing for stage in lost if all(out.exists and not out.changed_checksum() for out in stage.outs)
        ]  # fmt: skip
        for address in kept:
            _patiently(repo, partial(repo.commit, target=address, force=True))
    return kept


def users(recipe: str) -> dict[str, str]:
    """The stages outside a recipe that read or write its data, each with the path."""
    with opened() as repo:
        folder = Path(repo.root_dir, "data", recipe)
        return {
            stage.addressing: Path(item.fs_path).relative_to(repo.root_dir).as_posix()
            for stage in repo.index.stages
            for item in (*stage.deps, *stage.outs)
            if _recipe_of(stage.addressing) != recipe and Path(item.fs_path).is_relative_to(folder)
        }


@contextmanager
def held(paths: Sequence[Path]) -> Iterator[None]:
    """Keep DVC from these paths for the length of a block. Raises TransientError if it works on them."""
    from dvc.lock import LockError
    from dvc.rwlock import rwlock

    with opened() as repo, ExitStack() as stack:
        Path(repo.tmp_dir).mkdir(exist_ok=True)
        places = [str(path.absolute()) for path in paths]
        try:
            stack.enter_context(rwlock(repo.tmp_dir, repo.fs, "gristmill", [], places, by_hardlinks(repo)))
        except LockError as error:
            raise TransientError(f"{paths[0]}: a DVC process works on it; wait for it to finish") from error
        yield


def edit_lock(change: Callable[[Any], object]) -> None:
    """Change the stages of dvc.lock, while no DVC process does; the rest of the file stays as it is written."""
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    def edit() -> None:
        if not LOCK.is_file():
            return
        text = LOCK.read_text(encoding="utf-8")
        content = parse_yaml_for_update(text, str(LOCK))
        change(content["stages"])
        if not content["stages"]:
            LOCK.unlink()
        elif (new := dumps_yaml(content)) != text:
            replace_text(LOCK, new)

    with opened() as repo:
        _patiently(repo, edit)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole, or leave the old one as it is."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        if path.exists():
            shutil.copymode(path, partial)
        partial.replace(path.resolve())
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def discard_damaged_of(node: Node) -> list[str]:
    """Remove damaged objects of a stage's outputs from the cache; returns these outputs. Reads all their bytes."""
    with opened() as repo:
        return discard_damaged(out for stage in _stages(repo, [node.address]) for out in stage.outs)


def discard_all_damaged_listings() -> bool:
    """Remove the damaged listings of all runs from the cache; returns whether there was one."""
    with opened() as repo:
        return discard_damaged_listings(Path(repo.cache.local.path))


def restore(node: Node, say: Callable[[str], None]) -> None:
    """Restore a stage's last good outputs from the cache: DVC removes them before it runs the stage.

    Touches missing outputs only, and says what it did. Raises TransientError as `changes` does.
    """
    missing = [out for out in node.outs if not Path(out).exists()]
    if not missing:
        return
    with opened() as repo:
        outs = [out for stage in _stages(repo, [node.address]) for out in stage.outs if str(out.def_path) in missing]
        damaged = discard_damaged(outs)
        known = [str(out.def_path) for out in outs if out.hash_info and not out.changed_cache()]
        if known:
            _patiently(repo, lambda: repo.checkout(targets=known, force=True, allow_missing=True))
            say(f"restored the outputs of the last good run: {', '.join(known)}")
    if damaged:
        say(f"DVC's cache had damaged copies of {', '.join(damaged)}, which cannot be restored: the stage has to run")


def _nodes(repo: "Repo", recipe: str) -> list[Node]:
    import networkx
    from dvc.repo.reproduce import get_active_graph

    graph = get_active_graph(repo.index.graph)  # nothing runs for a frozen stage
    stages = {stage.addressing: stage for stage in repo.index.stages}
    places = {address: place for place, address in enumerate(stages)}
    own = [stage for address, stage in stages.items() if _recipe_of(address) == recipe]
    if not own:
        known = ", ".join(dict.fromkeys(filter(None, map(_recipe_of, stages)))) or "none"
        raise GristmillError(
            f"dvc.yaml: vars.recipes: {recipe} is missing (available: {known}); "
            "add it, or create the recipe with `gristmill new`"
        )
    needed = set(own).union(*(networkx.descendants(graph, stage) for stage in own))  # an edge points upstream
    order = networkx.lexicographical_topological_sort(
        graph.subgraph(needed).reverse(), key=lambda stage: places[stage.addressing]
    )
    return [_node(stage, graph) for stage in order]


def _status(repo: "Repo", addresses: Collection[str]) -> dict[str, Any]:
    """DVC's status of these stages. `Repo.status` would read dvc.yaml and dvc.lock again for each of them."""
    stages = _stages(repo, addresses)
    discard_damaged((out for stage in stages for out in stage.outs), listings_only=True)  # DVC stumbles over them
    return {address: found for stage in stages for address, found in stage.status(check_updates=True).items()}


def _stages(repo: "Repo", addresses: Collection[str]) -> list["Stage"]:
    return [stage for stage in repo.index.stages if stage.addressing in addresses]


def _patiently(repo: "Repo", ask: Callable[[], Any]) -> Any:
    """Call `ask` under DVC's lock; waits up to PATIENCE for other DVC processes."""
    from dvc.lock import LockError
    from dvc.repo import lock_repo

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            release_of_killed(repo)
            with lock_repo(repo):
                return ask()
        except LockError as error:
            if time.monotonic() > deadline:
                raise TransientError("another DVC process is running in this folder; wait for it to finish") from error
            time.sleep(0.5)


def _node(stage: Any, graph: Any) -> Node:
    address = stage.addressing
    return Node(
        address=address,
        stage=address.partition("@")[0],
        recipe=_recipe_of(address),
        outs=tuple(str(out.def_path) for out in stage.outs),
        upstream=tuple(sorted(need.addressing for need in graph.successors(stage))),
        runs=bool(stage.cmd) and not stage.frozen,
    )


def _recipe_of(address: str) -> str:
    return address.partition("@")[2]


def _reasons(status: Iterable[Any]) -> str:
    reasons = []
    for part in status:
        if isinstance(part, dict):
            for what, paths in part.items():
                names = [f"{path} {how}" if isinstance(how, str) else str(path) for path, how in paths.items()]
                reasons.append(f"{what}: {', '.join(names)}")
        else:
            reasons.append(str(part))
    return "; ".join(reasons)


def _says_only_lost(status: Sequence[Any]) -> bool:
    """DVC reports this before it checks whether an output has changed or exists at all."""
    outs = [part.get("changed outs", {}) if isinstance(part, dict) and len(part) == 1 else {} for part in status]
    return bool(outs) and all(part and set(part.values()) == {"not in cache"} for part in outs)
