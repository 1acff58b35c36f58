"""What a sweep found: the order of trials, the table, the importance of settings, the picture."""

import io
import math
import re
from datetime import date
from typing import Any

import optuna
import pytest

from flows.overrides import parse_over
from flows.sweep.outcome import _Scale, comment, importance, picture, table, told_importance
from flows.sweep.trials import State, Trial, rank, short_keys, title

RATE, WIDTH, SHAPE = "train.optimizer.learning_rate", "model.config.hidden_size", "train.schedule.name"


def trial(number: int, loss: float | None, state: State = "complete", step: int = 30, **more: Any) -> Trial:
    return Trial(number, {RATE: 10.0 ** -(1 + number % 3), WIDTH: 32}, state, loss, step, 61.0, f"r{number}", **more)


TRIALS = [
    trial(0, 3.5),
    trial(1, 3.25),
    trial(2, 3.9, "pruned", 10),
    trial(3, 4.0, "pruned", 20),
    trial(4, None, "failed", 0, told="train.steps: too many"),
    trial(5, 3.25),
    trial(6, None, "running", 0),
]


def test_trials_are_ranked() -> None:
    assert [t.number for t in rank(TRIALS)] == [1, 5, 0, 3, 2, 4, 6]
    assert [t.number for t in rank([trial(0, math.inf), trial(1, 9.0)])] == [1, 0]


def test_names_are_as_short_as_they_can_be() -> None:
    keys = [RATE, "train.optimizer.betas.0", SHAPE, "train.optimizer.name", "clean.min_words", "clean.target.min_words"]
    assert list(short_keys(keys).values()) == [
        "learning_rate", "betas.0", "schedule.name", "optimizer.name", "clean.min_words", "target.min_words",
    ]  # fmt: skip
    assert title({RATE: 0.0021, WIDTH: 128, SHAPE: None}) == "learning_rate 0.0021, hidden_size 128, schedule.name null"


def test_the_table_tells_what_each_trial_came_to() -> None:
    columns, rows = table(TRIALS)
    assert columns == ["", "trial", "learning_rate", "hidden_size", "validation loss", "step", "time", ""]
    assert rows[0] == ["1", "2", "0.01", "32", "3.2500", "30", "1 min 01 s", ""]
    assert [row[0] for row in rows] == ["1", "2", "3", "", "", "", ""]
    assert [row[-1] for row in rows[3:]] == ["pruned", "pruned", "train.steps: too many", "running"]
    assert rows[5][4:6] == ["", ""]


def test_the_comment_for_the_recipe() -> None:
    told = comment("wide", rank(TRIALS)[0], 7, date(2026, 11, 28))
    assert told == "by the sweep wide, trial 2 of 7, validation loss 3.25, 2026-11-28"


def studied(count: int, *texts: str) -> tuple[optuna.Study, list[Trial]]:
    """A study whose loss depends on the rate, and a tenth as much on the width."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    overs, trials = [parse_over(text) for text in texts], []
    for number in range(count):
        asked = study.ask()
        values = {over.key: over.suggest(asked) for over in overs}
        loss = 3 + (math.log10(values.get(RATE, 0.01)) + 3) ** 2 + 0.1 * (values.get(WIDTH) == 64)
        study.tell(asked, loss)
        trials.append(Trial(number, values, "complete", loss, 30, 1.0, None))
    return study, trials


OVERS = (f"{RATE}=1e-4..1e-1:log", f"{WIDTH}=32,64", f"{SHAPE}=wsd,cosine")


def test_the_setting_that_matters_is_the_most_important() -> None:
    study, trials = studied(30, *OVERS)
    found = importance(study)
    assert next(iter(found)) == RATE and found[RATE] > 0.8 > 0.2 > found[SHAPE]
    assert sum(found.values()) == pytest.approx(1)
    assert told_importance(found, trials).startswith(f"importance: learning_rate {found[RATE]:.0%}, ")


@pytest.mark.parametrize(
    ("count", "overs", "told"),
    [
        (9, OVERS, "importance: needs 10 complete trials, and there are 9"),
        (12, OVERS[:1], "importance: with one setting, all of the difference is its own or chance"),
        (12, (OVERS[0], f"{WIDTH}=32"), "importance: none, since the trials differ in one setting at most"),
        (12, (*OVERS[2:], "train.seed=1..9"), "importance: none, .* or their losses are all the same"),
        (0, OVERS, "importance: with one setting"),
    ],
)
def test_no_importance_where_it_would_be_no_figure(count: int, overs: tuple[str, ...], told: str) -> None:
    study, trials = studied(count, *overs)
    assert importance(study) == {}
    assert re.match(told, told_importance({}, trials))


def test_the_picture_is_the_same_each_time_and_has_an_axis_per_setting() -> None:
    from matplotlib.image import imread

    study, trials = studied(12, *OVERS)
    drawn = picture(trials, importance(study), "tiny")
    assert drawn == picture(trials, importance(study), "tiny")
    narrow = picture(studied(12, OVERS[0])[1], {})
    assert imread(io.BytesIO(drawn)).shape[1] > imread(io.BytesIO(narrow)).shape[1]


def test_numbers_of_a_range_stand_where_they_belong() -> None:
    """Also those of few trials: at the same distances they would mislead."""
    spread = _Scale.of([1e-4, 1e-2, 1.5e-4])
    assert [round(spread.place(value, 0), 2) for value in (1e-4, 1.5e-4, 1e-3, 1e-2)] == [0, 0.09, 0.5, 1]
    assert {"0.0001", "0.001", "0.01"} <= set(spread.ticks.values())
    assert _Scale.of([0.1, 0.3, 0.2]).place(0.2, 5) == pytest.approx(0.5)
    assert list(_Scale.of([128, 192, 128]).ticks.values()) == ["128", "192"]
    diverged = _Scale.of_losses([3.0, 3.1, 3.2, 9.0, math.inf])
    assert [round(diverged.place(loss, 0), 2) for loss in (3.0, 3.2, 9.0, math.inf)] == [0, 0.33, 1, 1]
    assert diverged.ticks[1.0] == "≥ 3.6"


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(0, None, "failed", 0, told="x")],
        [trial(0, 3.0)],
        [trial(0, 3.0), trial(1, math.nan), trial(2, math.inf), trial(3, 900.0)],
        [trial(0, 3.0), Trial(1, {RATE: None, SHAPE: [0.9, "$x$"]}, "complete", 3.0, 1, 1.0, None)],
        [trial(0, 3.0, "pruned"), trial(1, None, "running")],
    ],
)
def test_a_picture_of_anything(trials: list[Trial]) -> None:
    assert picture(trials, {}).startswith(b"\x89PNG")
