"""`gristmill noise`: the seeds and their spread as a table."""

from math import sqrt


def print_noise(recipe: str, seeds: int) -> None:
    """Measure the spread of a recipe over seeds and print it. Raises what `measure_noise` raises."""
    from scipy.stats import t

    from flows.cli.tables import make_table, show
    from flows.noise import measure_noise
    from flows.progress import bar_on_terminal

    with bar_on_terminal():
        found = measure_noise(recipe, seeds, lambda line: print(line, flush=True))
    spread, first = found.spread, found.seeds[0]
    rows = [
        (str(seed.seed), f"{seed.metrics[spread.metric]:.6g}", seed.run_id, "the recipe's own" if seed is first else "")
        for seed in found.seeds
    ]
    show(make_table(("seed", spread.metric, "run", ""), rows, right=("seed", spread.metric)))
    # The difference of two models has twice the variance of one; Student's t, as the deviation is an estimate.
    often = float(t.ppf(0.975, spread.seeds - 1)) * sqrt(2) * spread.deviation
    show(f"mean {spread.mean:.6g}, standard deviation {spread.deviation:.3g} over {spread.seeds} seeds")
    show(f"two models that differ by their seed alone differ by more than {often:.3g} in one of 20 cases")
    trained = f"{found.trained} trained now, {spread.seeds - found.trained} known"
    show(f"{recipe}: {trained}; the gate of `gristmill run {recipe}` takes the spread into account from now on")
