"""`gristmill why-stale`: why the stages of a recipe would run again."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flows.why_stale import Stale

CODE = "code"


def tell_why_stale(recipe: str, as_json: bool) -> bool:
    """Print the stale stages and their reasons; returns whether one would run. Raises what `why_stale` raises."""
    from flows.why_stale import why_stale

    found = why_stale(recipe)
    if as_json:
        click.echo(json.dumps([stale.to_json() for stale in found], indent=2, ensure_ascii=False))
        return any(stale.runs for stale in found)
    if (sentence := _in_short(recipe, found)) is not None:
        click.echo(sentence)
        return any(stale.runs for stale in found)
    for stale in found:
        click.echo(f"{stale.address} {'would run' if stale.runs else 'would not run'}:")
        for reason in stale.reasons:
            click.echo(f"  {reason.sentence()}")
    if [stale.address for stale in found] == [CODE]:
        click.echo("only the stage `code` runs, in a second: the code of every other stage does the same as before")
    return any(stale.runs for stale in found)


def _in_short(recipe: str, found: Sequence["Stale"]) -> str | None:
    """One sentence where it says everything."""
    from flows.graph import LOCK
    from flows.why_stale import LOST, NEVER_RAN

    reasons = [reason for stale in found for reason in stale.reasons]
    if not found:
        return f"{recipe}: nothing is stale; `gristmill run {recipe}` would run no stage"
    if not LOCK.is_file():
        return (
            f"{LOCK}: missing, so every stage counts as never run; `git checkout {LOCK}` brings it back, or"
            f" `gristmill run {recipe}` writes it and takes from DVC's cache what it has"
        )
    own = [stale for stale in found if stale.address != CODE]
    if own and all(stale.reasons == (NEVER_RAN,) for stale in own):
        return f"{recipe}: never ran: {LOCK} does not know {', '.join(stale.address for stale in own)}"
    if all(reason.told == LOST for reason in reasons):
        return (
            f"{recipe}: nothing would run, but DVC's cache has lost the outputs of {len(found)} stages, which are here"
            f" unchanged; `gristmill run {recipe}` puts them back into the cache"
        )
    return None
