"""The outputs of all stages of a recipe, read once for the record and the model card."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.formats.usage import Usage, read_usage
from tasks.register.base import Base, read_base
from tasks.register.scores import scalars
from tasks.stage.errors import DataError
from tasks.stage.identity import fingerprint, hash_file, hash_tree
from tasks.stage.run import DATA, checkpoints_of
from tasks.stage.settings import read_yaml, recipe_path
from tasks.stage.task import model_class, read_task
from tasks.tracking.record import Journal, journal_path, read_journal

LOCK = Path("dvc.lock")
DATASETS = {
    "base": "base", "raw": "source", "tokens/train": "training", "tokens/validation": "validation",
    "clean/test": "test",
}  # fmt: skip
"""Folders with the data of training and evaluation → their context in MLflow."""


@dataclass(frozen=True)
class Dataset:
    """An input of the model with its content hash."""

    path: str
    context: str
    md5: str | None
    """DVC's hash from dvc.lock; a directory's ends with `.dir`."""
    sha256: str | None
    """Our hash, if dvc.lock has none."""

    @property
    def digest(self) -> str:
        """The hash, cut to MLflow's maximum of 36 characters."""
        return self.md5 or str(self.sha256)[:36]


@dataclass(frozen=True)
class Results:
    """All facts about a trained and evaluated model."""

    recipe: str
    task: str
    settings: dict[str, Any]
    identity: str
    base: Base | None
    """The pretrained model, or None from scratch."""
    usage: Usage
    architecture: str
    """`model_type` in `transformers`."""
    model_class: str
    """The class of `transformers` that loads it."""
    training: dict[str, Any]
    """`details` of training/report.json."""
    evaluation: dict[str, Any]
    """`details` of evaluation/report.json."""
    metrics: dict[str, float]
    variants: dict[str, dict[str, float]]
    """Bytes and metrics of the model (`model`) and its variants, and their speed where it was measured; empty
    without."""
    compared: dict[str, dict[str, Any]]
    """Of each variant, by metric, its comparison with the model: the fields of `tasks.compare.verdict.Comparison`."""
    signature: str
    samples: list[dict[str, Any]]
    timing: dict[str, Any]
    datasets: list[Dataset]
    model_sha256: str
    journal: Journal

    @property
    def folder(self) -> Path:
        """`data/<recipe>`."""
        return DATA / self.recipe


def read_results(recipe: str) -> Results:
    """Read all outputs. Raises DataError for a missing or damaged file."""
    settings, task = read_yaml(recipe_path(recipe)), read_task(recipe)
    folder = DATA / recipe
    training = _read_details(folder / "training" / "report.json", recipe)
    scores = _read_json(folder / "evaluation" / "metrics.json", recipe)
    config = _read_json(folder / "model" / "config.json", recipe)
    identity = training.get("identity")
    if not isinstance(identity, str):
        raise DataError(f"{folder}/training/report.json: details.identity: missing")
    timing = checkpoints_of(recipe, identity) / "timing.json"
    return Results(
        recipe=recipe,
        task=task,
        settings=settings,
        identity=identity,
        base=read_base(folder / "base"),
        usage=read_usage(folder / "model"),
        architecture=str(config.get("model_type", "")),
        model_class=model_class(task, bool(config.get("is_encoder_decoder"))),
        training=training,
        evaluation=_read_details(folder / "evaluation" / "report.json", recipe),
        metrics=scalars(scores),
        variants=_variants(folder, recipe) if settings.get("compress") else {},
        compared=_read_details(folder / "measured" / "report.json", recipe) if settings.get("compress") else {},
        signature=str(scores.get("signature", "")),
        samples=_read_json(folder / "evaluation" / "samples.json", recipe, list),
        timing=_read_json(timing, recipe) if timing.is_file() else {},
        datasets=_datasets(folder),
        model_sha256=_hash_weights(folder / "model"),
        journal=read_journal(journal_path(recipe, identity)),
    )


def _variants(folder: Path, recipe: str) -> dict[str, dict[str, float]]:
    content: dict[str, dict[str, Any]] = _read_json(folder / "measured.json", recipe)
    speed = folder / "speed.json"
    paces: dict[str, Any] = _read_json(speed, recipe) if speed.is_file() else {}
    return {name: scalars({**numbers, **paces.get(name, {})}) for name, numbers in content.items()}


def _read_details(path: Path, recipe: str) -> dict[str, Any]:
    details = _read_json(path, recipe).get("details")
    if not isinstance(details, dict):
        raise DataError(f"{path}: details: missing; delete the file and run `gristmill run {recipe}`")
    return details


def _read_json(path: Path, recipe: str, kind: type = dict) -> Any:
    if not path.is_file():
        raise DataError(f"{path}: missing; run `gristmill run {recipe}`")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: invalid JSON: {error}") from error
    if not isinstance(content, kind):
        raise DataError(f"{path}: damaged; delete the file and run `gristmill run {recipe}`")
    return content


def _hash_weights(model: Path) -> str:
    files = sorted(model.glob("*.safetensors"))
    if not files:
        raise DataError(f"{model}: contains no *.safetensors")
    return hash_file(files[0]) if len(files) == 1 else fingerprint([hash_file(file) for file in files])


def _datasets(folder: Path) -> list[Dataset]:
    """Existing data sets, with DVC's hash, or ours if dvc.lock has none."""
    known = _hashes_of_dvc()
    found = []
    for name, context in DATASETS.items():
        path = (folder / name).as_posix()
        if name == "base" and not (folder / name / "config.json").exists():
            continue  # only a report: a model from scratch
        if Path(path).exists():
            md5 = known.get(path)
            found.append(Dataset(path, context, md5, None if md5 else hash_tree(Path(path))))
    return found


def _hashes_of_dvc() -> dict[str, str]:
    """Path → md5 of all inputs and outputs in dvc.lock."""
    if not LOCK.is_file():
        return {}
    stages = (read_yaml(LOCK).get("stages") or {}).values()
    items = [item for stage in stages for item in (*stage.get("deps", ()), *stage.get("outs", ()))]
    return {item["path"]: item["md5"] for item in items if "md5" in item}
