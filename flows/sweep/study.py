"""The trials of a sweep in Optuna's database: what to try next, what came of it, what is taken up again.

The database is `sweeps.db` beside the record in MLflow, or the team's: GRISTMILL_SWEEPS=postgresql://… . Trial n of a
sweep gets a sampler of its own, seeded by the sweep's seed and n, so what it tries depends on nothing but the trials
before it: one at a time, the same seed gives the same trials, however often the sweep was killed in between.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.overrides import Over
from flows.sweep.trials import State, Trial
from tasks.stage.errors import GristmillError, TransientError, one_line
from tasks.stage.redact import redact
from tasks.tracking.dead import place
from tasks.tracking.embedded import database_of, find_uri

if TYPE_CHECKING:
    import optuna

VARIABLE = "GRISTMILL_SWEEPS"
FILE = "sweeps.db"
PATIENCE = 60
"""Seconds to wait for another writer of the file."""
STRIDE = 100_003
"""Between the seeds of two sweeps; a prime beyond any number of trials."""
UNPRUNED = 5
"""Trials that go to their end before any is pruned: fewer medians say little."""
FORGOTTEN = "forgotten"
"""The attribute of a study with the numbers of trials that do not count."""
UNTOLD = 0.25
"""Share of a training in which nothing is pruned: its learning rate has just risen."""
STATES: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class Found:
    """How a trial ended."""

    state: State
    loss: float | None
    step: int
    seconds: float
    told: str = ""


class Search:
    """A study; see the module."""

    def __init__(self, study: "optuna.Study", overs: Sequence[Over], seed: int, trials: int) -> None:
        self.study, self.overs, self._seed = study, overs, seed
        choices = [over.choices for over in overs if over.choices is not None]
        covered = len(choices) == len(overs) and prod(map(len, choices)) <= trials
        self.grid = list(product(*choices)) if covered else []
        """Everything that can be tried, if the trials cover it."""
        self.wanted = len(self.grid) or trials
        before = [trial.number for trial in self.trials()]
        if before and all(trial.state == "failed" for trial in self.trials()):
            with _told():  # whoever starts again has changed something
                study.set_user_attr(FORGOTTEN, [*study.user_attrs.get(FORGOTTEN, []), *before])

    def trials(self) -> list[Trial]:
        """All trials, by number; without those of a start at which all failed, after which there was another."""
        with _told():
            found, forgotten = self.study.get_trials(deepcopy=False), self.study.user_attrs.get(FORGOTTEN, [])
        return [self._read(each) for each in found if each.state.name in STATES and each.number not in forgotten]

    def interrupted(self) -> "list[optuna.Trial]":
        """Trials that this project was at when it was killed."""
        import optuna

        with _told():
            running = self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING])
            mine = [each for each in running if each.user_attrs.get("place", place()) == place()]
            return [self._trial(each) for each in mine]

    def next(self) -> "optuna.Trial | None":
        """A new trial; None when there are as many as asked for."""
        import optuna

        with _told():
            known = self.trials()
            if len(known) >= self.wanted:
                return None
            number = len(self.study.get_trials(deepcopy=False))
            self._seed_for(number)
            if self.grid and not self.study.get_trials(states=[optuna.trial.TrialState.WAITING]):
                there = [tuple(trial.values.get(over.key) for over in self.overs) for trial in known]
                left = [values for values in self.grid if values not in there]
                if not left:
                    return None
                self.study.enqueue_trial(
                    {over.key: over.param(value) for over, value in zip(self.overs, left[0], strict=True)}
                )
            trial = self.study.ask()
            trial.set_user_attr("place", place())
        self.values(trial)  # here, while the sampler is that of this trial
        return trial

    def values(self, trial: "optuna.Trial") -> dict[str, Any]:
        """What a trial tries."""
        with _told():
            return {over.key: over.suggest(trial) for over in self.overs}

    def same(self, trial: "optuna.Trial", values: Mapping[str, Any]) -> Trial | None:
        """A finished trial of the same values."""
        found = (each for each in self.trials() if each.state == "complete" and each.number != trial.number)
        return next((each for each in found if each.values == dict(values)), None)

    def tell(self, trial: "optuna.Trial", found: Found, run_id: str | None) -> None:
        """Keep how a trial ended."""
        from optuna.trial import TrialState

        state = next(name for name, ours in STATES.items() if ours == found.state)
        with _told():
            for name, value in {
                "run_id": run_id,
                "step": found.step,
                "seconds": found.seconds,
                "told": found.told,
            }.items():
                trial.set_user_attr(name, value)
            self.study.tell(trial, found.loss if found.state == "complete" else None, TrialState[state])

    def _trial(self, frozen: "optuna.trial.FrozenTrial") -> "optuna.Trial":
        import optuna

        self._seed_for(frozen.number)
        trial = optuna.Trial(self.study, frozen._trial_id)
        self.values(trial)
        return trial

    def _seed_for(self, number: int) -> None:
        import optuna

        self.study.sampler = optuna.samplers.TPESampler(seed=(self._seed * STRIDE + number) % 2**32)

    def _read(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        kept, state = frozen.user_attrs, STATES[frozen.state.name]
        values = {over.key: over.value(frozen.params[over.key]) for over in self.overs if over.key in frozen.params}
        steps = frozen.intermediate_values
        loss = frozen.value if state == "complete" else steps[max(steps)] if steps else None
        step = int(kept.get("step") or max(steps, default=0))
        seconds, told = float(kept.get("seconds", 0)), str(kept.get("told", ""))
        return Trial(frozen.number, values, state, loss, step, seconds, kept.get("run_id"), told)


def open_study(name: str, asked: Mapping[str, Any], steps: int = 0) -> "optuna.Study":
    """The study of a sweep, which goes on or is new; `steps` is how long its trials train, 0 if unknown.

    Raises GristmillError if a sweep of this name searched something else, TransientError if its database is away.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    text = json.dumps(asked, sort_keys=True)
    with _told():
        file = _url().startswith("sqlite")
        storage = optuna.storages.RDBStorage(
            _url(),
            engine_kwargs={"connect_args": {"timeout": PATIENCE}} if file else {"pool_pre_ping": True},
        )
        pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=int(UNTOLD * steps))
        study = optuna.create_study(storage=storage, study_name=name, pruner=pruner, load_if_exists=True)
        before = study.user_attrs.get("asked")
        if before is None:
            study.set_user_attr("asked", text)
        elif before != text:
            old = json.loads(before)
            differ = ", ".join(key for key in asked if old.get(key) != asked[key]) or "its settings"
            raise GristmillError(
                f"--name {name}: this sweep differs from the one of this name in: {differ}; their trials cannot "
                "be compared: give another --name"
            )
    return study


def _url() -> str:
    if url := os.environ.get(VARIABLE):
        return url
    record = database_of(find_uri())
    return f"sqlite:///{(record.parent if record else Path()) / FILE}"


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors of the database into a sentence: TransientError if it is away or busy, else GristmillError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

    where = f"{VARIABLE}: {redact(_url())}" if os.environ.get(VARIABLE) else _url().removeprefix("sqlite:///")
    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        if not os.environ.get(VARIABLE):
            raise
        raise GristmillError(f"{where} is not the URL of a database: {redact(one_line(error))[:200]}") from error
    except ImportError as error:
        driver = getattr(error.__cause__ or error.__context__, "name", None) or "its driver"
        raise GristmillError(f"{where}: {driver} is not installed, which this database needs; install it") from error
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        reason = redact(one_line(error.__cause__ or error))[:200]
        passing = not _url().startswith("sqlite") or "locked" in reason or isinstance(error, OperationalError)
        kind = TransientError if passing else GristmillError
        raise kind(f"{where}: the trials of sweeps cannot be read or written: {reason}") from error
