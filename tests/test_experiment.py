"""The evidence that a setting needs before it enters a recipe."""

import sys
from pathlib import Path

import pytest

from benchmarks.experiment import Outcome, verdict
from tests.scratch import command, make_project


def test_what_all_seeds_agree_on_counts_and_luck_does_not() -> None:
    steady = [(Outcome(2.0 + luck, 10), Outcome(1.95 + luck + small, 12)) for luck, small in ((0.1, 0.001), (-0.1, 0))]
    assert verdict(steady) == (
        "mean 2.0000 → 1.9505, difference -0.0495 ± 0.0007 over 2 seeds, p = 0.0064, 1.20 times the time"
    )
    lucky = [(Outcome(2.0, 10), Outcome(1.8, 10)), (Outcome(2.0, 10), Outcome(2.1, 10))]
    assert "p = 0.8," in verdict(lucky)


@pytest.mark.slow
def test_both_sides_are_trained_with_the_same_seeds(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    command(project, "dvc", "repro", "tokenize@tiny")
    program = [sys.executable, "-m", "benchmarks.experiment", "tiny", "--seeds", "2"]
    root = str(Path(__file__).parents[1])
    seen = command(project, *program, "--set", "train.optimizer.learning_rate=0.01", PYTHONPATH=root)
    first, second, last = seen.stdout.splitlines()
    assert first.startswith("seed 0: ") and second.startswith("seed 1: ") and " over 2 seeds, p = " in last
