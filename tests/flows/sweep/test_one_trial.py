"""When a trial is pruned, and which errors are its own."""

import json
from pathlib import Path

import pytest

from flows.overrides import Over
from flows.runner import StageFailed
from flows.scratch_run import Workspace
from flows.sweep.one_trial import Curve, Pruned, _require_trial_to_blame
from flows.sweep.study import Found, Search, open_study
from tasks.stage.errors import EXIT_TRANSIENT, GristmillError, TransientError
from tasks.tracking.record import Journal

RATE = Over("train.optimizer.learning_rate", None, 1e-4, 1e-2, log=True)


class Shown:
    """Takes the curves in the place of MLflow's run."""

    def __init__(self, away: bool = False) -> None:
        self.away, self.times = away, 0

    def show(self, journal: Journal) -> None:
        """Count what comes. Raises TransientError if it is away."""
        self.times += 1
        if self.away:
            raise TransientError("MLflow does not answer")


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Five trials, each with the losses 3 at step 10 and 2 at step 20."""
    monkeypatch.chdir(tmp_path)
    one = Search(open_study("a", {}, steps=20), [RATE], 0, 20)
    for _ in range(5):
        trial = one.next()
        assert trial is not None
        trial.report(3.0, 10)
        trial.report(2.0, 20)
        one.tell(trial, Found("complete", 2.0, 20, 1.0), None)
    return one


def curve(search: Search, losses: dict[int, float], last: int, record: Shown) -> Curve:
    """A new trial after these evaluations; its training has come to the step `last`."""
    trial = search.next()
    assert trial is not None
    workspace = Workspace("tiny", Path("trial").absolute(), "gristmill sweep tiny")
    file = workspace.data / "checkpoints/5e/record.jsonl"
    file.parent.mkdir(parents=True)
    points = [(step, {"validation_loss": loss}) for step, loss in losses.items()] + [(last, {"loss": 9.0})]
    file.write_text("".join(json.dumps({"step": s, "time": 1.0, "metrics": m}) + "\n" for s, m in points))
    return Curve(workspace, trial, record)  # type: ignore[arg-type]


@pytest.mark.parametrize("over", [False, True])
def test_a_trial_is_pruned_where_it_is_worse_than_most_looked_at_in_time_or_at_its_end(
    search: Search, over: bool
) -> None:
    found = curve(search, {10: 4.0} | ({20: 1.0} if over else {}), 20 if over else 11, Shown())
    with pytest.raises(Pruned):
        found.read(over)
    assert found.last == (4.0, 10)


def test_a_trial_at_its_last_step_is_not_pruned(search: Search) -> None:
    found = curve(search, {10: 2.5, 20: 9.0}, 20, Shown())
    found.read(over=True)
    assert found.last == (9.0, 20)


def test_a_trial_goes_on_without_mlflow_until_its_end(search: Search) -> None:
    record = Shown(away=True)
    found = curve(search, {10: 2.5}, 11, record)
    found.read()
    found.read()
    assert found.last == (2.5, 10) and record.times == 1


class Bench:
    """What `_require_trial_to_blame` reads of a bench."""

    class own:
        workspace = Workspace("tiny", Path(), "gristmill sweep tiny --over a=1,2")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransientError("MLflow does not answer"), TransientError),
        (StageFailed("train@tiny", "the hub does not answer", EXIT_TRANSIENT), TransientError),
        (StageFailed("train@tiny", "data/tiny: no space left on the disk (x); nothing was changed", 2), GristmillError),
    ],
)
def test_what_no_trial_can_help_ends_the_sweep_and_names_the_way_on(error: GristmillError, kind: type) -> None:
    with pytest.raises(kind, match=r"finished trials are kept, and `gristmill sweep tiny --over a=1,2` goes on"):
        _require_trial_to_blame(Bench, error)  # type: ignore[arg-type]


def test_a_model_that_does_not_fit_into_memory_is_its_trial_s_fault() -> None:
    _require_trial_to_blame(Bench, StageFailed("train@tiny", "not enough memory", 2))  # type: ignore[arg-type]
