"""`gristmill why-stale`: why the stages of a recipe would run again."""

import json

import click


def tell_why_stale(recipe: str, as_json: bool) -> bool:
    """Print the stale stages and their reasons; returns whether one would run. Raises what `why_stale` raises."""
    from flows.why_stale import why_stale

    found = why_stale(recipe)
    if as_json:
        click.echo(json.dumps([stale.to_json() for stale in found], indent=2, ensure_ascii=False))
        return any(stale.runs for stale in found)
    for stale in found:
        click.echo(f"{stale.address} {'would run' if stale.runs else 'would not run'}:")
        for reason in stale.reasons:
            click.echo(f"  {reason.sentence()}")
    if not found:
        click.echo(f"{recipe}: nothing is stale; `gristmill run {recipe}` would run no stage")
    elif [stale.address for stale in found] == ["code"]:
        click.echo("only the stage `code` runs, in a second: the code of every other stage does the same as before")
    return any(stale.runs for stale in found)
