"""Does a change of a recipe help? `python -m benchmarks.experiment RECIPE --seeds 5 --set KEY=VALUE [--set …]`

The recipe and the change are trained with the same seeds, in turns, in scratch workspaces; what is compared is the
validation loss, in bits per byte where the task has them, so that no choice is made on the test split. Student's paired
t-test over the seeds; what enters a recipe has p < .01, and docs/experiments.md keeps what did not. The times are
those of the training alone; they compare on a machine that does nothing else.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True)
class Outcome:
    """One training."""

    loss: float
    seconds: float


@click.command()
@click.argument("recipe")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(2))
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="What is tried; may be given several times."
)
@click.option("--base", multiple=True, metavar="KEY=VALUE", help="Settings of both sides.")
def main(recipe: str, seeds: int, settings: tuple[str, ...], base: tuple[str, ...]) -> None:
    """Train RECIPE with and without the settings, with the same seeds, and compare the validation losses."""
    from flows.overrides import parse_set, require_values
    from tasks.stage.errors import GristmillError

    try:
        both, tried = (dict(map(parse_set, texts)) for texts in (base, settings))
        require_values(recipe, {**both, **tried})
        for line in compare(recipe, seeds, both, tried):
            click.echo(line)
    except GristmillError as error:
        sys.exit(str(error))


def compare(recipe: str, seeds: int, both: Mapping[str, Any], tried: Mapping[str, Any]) -> Iterator[str]:
    """Train both sides in turns; a line per seed, then the paired difference."""
    from flows.scratch_run import snapshot

    pairs: list[tuple[Outcome, Outcome]] = []
    with tempfile.TemporaryDirectory(prefix="gristmill-experiment-", dir=".dvc/tmp") as folder:
        now = snapshot(recipe, Path(folder) / "own", "python -m benchmarks.experiment", lambda line: None)
        for seed in range(now.recipe.train.seed, now.recipe.train.seed + seeds):
            sides = [{**both, "train.seed": seed}, {**both, **tried, "train.seed": seed}]
            order = (0, 1) if len(pairs) % 2 == 0 else (1, 0)  # a machine that slows down slows both sides down
            found = {side: _train(now, Path(folder) / f"{seed}-{side}", sides[side]) for side in order}
            pairs.append((found[0], found[1]))
            one, other = pairs[-1]
            yield (
                f"seed {seed}: {one.loss:.4f} → {other.loss:.4f}, {one.seconds:.1f} s → {other.seconds:.1f} s, "
                f"{other.loss - one.loss:+.4f}"
            )
    yield verdict(pairs)


def verdict(pairs: list[tuple[Outcome, Outcome]]) -> str:
    """The paired difference of the losses with its deviation and p-value, and the ratio of the times."""
    from scipy.stats import ttest_rel

    losses = [[one.loss for one, _ in pairs], [other.loss for _, other in pairs]]
    differences = [other - one for one, other in zip(*losses, strict=True)]
    ratio = statistics.median(other.seconds / one.seconds for one, other in pairs)
    return (
        f"mean {statistics.mean(losses[0]):.4f} → {statistics.mean(losses[1]):.4f}, difference "
        f"{statistics.mean(differences):+.4f} ± {statistics.stdev(differences):.4f} over {len(pairs)} seeds, "
        f"p = {float(ttest_rel(*losses).pvalue):.2g}, {ratio:.2f} times the time"
    )


def _train(now: Any, folder: Path, values: Mapping[str, Any]) -> Outcome:
    """Train in a workspace of its own, which is removed; a model from DVC's cache has no time of its own."""
    from flows.scratch_run import remove

    made = now.branch(folder, values, ["train"], lambda line: None)
    details = made.training()
    timing = next(made.data.glob("checkpoints/*/timing.json"), None)
    seconds = float("nan") if timing is None else json.loads(timing.read_text(encoding="utf-8"))["seconds"]
    remove(folder)
    return Outcome(details.get("validation_bits_per_byte", details["validation_loss"]), seconds)


if __name__ == "__main__":
    main()
