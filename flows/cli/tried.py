"""`gristmill run --set`: the metrics of the settings that were tried, next to those of the recipe's own model."""

from collections.abc import Sequence
from typing import Any

from flows.summary import figure


def try_settings(recipe: str, given: Sequence[str]) -> None:
    """Try settings of a recipe and print what came of it. Raises what `try_out` raises, and for bad settings."""
    from flows.cli.tables import make_table, show
    from flows.overrides import parse_set, require_keys
    from flows.progress import bar_on_terminal
    from flows.tried import settings, try_out

    asked = [parse_set(text) for text in given]
    require_keys(recipe, [key for key, _ in asked])
    values = dict(asked)
    with bar_on_terminal():
        found = try_out(recipe, values, lambda line: print(line, flush=True))
    tried, own = (
        _figures(found.task, *of) for of in ((found.metrics, found.training), (found.own_metrics, found.own_training))
    )
    rows = [
        (name, figure(value), figure(own.get(name)), _difference(value, own.get(name))) for name, value in tried.items()
    ]
    show(
        make_table(
            ("", "tried", f"{recipe} as it is" if own else "", "difference" if own else ""),
            rows,
            right=("tried", "difference"),
        )
    )
    if not own:
        show(f"{recipe} has no up-to-date model of its own to compare with: gristmill run {recipe}")
    show(f"{recipe} with {' '.join(settings(values))}: run {found.run_id} in MLflow, which is never registered")
    show(f"to keep it, write it into recipes/{recipe}.yaml, then: gristmill run {recipe}; no stage runs twice")


def _figures(task: str, metrics: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """The metrics of the task, then the validation loss and the size of the training."""
    from tasks.register.beside import scores_of

    names = ("validation_loss", "parameters", "steps")
    return (scores_of(task, metrics) if metrics else {}) | {name: training[name] for name in names if name in training}


def _difference(value: float, own: float | None) -> str:
    if own is None or value == own:
        return ""
    return ("+" if value > own else "") + figure(value - own)
