"""`gristmill sweep`: search, then a table of the trials."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any


def sweep_recipe(
    recipe: str, overs: Sequence[str], given: Sequence[str], trials: int, minutes: float | None, parallel: int,
    name: str | None, seed: int, write: bool,
) -> None:  # fmt: skip
    """Search settings of a recipe and print what was found. Raises what `sweep` raises."""
    from flows.configured import server_is_configured
    from flows.overrides import parse_over, parse_set, require_keys, require_overs
    from flows.progress import bar_on_terminal, describe
    from flows.recipes import check
    from flows.temporary import temporary_server

    parsed, asked = tuple(parse_over(text) for text in overs), [parse_set(text) for text in given]
    require_keys(recipe, [*(key for key, _ in asked), *(over.key for over in parsed)])
    check(recipe)
    require_overs(recipe, parsed, dict(asked))
    options: dict[str, Any] = {"trials": trials, "minutes": minutes, "parallel": parallel, "name": name, "seed": seed}
    command = _command(recipe, overs, given, options, write)
    _warn_of_threads(parallel)
    with ExitStack() as started:
        started.enter_context(bar_on_terminal())
        starting = None if server_is_configured() else started.enter_context(temporary_server())
        describe("starting Prefect")
        from flows.sweep.work import Asked, sweep

        found = sweep(Asked(recipe, parsed, dict(asked), trials, minutes, parallel, name, seed, command), starting)
    _tell(recipe, found, write)


def _tell(recipe: str, found: Any, write: bool) -> None:
    from datetime import date

    from flows.cli.tables import make_table, show
    from flows.overrides import write_into
    from flows.sweep.outcome import comment, table, told_importance
    from flows.tried import settings

    columns, rows = table(found.trials)
    show(make_table(columns, rows, right=[name for name in columns if name]))
    show(told_importance(found.importance, found.trials))
    best = found.trials[0]
    show(f"sweep {found.name}: run {found.run_id} in MLflow, with a run below it for each trial")
    written = " ".join(settings(best.values))
    if write:
        write_into(recipe, best.values, comment(found.name, best, len(found.trials), date.today()))
        show(f"written into recipes/{recipe}.yaml: {written}; next: gristmill run {recipe}")
    else:
        show(f"best: {written}; --write puts it into recipes/{recipe}.yaml")


def _command(recipe: str, overs: Sequence[str], given: Sequence[str], options: dict[str, Any], write: bool) -> str:
    """The command that asks for the same again, which goes on with it."""
    words = ["gristmill", "sweep", recipe, *(word for text in overs for word in ("--over", text))]
    words += [word for text in given for word in ("--set", text)]
    default = {"trials": 20, "minutes": None, "parallel": 1, "name": None, "seed": 0}
    for option, value in options.items():
        if value != default[option]:
            words += [f"--{option}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join([*words, *(["--write"] if write else [])])


def _warn_of_threads(parallel: int) -> None:
    from flows.cli.tables import warn
    from tasks.stage.runtime import processors, workers

    if parallel > 1 and parallel * workers() > processors():
        share = max(1, processors() // parallel)
        warn(
            f"{parallel} trials at a time share {processors()} cores, each with {workers()} threads, as a run has; "
            f"GRISTMILL_WORKERS={share} is faster, and the best one then has the same loss as a recipe only under it"
        )
