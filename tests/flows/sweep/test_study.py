"""What a sweep tries next, and what its database keeps of it when it is killed."""

from pathlib import Path

import pytest

from flows.overrides import Over
from flows.sweep.study import Found, Search, open_study
from tasks.stage.errors import GristmillError, TransientError

RATE = Over("train.optimizer.learning_rate", None, 1e-4, 1e-2, log=True)
SIZE = Over("model.config.hidden_size", (32, 48))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def search(name: str = "a", trials: int = 12, seed: int = 0, overs: tuple[Over, ...] = (RATE, SIZE)) -> Search:
    """A sweep as it is after a start: nothing but the database outlives it."""
    return Search(open_study(name, {"seed": seed}), overs, seed, trials)


def run(one: Search, most: int = 100, state: str = "complete") -> list[dict[str, object]]:
    """Run new trials, each with a loss that follows from its values."""
    found = []
    while len(found) < most and (trial := one.next()) is not None:
        values = one.values(trial)
        loss = abs(float(values.get(RATE.key, 0)) - 1e-3) * 1e3
        trial.report(loss, 5)
        one.tell(trial, Found(state, loss, 5, 1.0, "" if state == "complete" else "no memory"), f"run-{trial.number}")  # type: ignore[arg-type]
        found.append(values)
    return found


def test_the_same_seed_gives_the_same_trials_however_often_it_is_killed() -> None:
    whole = run(search("whole", trials=12))
    assert len(whole) == 12 and len({str(values) for values in whole}) == 12
    parts = []
    for most in (4, 100):
        one = search("parts", trials=12)
        parts += run(one, most)
        if (trial := one.next()) is not None:  # and killed while it trains
            one.values(trial)
            again = search("parts", trials=12)
            (taken,) = again.interrupted()
            values = again.values(taken)
            again.tell(taken, Found("complete", abs(float(values[RATE.key]) - 1e-3) * 1e3, 5, 1.0), None)
            parts.append(values)
    assert parts == whole
    assert run(search("other", trials=12, seed=1), 1) != whole[:1]


def test_a_trial_that_was_interrupted_keeps_its_values_and_its_place_in_the_count() -> None:
    one = search(trials=2)
    trial = one.next()
    assert trial is not None
    values = one.values(trial)
    again = search(trials=2)
    (taken,) = again.interrupted()
    assert again.values(taken) == values and taken.number == 0
    assert len(run(again)) == 1 and again.next() is None
    again.tell(taken, Found("complete", 2.0, 30, 4.0), "run")
    first = again.trials()[0]
    assert (first.state, first.loss, first.step, first.seconds, first.run_id) == ("complete", 2.0, 30, 4.0, "run")
    assert not again.interrupted()


def test_what_another_machine_is_at_is_not_taken_up() -> None:
    one = search()
    trial = one.next()
    assert trial is not None
    trial.set_user_attr("place", "elsewhere:/project")
    assert not search().interrupted()
    assert [found.state for found in search().trials()] == ["running"]


def test_choices_that_the_trials_cover_are_each_tried_once() -> None:
    sizes, norms = Over("a.size", (32, 48)), Over("a.norm", ("pre", None, [1, 2]))
    one = search(trials=20, overs=(sizes, norms))
    assert one.wanted == 6
    first = run(one, 4)
    rest = run(search(trials=20, overs=(sizes, norms)))
    assert [(values["a.size"], values["a.norm"]) for values in first + rest] == [
        (size, norm) for size in (32, 48) for norm in ("pre", None, [1, 2])
    ]
    assert search("fewer", trials=5, overs=(sizes, norms)).wanted == 5


def test_after_a_sweep_that_failed_as_a_whole_all_is_tried_again() -> None:
    run(search(trials=3), state="failed")
    again = search(trials=3)
    assert again.trials() == [] and len(run(again)) == 3
    assert [trial.state for trial in again.trials()] == ["complete"] * 3
    run(search(trials=5), 1, state="failed")  # beside complete ones, a failed one stays
    assert [trial.told for trial in search(trials=5).trials()] == ["", "", "", "no memory"]


def test_values_that_were_tried_are_known() -> None:
    one = search(trials=5, overs=(SIZE,))
    (values,) = run(one, 1)
    trial = one.next()
    assert trial is not None
    found = one.same(trial, values)
    assert found is not None and found.number == 0
    assert one.same(trial, {SIZE.key: 64}) is None


def test_trials_that_most_others_beat_are_pruned() -> None:
    one = search()
    run(one, 5)
    trial = one.next()
    assert trial is not None
    one.values(trial)
    trial.report(1e9, 5)
    assert trial.should_prune()


def test_a_name_stands_for_one_search() -> None:
    open_study("a", {"over": "x", "seed": 1})
    with pytest.raises(GristmillError, match=r"--name a: this sweep differs from the one of this name in: seed;"):
        open_study("a", {"over": "x", "seed": 2})


@pytest.mark.parametrize(
    ("url", "kind", "told"),
    [
        ("nothing", GristmillError, "GRISTMILL_SWEEPS: nothing is not the URL of a database"),
        ("oracle9://x", GristmillError, "GRISTMILL_SWEEPS: oracle9://x is not the URL of a database"),
        ("sqlite:///no/folder/a.db", TransientError, "unable to open database file"),
    ],
)
def test_a_database_that_is_not_there(url: str, kind: type, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_SWEEPS", url)
    with pytest.raises(kind, match=told):
        open_study("a", {})


def test_a_file_that_is_no_database_is_told() -> None:
    Path("sweeps.db").write_text("These are not the trials you are looking for." * 100)
    with pytest.raises(GristmillError, match=r"^sweeps\.db: .*not a database"):
        open_study("a", {})
