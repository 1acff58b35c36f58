"""The stage graph of `dvc.yaml` as DVC resolves it, and DVC's status of it.

DVC runs in this process: a status takes 0.25 s, the `dvc` command three times as long.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.stage.errors import GristmillError, TransientError
from tasks.stage.runtime import switch_off_telemetry

if TYPE_CHECKING:
    from dvc.repo import Repo

CODE = "code"
"""The stage that hashes the code of all others; it belongs to no recipe."""

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


@contextmanager
def opened() -> Iterator["Repo"]:
    """A fresh DVC repo of this folder, for several queries; its errors become GristmillError."""
    switch_off_telemetry()
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    if not Path("dvc.yaml").is_file():
        raise GristmillError("dvc.yaml: not found; run gristmill in the project's folder")
    try:
        with Repo(".") as repo:
            yield repo
    except NotDvcRepoError as error:
        raise GristmillError(".dvc: not found; run `git init`, then `dvc init`") from error
    except SCMError as error:
        raise GristmillError("this folder is not a git repository, which DVC needs; run `git init`") from error
    except DvcException as error:
        raise GristmillError(_sentence(error)) from error


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
    """Re-add unchanged outputs that DVC's cache has lost; otherwise DVC would rerun their stages.

    Returns the addresses of these stages. Raises TransientError as `changes` does.
    """
    with opened() as repo:
        found = _patiently(repo, lambda: _status(repo, addresses))
        kept = [
            stage.addressing for stage in repo.index.stages
            if _says_only_lost(found.get(stage.addressing, ()))
            and all(out.exists and not out.changed_checksum() for out in stage.outs)
        ]  # fmt: skip
        for address in kept:
            _patiently(repo, partial(repo.commit, target=address, force=True))
    return kept


def forget(recipe: str) -> None:
    """Remove the stages of a recipe from dvc.lock."""
    from dvc.dvcfile import Lockfile

    with opened() as repo:
        lock = Lockfile(repo, "dvc.lock")
        for stage in repo.index.stages:
            if _recipe_of(stage.addressing) == recipe and lock.exists():
                _patiently(repo, partial(lock.remove_stage, stage))


def restore(node: Node) -> list[str]:
    """Restore a stage's last good outputs from the cache: DVC removes them before it runs the stage.

    Touches missing outputs only. Returns those that it restored; raises TransientError as `changes` does.
    """
    missing = [out for out in node.outs if not Path(out).exists()]
    if not missing:
        return []
    with opened() as repo:
        recorded = {
            str(out.def_path) for stage in repo.index.stages for out in stage.outs
            if stage.addressing == node.address and out.hash_info
        }  # fmt: skip
        if known := [out for out in missing if out in recorded]:
            _patiently(repo, lambda: repo.checkout(targets=known, force=True, allow_missing=True))
    return [out for out in missing if Path(out).exists()]


def _nodes(repo: "Repo", recipe: str) -> list[Node]:
    import networkx

    graph = repo.index.graph
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
    stages = [stage for stage in repo.index.stages if stage.addressing in addresses]
    return {address: found for stage in stages for address, found in stage.status(check_updates=True).items()}


def _patiently(repo: "Repo", ask: Callable[[], Any]) -> Any:
    """Call `ask` under DVC's lock; waits up to PATIENCE for other DVC processes."""
    from dvc.lock import LockError
    from dvc.repo import lock_repo

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
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


def _sentence(error: BaseException) -> str:
    """DVC's message on one line, with its causes, which name the line of a broken file."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = " ".join(str(cause).split())
        if text and not any(text in part for part in parts):
            parts.append(text)
        cause = cause.__cause__
    sentence = ": ".join(parts) or type(error).__name__
    return sentence if "dvc.yaml" in sentence else f"dvc.yaml: {sentence}"
