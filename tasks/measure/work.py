"""The stage `measure`: variant by variant, each in a process of its own."""

import json
import shutil
from pathlib import Path
from typing import Any

from tasks.compare.documents import read_documents
from tasks.compare.verdict import compare
from tasks.measure.speed import measure_speed
from tasks.stage.apart import run_apart
from tasks.stage.errors import EXIT_STOPPED, EXIT_TRANSIENT, DataError, TransientError
from tasks.stage.run import Job, Report, write_json
from tasks.stage.scratch import scratch
from tasks.stage.settings import read_yaml, recipe_path
from tasks.stage.task import FAMILIES, read_task

SCORES, METRICS = "scores.parquet", "metrics.json"


def measure(job: Job) -> Report:
    """Score all variants. Raises GristmillError for errors the user can fix."""
    task, variants = read_task(job.recipe), job.input("variants")
    settings = read_yaml(recipe_path(job.recipe)).get("evaluate") or {}
    own = read_documents(job.input("evaluation/scores.parquet"), task)
    value = _read(job.input("evaluation/metrics.json"))
    known = [metric for metric in FAMILIES[task].metrics if metric in value]
    made = _read(variants / "report.json")["details"]
    folder = job.output("measured")
    folder.mkdir()
    metrics = {"model": {"bytes": made["bytes"], **{metric: value[metric] for metric in known}}}
    details: dict[str, Any] = {}
    for name, facts in made["variants"].items():
        job.say(f"scoring {name}")
        _score(job.recipe, variants / name, folder / name)
        found = _read(folder / name / METRICS)
        metrics[name] = {"bytes": facts["bytes"], **{metric: found[metric] for metric in known}}
        scored = read_documents(folder / name / SCORES, task)
        compared = [compare(scored, own, metric, settings) for metric in known]
        details[name] = {each.metric: {**each.to_json(), "sentence": each.sentence()} for each in compared}
        job.say(f"{name}: {compared[0].sentence()}")
    models = {"model": job.input("model"), **{name: variants / name for name in details}}
    for name, found in measure_speed(job, models).items():
        job.say(f"{name}: {found['times_as_fast']:.2f} times as fast, {found['memory'] / 2**20:,.0f} MiB")
    write_json(job.output("measured.json"), metrics)
    return Report(received={"variants": len(details)}, produced={"variants": len(details)}, details=details)


def _score(recipe: str, model: Path, out: Path) -> None:
    """Score a variant as the stage `evaluate` scores the model. Raises DataError, TransientError, KeyboardInterrupt."""
    with scratch("measure") as folder:
        code, problem = run_apart("tasks.evaluate.rescore", recipe, str(model), str(folder / "scored"))
        if code == EXIT_STOPPED:
            raise KeyboardInterrupt
        if problem is not None:
            raise TransientError(problem) if code == EXIT_TRANSIENT else DataError(problem)
        shutil.copytree(folder / "scored", out)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of an earlier stage. Raises DataError if it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: missing or damaged; run the stage that writes it again") from error
