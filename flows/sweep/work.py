"""`gristmill sweep`: the whole, in order. A Prefect flow whose task runs are the trials."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import Task, flow, tags
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.api import end_killed, reachable_api, told_if_lost
from flows.overrides import Over, changed, require_overs
from flows.pipeline import console, result_of
from flows.recipes import check, listed_recipes, wanted_entry
from flows.scratch_run import Say, remove, snapshot
from flows.stage import place_of_run
from flows.stop import Stopped, last_stop, polled, stop_if_asked, stoppable, stopped_at
from flows.sweep.one_trial import Bench, Halted, run_trial
from flows.sweep.outcome import importance, picture, table
from flows.sweep.study import Search, open_study
from flows.sweep.trials import Trial, rank, title
from flows.temporary import TemporaryServer
from flows.workspace import claim
from tasks.stage.errors import GristmillError, RecipeError, TransientError
from tasks.stage.identity import fingerprint, hash_tree
from tasks.stage.settings import NAME, read_yaml, recipe_path

if TYPE_CHECKING:
    import optuna

    from tasks.recipe import Recipe

PLACE = Path(".dvc/tmp/gristmill-sweeps")
UNREAD = ("description", "evaluate", "register")
"""Sections on which no validation loss depends."""


@dataclass(frozen=True)
class Asked:
    """What is asked for."""

    recipe: str
    overs: tuple[Over, ...]
    fixed: dict[str, Any]
    """Settings that all trials have."""
    trials: int
    minutes: float | None
    parallel: int
    name: str | None
    seed: int
    command: str
    """The command that asks for it, and goes on with it."""


@dataclass(frozen=True)
class Swept:
    """What came of it."""

    name: str
    trials: list[Trial]
    """By rank."""
    importance: dict[str, float]
    run_id: str
    """Of the sweep in MLflow."""


def sweep(asked: Asked, starting: TemporaryServer | None) -> Swept:
    """Search as asked, or go on with it; on the configured Prefect server, or the one that is `starting`.

    Raises RecipeError for settings that the recipe cannot have; BusyWorkspace if another process is at this sweep;
    GristmillError if every trial fails; TransientError if a server is away: finished trials are kept; Stopped.
    """
    loaded = check(asked.recipe)
    overs = require_overs(asked.recipe, asked.overs, asked.fixed)
    searched = _searched(asked, overs, loaded)
    name = asked.name or f"{asked.recipe}-{fingerprint(searched)[:8]}"
    if not NAME.fullmatch(name):
        raise GristmillError(f"--name {name}: expected a lowercase letter, then lowercase letters, digits or dashes")

    def work() -> State[Any]:
        logger = get_run_logger()
        try:
            with (
                stoppable(again=True),
                told_if_lost(),
                claim(f"sweep@{name}", [], logger.info, str(flow_run.id)) as before,
            ):
                for dead in end_killed(before):
                    logger.warning("flow run %s was killed: it is now marked as crashed", dead)
                return Completed(message=name, data=_sweep(asked, overs, searched, name, loaded, logger.info))
        except GristmillError as error:
            return Failed(message=str(error), data=error)
        except KeyboardInterrupt as stop:
            return Cancelled(message=str(stop), data=stop)

    with reachable_api(starting), console(), tags(asked.recipe, "sweep"):
        as_flow = flow(name="gristmill sweep", flow_run_name=f"sweep {name}", persist_result=False)
        state: State[Any] = as_flow(work)(return_state=True)
        found = result_of(state)
    assert isinstance(found, Swept)
    return found


def _searched(asked: Asked, overs: Sequence[Over], loaded: "Recipe") -> dict[str, Any]:
    """All that the loss of a trial depends on but its settings, for the name of the sweep, and the settings' ranges."""
    from tasks.code.versions import find_versions

    content = changed(read_yaml(recipe_path(asked.recipe)), asked.fixed)
    for over in overs:
        content = changed(content, {over.key: None})
    read = sorted(filter(None, wanted_entry(asked.recipe, loaded, listed_recipes()).values()))
    return {
        "recipe": {key: value for key, value in content.items() if key not in UNREAD},
        "over": [asdict(over) for over in overs],
        "seed": asked.seed,
        "code": {stage: version for stage, version in find_versions().items() if stage != "evaluate"},
        "texts and bases": {path: hash_tree(Path(path)) for path in read if Path(path).exists()},
    }


def _sweep(
    asked: Asked, overs: Sequence[Over], searched: Mapping[str, Any], name: str, loaded: "Recipe", say: Say
) -> Swept:
    from tasks.register.sweep import close_sweep, open_sweep

    began = time.monotonic()
    search = Search(open_study(name, searched, loaded.train.steps or 0), overs, asked.seed, asked.trials)
    client, run = open_sweep(
        asked.recipe, name, {"over": {over.key: _told(over) for over in overs}, "seed": asked.seed}
    )
    folder = (PLACE / name).absolute()
    for old in folder.glob("inputs-*"):
        shutil.rmtree(old)
    own = snapshot(asked.recipe, folder / "own", asked.command, say)
    bench = Bench(name, folder, asked.recipe, loaded.task, own, dict(asked.fixed), client, run, asked.parallel == 1)
    done = sum(trial.state != "running" for trial in search.trials())
    say(f"{search.wanted} trials" + (f", {done} of them finished before" if done else ""))
    deadline = began + asked.minutes * 60 if asked.minutes else None
    try:
        _run_trials(bench, search, asked.parallel, deadline)
    except Stopped as stopped:
        stop = last_stop() or stopped  # a trial's, which says how far it came
        with suppress(TransientError):
            close_sweep(client, run, "KILLED", {}, {}, [])
        told = str(stop) if "goes on" in str(stop) else f"stopped; `{asked.command}` goes on"
        raise stopped_at(stop.number, told) from None
    found = rank(search.trials())
    complete = [trial for trial in found if trial.state == "complete"]
    shares = importance(search.study) if complete else {}
    files = _files(folder, found, shares, asked.recipe) if complete else []
    best = complete[0].values if complete else {}
    losses = {"validation_loss": complete[0].loss or 0.0} if complete else {}
    whole = len(found) >= search.wanted and not any(trial.state == "running" for trial in found)
    close_sweep(client, run, ("FINISHED" if complete else "FAILED") if whole else "KILLED", best, losses, files)
    if not whole:
        say(
            f"the time is up after {sum(trial.state != 'running' for trial in found)} trials; `{asked.command}` goes on"
        )
    else:
        shutil.rmtree(folder)
    if not complete:
        raise _none_complete(asked, found, whole)
    return Swept(name, found, shares, run.info.run_id)


def _run_trials(bench: Bench, search: Search, parallel: int, deadline: float | None) -> None:
    """Run interrupted trials again, then new ones. Raises what ends a trial without a result; it ends the others."""
    waiting = search.interrupted()
    running: set[Future[State[Any]]] = set()
    with polled(), ThreadPoolExecutor(parallel) as pool:
        try:
            while True:
                stop_if_asked()
                while len(running) < parallel and (deadline is None or time.monotonic() < deadline):
                    trial = waiting.pop(0) if waiting else search.next()
                    if trial is None:
                        break
                    running.add(pool.submit(copy_context().run, partial(_as_task(trial), bench, search, trial)))
                if not running:
                    return
                ended, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in ended:
                    result_of(future.result())
        except BaseException:
            bench.halt.set()
            raise


def _as_task(trial: "optuna.Trial") -> Callable[..., State[Any]]:
    """A trial as a task run of the flow."""
    name = f"trial {trial.number + 1}"
    task: Any = Task(_try, name="trial", task_run_name=name, cache_policy=NO_CACHE, persist_result=False)
    return partial(task, return_state=True)


def _try(bench: Bench, search: Search, trial: "optuna.Trial") -> State[Any]:
    """Run a trial and keep how it ended; the state's data is an exception if it ended without a result."""
    say, values = get_run_logger().info, search.values(trial)
    say(f"trial {trial.number + 1} of {search.wanted}: {title(values)}")
    try:
        found, run_id = run_trial(bench, trial, values, search.same(trial, values), place_of_run(), say)
        search.tell(trial, found, run_id)
        remove(bench.workspace(trial.number).folder)
    except KeyboardInterrupt as stop:
        return Cancelled(message=str(stop), data=stop)
    except Halted as error:
        return Cancelled(message="the sweep ends", data=error)
    except GristmillError as error:
        return Failed(message=str(error), data=error)
    if found.state == "failed":
        say(f"trial {trial.number + 1} failed: {found.told}")
        return Failed(message=found.told, data=found)
    best = next(iter(each for each in rank(search.trials()) if each.state == "complete"), None)
    beside = "" if best is None else f"; best {best.loss:.4f}, trial {best.number + 1}"
    reached = "" if found.loss is None else f", validation loss {found.loss:.4f} at step {found.step:,}"
    say(f"trial {trial.number + 1}: {found.state}{reached}{beside}")
    return Completed(
        name="Completed" if found.state == "complete" else "Pruned", message=f"{found.state}{reached}", data=found
    )


def _files(folder: Path, trials: list[Trial], shares: Mapping[str, float], recipe: str) -> list[Path]:
    """The table and the picture, to keep with the sweep."""
    import csv

    columns, rows = table(trials)
    listed, drawn = folder / "trials.csv", folder / "trials.png"
    with listed.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    drawn.write_bytes(picture(trials, shares, recipe))
    return [listed, drawn]


def _none_complete(asked: Asked, trials: list[Trial], whole: bool) -> GristmillError:
    told = f"{asked.recipe}: none of {len(trials)} trials reached its end"
    if not whole:
        return GristmillError(f"{told} in time; `{asked.command}` goes on")
    first, reasons = min(trials, key=lambda trial: trial.number), {trial.told for trial in trials}
    return RecipeError(f"{told}; {'all' if len(reasons) == 1 else 'the first'}: {first.told}")


def _told(over: Over) -> str:
    if over.choices is not None:
        return ", ".join(map(str, over.choices))
    return f"{over.low} to {over.high}{', by its logarithm' if over.log else ''}"
