"""`gristmill reproduce`: rebuild a recorded run and compare it byte by byte."""

import sys
from typing import NoReturn

import click


def reproduce_run(
    run: str, stages: str | None, start: str | None, steps: int | None, tolerance: float | None, keep: bool
) -> NoReturn:  # fmt: skip
    """Print a verdict for each stage, write it to the run, and exit with its code.

    Raises GristmillError for errors that the user can fix.
    """
    from flows.reproduce.tell import as_json, exit_code, lines, summary
    from flows.reproduce.work import Asked, reproduce
    from tasks.register.reproduction import log_verdict

    names = tuple(filter(None, (name.strip() for name in (stages or "").split(","))))
    asked = Asked(run, names, start, steps, tolerance, keep)
    found = reproduce(asked, lambda line: click.echo(line, err=True))
    for line in lines(found):
        click.echo(line)
    log_verdict(found.recorded, as_json(found, asked), summary(found), found.whole)
    sys.exit(exit_code(found))
