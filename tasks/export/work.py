"""The stage `export`: format by format."""

import shutil
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.export.onnx_files import convert, quantize
from tasks.export.onnx_parts import parts_of
from tasks.export.onnx_run import OnnxModel
from tasks.export.settings import ExportSettings, OnnxSettings
from tasks.formats.model_inputs import load_model, read_inputs
from tasks.stage.errors import DataError, RecipeError
from tasks.stage.run import Job, Report, write_json
from tasks.stage.runtime import workers
from tasks.stage.settings import read_section, recipe_path
from tasks.stage.task import read_task
from tasks.workers.system import MODELS, prepare

if TYPE_CHECKING:
    import torch

SPEED = "export-speed.json"
ROWS = 32
"""Rows of text that each format is compared on."""
TURNS = 3
BESIDE = ("*.safetensors*", "adapter", "generation_config.json")
"""Files of the model folder that no other runtime needs."""

Run = Callable[["dict[str, torch.Tensor]"], Any]


def export(job: Job) -> Report:
    """Write and compare all formats. Raises RecipeError and DataError for errors the user can fix."""
    task, settings = read_task(job.recipe), read_section(job.recipe, "export", ExportSettings)
    where = f"{recipe_path(job.recipe)}: export.onnx"
    if settings.onnx and (absent := [name for name in ("onnx", "onnxscript", "onnxruntime") if not find_spec(name)]):
        raise RecipeError(f"{where}: needs {', '.join(absent)}; install them: pip install 'gristmill[export]'")
    prepare(*MODELS)
    import torch

    torch.set_num_threads(workers())
    source, folder = job.input("model"), job.output("exported")
    folder.mkdir()
    details: dict[str, Any] = {}
    if settings.onnx is not None:
        model = load_model(source, task)
        rows = read_inputs(job.input("tokens/validation"), task, model, ROWS)
        made = _onnx(model, task, source, folder, settings.onnx, where)
        details, paces = _compare(model, rows, made, settings.onnx, where)
        write_json(job.folder / SPEED, paces)
    for name, found in details.items():
        told = f"{found['bytes']:,} bytes, logits at most {found['largest_difference']:.2g} off"
        job.say(f"{name}: {told}, the same choice in {found['agreement']:.2%}, {paces[name]:.2f} times as fast")
    return Report(produced={"formats": len(details)}, details=details)


def _onnx(model: Any, task: str, source: Path, folder: Path, settings: OnnxSettings, where: str) -> dict[str, Path]:
    """Write the folders of ONNX; returns them by name."""
    made = {"onnx": folder / "onnx"}
    shutil.copytree(source, made["onnx"], ignore=shutil.ignore_patterns(*BESIDE))
    for part in parts_of(task, model):
        convert(part, made["onnx"], where)
    if settings.int8:
        made["onnx-int8"] = folder / "onnx-int8"
        shutil.copytree(made["onnx"], made["onnx-int8"], ignore=shutil.ignore_patterns("*.onnx*"))
        for path in sorted(made["onnx"].glob("*.onnx")):
            quantize(path, made["onnx-int8"] / path.name)
    return made


def _compare(
    model: Any, rows: "list[dict[str, torch.Tensor]]", made: dict[str, Path], settings: OnnxSettings, where: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """Of each folder its size and how far it is from PyTorch, and how many times as fast it is, in turns.

    Raises DataError if `onnx` is further away than the tolerance.
    """
    runs: dict[str, Run] = {"torch": lambda row: _of_torch(model, row)}
    for name, folder in made.items():
        runs[name] = _runner(OnnxModel(folder, workers()), model)
    wanted = [runs["torch"](row) for row in rows]
    details: dict[str, Any] = {}
    for name, folder in made.items():
        found = [runs[name](row) for row in rows]
        difference = max(float(np.abs(one - other).max()) for one, other in zip(found, wanted, strict=True))
        same = [(one.argmax(-1) == other.argmax(-1)).flatten() for one, other in zip(found, wanted, strict=True)]
        if name == "onnx" and not difference <= settings.tolerance:
            raise DataError(
                f"{where}.tolerance: a logit is {difference:.3g} off PyTorch's, more than {settings.tolerance:g}"
            )
        details[name] = {
            "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            "rows": len(rows),
            "largest_difference": float(f"{difference:.2g}"),
            "agreement": round(float(np.concatenate(same).mean()), 6),
        }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(TURNS):
        for name, run in runs.items():
            began = time.perf_counter()
            for row in rows:
                run(row)
            times[name].append(time.perf_counter() - began)
    base = times["torch"]
    return details, {
        name: statistics.median(one / other for one, other in zip(base, own, strict=True))
        for name, own in times.items()
        if name != "torch"
    }


def _of_torch(model: Any, row: "dict[str, torch.Tensor]") -> Any:
    import torch

    with torch.no_grad():
        return model(**row).logits.numpy()


def _runner(files: OnnxModel, model: Any) -> Run:
    def run(row: "dict[str, torch.Tensor]") -> Any:
        shifted = model.prepare_decoder_input_ids_from_labels(labels=row["labels"]) if "labels" in row else None
        return files.logits(row, shifted)

    return run
