"""Completes the MLflow run of a training from the outputs of the stages.

Adds what is missing and keeps what exists, so it can run again at any time (after a server outage, or after `mlflow.db`
and `mlruns/` were deleted) and gives the same record. Parameters come only from the sections that made the model,
because MLflow parameters are immutable. The current recipe, with the settings of the evaluation, is an artifact; the
settings behind a score are in its signature.
"""

import csv
import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.changes.manifest import write_manifests
from tasks.changes.record import installed
from tasks.register.artifacts import find_files, holds, mark
from tasks.register.card import model_card
from tasks.register.provenance import settle_provenance
from tasks.register.results import LOCK, Results
from tasks.register.scores import measured, rest
from tasks.stage.errors import DataError
from tasks.stage.identity import fingerprint, hash_file
from tasks.stage.scratch import scratch
from tasks.stage.settings import recipe_path
from tasks.tracking.client import (
    VIEW,
    end_dead_runs,
    find_or_create_run,
    flatten,
    log_parameters,
    log_tags,
    logged_points,
)
from tasks.tracking.provenance import files_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

SECTIONS = ("task", "ingest", "validate", "clean", "tokenize", "model", "train")
SIZE = "model_parameters"
"""The number of parameters, a parameter of the run: as a metric it would be a chart with one dot."""
MEASURES = {"steps": "training_steps", "tokens_seen": "training_tokens"}
TIMINGS = {
    "seconds": "training_seconds",
    "tokens_per_second": "training_tokens_per_second",
    "checkpoint_seconds": "training_checkpoint_seconds",
    "checkpoint_waited": "training_checkpoint_waited",
}
ARTIFACTS = "gristmill.artifacts"
"""The tag with the hash of all artifacts; unchanged ones are not sent again."""

FOLDERS = ("validation", "evaluation")
FILES = {
    "base/report.json": "reports/base.json",
    "raw/report.json": "reports/ingest.json",
    "valid/report.json": "reports/validate.json",
    "clean/report.json": "reports/clean.json",
    "clean/funnel.png": "clean/funnel.png",
    "tokens/report.json": "reports/tokenize.json",
    "training/report.json": "reports/train.json",
    "training/history.csv": "training/history.csv",
    "variants/report.json": "reports/compress.json",
    "measured/report.json": "reports/measure.json",
    "exported/report.json": "reports/export.json",
}
"""Path under data/<recipe>/ → path in the run."""


def sync_run(client: "MlflowClient", results: Results) -> "Run":
    """Find or create the run, add missing parameters, tags, curves, data sets and artifacts, and mark it finished."""
    journal = results.journal
    run = find_or_create_run(client, results.recipe, results.identity, journal.started)
    end_dead_runs(client, results.recipe, run)
    resolved = results.training["settings"]
    made_by = {key: results.settings[key] for key in SECTIONS if key in results.settings and key not in resolved}
    size = {SIZE: str(results.training["parameters"])} if "parameters" in results.training else {}
    log_parameters(client, run, journal.parameters | flatten(resolved) | flatten(made_by) | size)
    unknown = {key: value for key, value in journal.tags.items() if key not in run.data.tags}
    log_tags(client, run, unknown | _tags(results) | settle_provenance(client, run, results))
    client.log_batch(run.info.run_id, metrics=list(_missing_points(client, run, results)))
    _log_datasets(client, run, results)
    _log_artifacts(client, run, results)
    if run.info.status != "FINISHED":
        last = max((when for _, when in journal.points.values()), default=time.time())
        client.set_terminated(run.info.run_id, "FINISHED", end_time=round(last * 1000))
    return client.get_run(run.info.run_id)


def log_scores(client: "MlflowClient", run: "Run", results: Results, model_id: str) -> None:
    """Log new numbers of evaluation and training as metrics of the run and of its model."""
    from mlflow.entities import Metric

    test = next((dataset for dataset in results.datasets if dataset.context == "test"), None)
    measured_on = {"dataset_name": test.path, "dataset_digest": test.digest} if test else {}
    step = int(results.training.get("steps") or 0)
    now = round(time.time() * 1000)
    new = [
        Metric(key, value, now, step, model_id=model_id, **(measured_on if key.startswith("test_") else {}))
        for key, value in scores(results).items()
        if run.data.metrics.get(key) != value
    ]
    client.log_batch(run.info.run_id, metrics=new)
    _show_in_runs_table(client, run, results)


def _show_in_runs_table(client: "MlflowClient", run: "Run", results: Results) -> None:
    """Give the experiment a view whose columns are the headline metric and its baselines."""
    best = measured(results.task, results.metrics)[0]
    names = [f"test_{best.metric}", *(f"test_{best.metric}_{name}" for name in best.baselines), "validation_loss"]
    view = json.dumps({"selectedColumns": [f"metrics.`{name}`" for name in names]})
    key = f"mlflow.sharedViewState.{VIEW}"
    if client.get_experiment(run.info.experiment_id).tags.get(key) != view:
        client.set_experiment_tag(run.info.experiment_id, key, view)


def scores(results: Results) -> dict[str, float]:
    """All scalars under their names in MLflow; see `tasks.tracking.record`."""
    named = {f"test_{name}": float(number) for name, number in rest(results.task, results.metrics).items()}
    for found in measured(results.task, results.metrics):
        named[f"test_{found.metric}"] = found.value
        named |= zip((f"test_{found.metric}_low", f"test_{found.metric}_high"), found.interval or (), strict=False)
        named |= {f"test_{found.metric}_{name}": value for name, value in found.baselines.items()}
        gain = f"test_{found.metric}_gain"
        named |= {} if found.gain is None else {gain: found.gain}
        named |= zip((f"{gain}_low", f"{gain}_high"), found.gain_interval or (), strict=False)
    for source, names in ((results.training, MEASURES), (results.timing, TIMINGS)):
        named |= {name: float(source[key]) for key, name in names.items() if isinstance(source.get(key), (int, float))}
    for variant, numbers in results.variants.items():
        named |= {f"variant_{variant}_{name}": value for name, value in numbers.items() if variant != "model"}
    return named


def _tags(results: Results) -> dict[str, str]:
    description = str(results.settings.get("description") or "").strip()
    timing = {key: value for key, value in results.timing.items() if isinstance(value, str)}
    base, origin = results.base, results.timing.get("continued_from")
    return {
        "gristmill.signature": results.signature,
        "gristmill.model_sha256": results.model_sha256,
        "gristmill.precision": str(results.training.get("precision", "")),
        **{f"gristmill.timing.{key}": value for key, value in timing.items()},
        **({"gristmill.continued_from": json.dumps(origin)} if origin else {}),
        **({"gristmill.base": base.title} if base else {}),
        **({"gristmill.base_identity": base.identity} if base and base.identity else {}),
        **({"mlflow.note.content": description} if description else {}),
    }


def _missing_points(client: "MlflowClient", run: "Run", results: Results) -> Iterator["Metric"]:
    """Points of the journal, which has their times; history.csv fills in what the journal lost."""
    from mlflow.entities import Metric

    known = logged_points(client, run)
    for (key, step), (value, when) in results.journal.points.items():
        if (key, step) not in known:
            known.add((key, step))
            yield Metric(key, value, round(when * 1000), step)
    for step, row in read_history(results.folder / "training" / "history.csv"):
        for key, value in row.items():
            if (key, step) not in known:
                yield Metric(key, value, run.info.start_time, step)


def read_history(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """(step, metrics) of each row of history.csv; empty cells were not measured. Raises DataError."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                yield int(row.pop("step")), {key: float(value) for key, value in row.items() if value not in ("", None)}
            except (KeyError, ValueError, TypeError) as error:
                raise DataError(f"{path} line {number}: expected a step and its metrics: {error}") from error


def _log_datasets(client: "MlflowClient", run: "Run", results: Results) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    known = {(item.dataset.name, item.dataset.digest) for item in (run.inputs.dataset_inputs if run.inputs else ())}
    new = []
    for data in results.datasets:
        if (data.path, data.digest) in known:
            continue
        kind, value = ("dvc_md5", data.md5) if data.md5 else ("sha256", str(data.sha256))
        entity = Dataset(
            data.path, data.digest, source_type="local", source=json.dumps({"uri": data.path}),
            profile=json.dumps(_profile(Path(data.path))),
        )  # fmt: skip
        new.append(DatasetInput(entity, [InputTag("mlflow.data.context", data.context), InputTag(kind, str(value))]))
    if new:
        client.log_inputs(run.info.run_id, new)


def _profile(path: Path) -> Mapping[str, Any]:
    if (index := path / "index.json").is_file():
        content = json.loads(index.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("documents", "tokens", "text_bytes") if key in content}
    from tasks.formats.corpus import count_documents

    return {"documents": count_documents(path)} if any(path.glob("part-*.parquet")) else {}


def _log_artifacts(client: "MlflowClient", run: "Run", results: Results) -> None:
    files = _artifact_files(results)
    texts = {"README.md": model_card(results), "environment/requirements.txt": installed()}
    state = fingerprint({**{name: hash_file(path) for name, path in files.items()}, **texts})
    run_id, uri = run.info.run_id, run.info.artifact_uri
    with scratch("register") as folder:
        for name in (*files, *texts):
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if name in texts:
                place.write_text(texts[name], encoding="utf-8")
            else:
                place.symlink_to(files[name].resolve())  # MLflow copies the target
        wanted = {name: mark(folder / name, uri) for name in (*files, *texts)}
        there = find_files(uri, partial(client.list_artifacts, run_id))
        if run.data.tags.get(ARTIFACTS) == state and holds(there, wanted):
            return
        client.log_artifacts(run_id, str(folder))
    client.set_tag(run_id, ARTIFACTS, state)


def _artifact_files(results: Results) -> dict[str, Path]:
    """Name in the run → existing file."""
    recipe = recipe_path(results.recipe)
    files = {LOCK.name: LOCK, "dvc.yaml": Path("dvc.yaml"), f"recipes/{recipe.name}": recipe}
    files |= {name: results.folder / source for source, name in FILES.items()}
    for name in FOLDERS:
        folder = results.folder / name
        files |= {f"{name}/{p.relative_to(folder).as_posix()}": p for p in sorted(folder.rglob("*")) if p.is_file()}
    files |= files_of(results.recipe, results.identity)
    return {name: path for name, path in files.items() if path.is_file()} | write_manifests(results.folder)
